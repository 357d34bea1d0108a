"""What a schedule of restores is about: one or two exports of a small dataset, and what their target holds before."""

from __future__ import annotations

import random
import re
from typing import Any, NamedTuple

import msgspec
from msgspec import structs

from bqdump.adapters.memory import MemoryStore
from bqdump.core.documents.codec import decode
from bqdump.core.documents.definitions import Definitions, ObjectDefinition, RoutineDefinition, RowPolicy
from bqdump.core.documents.manifest import Manifest
from bqdump.core.documents.run import Owner
from bqdump.core.restore import partitions
from bqdump.core.restore.plan import Options
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target
from bqdump.core.tables.catalog import Dataset
from bqdump.export.run import run as export
from bqdump.export.task import Task
from bqdump.ports.destination import LoadRequest
from bqdump.ports.warehouse import Estimate
from bqdump_memory import MemoryDestination

PROJECT, SOURCE, INTO = "p", "d", "copy"
EPOCH = 1_790_000_000_000
NEVER = str(EPOCH + 10 * 365 * 86_400_000)
SETTINGS = Settings(
    project=PROJECT,
    dataset=SOURCE,
    target=Target("gs", "bucket"),
    header=False,
    path="{run}/{table}/{table}_*.{ext}",
    # Load jobs cannot read every type from it.
    format="avro",
)
LINE = {"name": "line", "type": "STRING"}
NUMBER = {"name": "n", "type": "INTEGER"}
KEY = {"primaryKey": {"columns": ["line"]}}
PARENT = {"projectId": PROJECT, "datasetId": SOURCE, "tableId": "plain"}
REFERS = [{"referencedTable": PARENT, "columnReferences": [{"referencingColumn": "line", "referencedColumn": "line"}]}]
# Tables by the way in which they are restored: by one job, several, a cast, by ranges of partitions, none.
DEFINITIONS: dict[str, dict[str, Any]] = {
    "plain": {"tableConstraints": KEY, "labels": {"team": "a"}, "description": "customers"},
    "many": {"expirationTime": NEVER},
    "cast": {"schema": {"fields": [LINE, {"name": "at", "type": "DATETIME"}]}},
    "none": {"labels": {"team": "b"}},
    "split": {
        "schema": {"fields": [LINE, NUMBER]},
        "rangePartitioning": {"field": "n", "range": {"start": "0", "end": "1000", "interval": "1"}},
        "requirePartitionFilter": True,
    },
    "child": {
        "schema": {"fields": [{**LINE, "defaultValueExpression": "'x'"}]},
        "tableConstraints": {**KEY, "foreignKeys": REFERS},
    },
}
ROWS = {"plain": 2, "many": 5, "cast": 2, "none": 0, "split": 6, "child": 1}
VIEWS = ("last", "middle")


class Scenery(NamedTuple):
    """The exports by run, the rows of each of their tables, the command's options, and what the target held before.

    before: the rows of tables in the target, those that are not in the export included.
    """

    manifests: dict[str, Manifest]
    rows: dict[str, dict[str, tuple[str, ...]]]
    options: Options
    before: dict[str, tuple[str, ...]]


class Warehouse(MemoryDestination):
    """A MemoryDestination that has tables of many partitions: of the number at the end of a row."""

    async def ask(self, dataset: Dataset, table: str, select: str, max_bytes_billed: int) -> list[int]:
        """See Warehouse. The partitions of a table, where these are what it is asked for."""
        if "ROW_NUMBER" not in select:
            return await super().ask(dataset, table, select, max_bytes_billed)
        rows = self.datasets[dataset.project, dataset.name][table].versions[-1].rows or ()
        parts = sorted(set(map(number_of, rows)))
        firsts = parts[partitions.MOST_CHANGED :: partitions.MOST_CHANGED]
        return [len(parts), *firsts]

    async def estimate(self, dataset: Dataset, table: str, select: str, parameters: dict[str, str]) -> Estimate:
        """See Warehouse."""
        found = await super().estimate(dataset, table, select, parameters)
        definition = self.datasets[dataset.project, dataset.name][table].definition
        return structs.replace(found, columns=raw(msgspec.json.decode(definition)["schema"]["fields"]))

    def too_many_partitions(self, job_id: str) -> bool:
        """Whether a job would load into more partitions than a job may change."""
        request = self.started[job_id]
        if not isinstance(request, LoadRequest) or b'"n"' not in bytes(request.schema):
            return False
        table = self.datasets[request.to.dataset.project, request.to.dataset.name].get(request.to.table)
        # That a table is not empty is found first.
        filled = request.empty and table is not None and table.versions[-1].rows
        return not filled and not request.to.table.endswith("_raw")


