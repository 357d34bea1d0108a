"""100 incremental nights of 500 tables that change daily, weekly or rarely: how often each change is exported. Of one
dataset, and of a set of five.

In virtual time. After each night, the rows that the manifest names are compared with those of the snapshot time. The
baseline is a run that looks at tables after its snapshot time only, so that a changed table is exported twice.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple
from unittest.mock import patch

from benchmarks.makespan import EPOCH
from benchmarks.size import sized
from benchmarks.virtual import VirtualLoop
from msgspec.structs import replace

from bqdump.adapters.memory import MemoryStore
from bqdump.core.documents.manifest import Manifest
from bqdump.core.documents.run import Owner
from bqdump.core.sets.member import one_dataset
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target
from bqdump.core.tables.catalog import Dataset, Table
from bqdump.export.planning import survey
from bqdump.export.run import run
from bqdump.export.task import ReadRoute, Task
from bqdump.repository.published import read_manifest
from bqdump.sets.run import run_set
from bqdump.sets.task import SetTask
from bqdump_memory import MemoryWarehouse

TABLES, NIGHTS, NIGHT = sized(500, 10), sized(100, 20), 86_400.0
# The first runs have nothing to compare with: changes are counted from this night on.
FIRST = 3
SETTINGS = Settings(project="p", dataset="d", target=Target("gs", "memory"), incremental=True, full_every=0)
ONE, SEVERAL = ("d",), tuple(f"d{number}" for number in range(5))
# Of 10 tables, how many change at this interval, in nights.
EVERY = {"daily": (2, 1), "weekly": (4, 7), "rarely": (4, 50)}


class Asked(MemoryWarehouse):
    """Counts the readings of tables."""

    asked = 0

    async def table(self, dataset: Dataset, name: str) -> Table | None:
        """See Warehouse."""
        self.asked += 1
        return await super().table(dataset, name)


class Counts(NamedTuple):
    """Changes, and exports of changed tables, by how often they change; readings of tables in all nights."""

    changes: Counter[str]
    exports: Counter[str]
    asked: int


def how_often(number: int) -> str:
    """How often the table of this number changes."""
    place = number % 10
    return "daily" if place < 2 else "weekly" if place < 6 else "rarely"


def compare(manifest: Manifest, rows: Mapping[str, int], store: MemoryStore) -> None:
    """Raise AssertionError unless the files of every table have the rows of the snapshot time."""
    for entry in manifest.tables:
        found = [store.peek(file.name) for file in entry.files]
        lines = b"".join(data for data, *_ in filter(None, found)).split()
        assert lines == [str(rows[entry.table]).encode()], f"night of {manifest.run}: {entry.table} has {lines}"


def _nothing_to_read() -> ReadRoute:
    raise AssertionError("nothing is read here")


async def export(store: MemoryStore, warehouse: MemoryWarehouse, datasets: Sequence[str], name: str) -> list[Manifest]:
    """One run, of one dataset or of a set; the published manifests."""
    owner = Owner(name, 0)
    if datasets == ONE:
        await run(Task(store, warehouse, SETTINGS, name, owner, 1))
        return [await read_manifest(store, SETTINGS)]
    settings = replace(SETTINGS, dataset="*")
    await run_set(SetTask(store, warehouse, settings, name, owner, 1, _nothing_to_read))
    return [await read_manifest(store, one_dataset(settings, dataset)) for dataset in datasets]


async def measure(datasets: Sequence[str]) -> Counts:
    """All nights. Raises AssertionError if one of them names files of a table that has changed."""
    loop, rng = asyncio.get_running_loop(), random.Random(1)
    store = MemoryStore()
    warehouse = Asked(store, lambda: EPOCH + int(loop.time() * 1000))
    tables = {f"table_{number:03}": how_often(number) for number in range(TABLES)}
    home = {table: datasets[number % len(datasets)] for number, table in enumerate(tables)}
    phase = {table: rng.randrange(EVERY[kind][1]) for table, kind in tables.items()}
    rows = dict.fromkeys(tables, 0)
    changes, exports = Counter[str](), Counter[str]()
    for table in tables:
        warehouse.put("p", home[table], table, ["0"])
    for night in range(NIGHTS):
        changing = [
            table
            for table, kind in tables.items()
            if FIRST <= night < NIGHTS - 2 and (night + phase[table]) % EVERY[kind][1] == 0
        ]
        for table in changing:
            await asyncio.sleep(NIGHT / 2 / TABLES)
            rows[table] += 1
            warehouse.put("p", home[table], table, [str(rows[table])])
            changes[tables[table]] += 1
        # In the last two nights, nothing changes any more.
        await asyncio.sleep(NIGHT / 2)
        for manifest in await export(store, warehouse, datasets, f"r{night}"):
            compare(manifest, rows, store)
            if night >= FIRST:
                exports.update(tables[entry.table] for entry in manifest.tables if entry.carried is None)
    return Counts(changes, exports, warehouse.asked)


def main() -> None:
    for datasets in (ONE, SEVERAL):
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            counts = runner.run(measure(datasets))
        with (
            patch.object(survey, "expected_to_change", lambda published: []),
            asyncio.Runner(loop_factory=VirtualLoop) as runner,
        ):
            baseline = runner.run(measure(datasets))
        of = "one dataset" if datasets == ONE else f"a set of {len(datasets)} datasets"
        print(f"{TABLES} tables of {of}, {NIGHTS} nights, no file of a changed table named again")
        report(counts, baseline)


def report(counts: Counts, baseline: Counts) -> None:
    """Print the table."""
    print("changes      number  exports  per change   without early readings")
    for kind in EVERY:
        print(row(kind, counts.changes[kind], counts.exports[kind], baseline.exports[kind]))
    print(row("all", counts.changes.total(), counts.exports.total(), baseline.exports.total()))
    print(f"readings of tables, over those without early ones: {counts.asked / baseline.asked:.2f}")


def row(kind: str, changes: int, exports: int, before: int) -> str:
    """A line of the table."""
    return f"{kind:<10} {changes:>8,} {exports:>8,}  {exports / changes:10.2f}   {before / changes:22.2f}"


if __name__ == "__main__":
    main()