def number_of(row: str) -> int:
    """The number at the end of a row."""
    return int(row.rpartition(",")[2])


def matching(statement: str, row: str) -> bool:
    """Whether a statement for a range of partitions selects a row."""
    number, where = number_of(row), statement.partition("WHERE")[2]
    limits = re.findall(r"(>=|<) (\d+)", where)
    return all(number >= int(limit) if sign == ">=" else number < int(limit) for sign, limit in limits)


async def build(rng: random.Random, store: MemoryStore, big: Warehouse) -> Scenery:
    """Fill a dataset, export it once or twice, and fill the target."""
    kinds = rng.sample(sorted(DEFINITIONS), rng.choice((1, 2, 2, 3)))
    if "child" in kinds and "plain" not in kinds:
        kinds.append("plain")
    big.shard_rows = rng.choice((1, 2, 100))
    rows: dict[str, dict[str, tuple[str, ...]]] = {}
    manifests = {}
    for run in ("r1", "r2")[: 1 + (rng.random() < 0.25)]:
        rows[run] = {name: tuple(f"{name} of {run},{number}" for number in range(ROWS[name])) for name in kinds}
        for name in kinds:
            _define(big, name, rows[run][name])
        await export(Task(store, big, SETTINGS, run, Owner(run, 0), 1))
        manifests[run] = _with_objects(rng, store, run)
    mode = rng.choice(("new", "new", "empty", "replace", "replace", "missing"))
    options = Options(
        project=PROJECT,
        dataset=INTO,
        replace=mode == "replace",
        missing_only=mode == "missing",
        with_policies=rng.random() < 0.3,
    )
    before: dict[str, tuple[str, ...]] = {}
    if mode != "new":
        big.datasets[PROJECT, INTO] = {}
    if mode in ("replace", "missing"):
        before = {name: (f"old {name},1", f"old {name},2") for name in (*kinds, "mine") if rng.random() < 0.6}
    for name, lines in before.items():
        layout = DEFINITIONS[name] if name in DEFINITIONS and mode == "replace" else {}
        _put(big, INTO, name, lines, {key: layout[key] for key in ("schema", "rangePartitioning") if key in layout})
    return Scenery(manifests, rows, options, before)


def _define(big: Warehouse, name: str, rows: tuple[str, ...]) -> None:
    _put(big, SOURCE, name, rows, DEFINITIONS[name])


def _put(big: Warehouse, dataset: str, name: str, rows: tuple[str, ...], properties: dict[str, Any]) -> None:
    big.put(PROJECT, dataset, name, rows)
    tables = big.datasets[PROJECT, dataset]
    given = msgspec.json.decode(tables[name].definition) | {"labels": {"of": dataset}} | properties
    tables[name] = tables[name]._replace(definition=raw(given))


def _with_objects(rng: random.Random, store: MemoryStore, run: str) -> Manifest:
    """The manifest of a run, at times with a view over a view, a routine and a policy."""
    name = SETTINGS.layout.run(run).manifest.name
    found = store.peek(name)
    assert found
    manifest: Manifest = decode(found[0], Manifest, name)
    if rng.random() < 0.4:
        table = manifest.tables[0].table
        sources = dict(zip(VIEWS, ("middle", table), strict=True))
        views = tuple(ObjectDefinition(one, "VIEW", raw({"view": {"query": query(sources[one])}})) for one in VIEWS)
        fresh = ObjectDefinition("fresh", "MATERIALIZED_VIEW", raw({"materializedView": {"query": query(table)}}))
        routine = RoutineDefinition(
            "f", "PROCEDURE", raw({"routineType": "PROCEDURE", "definitionBody": query("last")})
        )
        policy = RowPolicy(table, "few", "TRUE", ("user:a@example.com",))
        definitions = Definitions(objects=(*views, fresh), routines=(routine,), policies=(policy,))
        manifest = msgspec.structs.replace(manifest, definitions=definitions)
        store.put_now(name, msgspec.json.encode(manifest))
    return manifest


def query(name: str, dataset: str = SOURCE) -> str:
    """The query of a view."""
    return f"SELECT line FROM `{PROJECT}.{dataset}.{name}`"


def raw(value: object) -> msgspec.Raw:
    """A resource as JSON."""
    return msgspec.Raw(msgspec.json.encode(value))
