"""10,000 tables of which 1 % changed: an incremental run by one task over a full one, in virtual time.

Requests to BigQuery take 50 ms, and jobs 5 s. The limit is planning alone: one `tables.get` for each table, at 100
requests per second and method. Objects that are copied or deleted are counted one by one, listings by their pages.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from typing import Any, NamedTuple

from benchmarks.makespan import EPOCH, JOB_SECONDS, LATENCY, LIMIT, Slow
from benchmarks.size import sized
from benchmarks.virtual import VirtualLoop

from bqdump.adapters.bigquery.gate import Gate
from bqdump.adapters.memory import MemoryStore
from bqdump.core.documents.definitions import RowPolicy
from bqdump.core.documents.run import Owner
from bqdump.core.errors import BqdumpError
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target
from bqdump.core.tables.catalog import Dataset, Table
from bqdump.export.run import run
from bqdump.export.task import Task
from bqdump.ports.store import Copy, ObjectInfo
from bqdump.ports.warehouse import ExtractRequest, Job
from bqdump_memory import gated

TABLES, ROWS, NIGHT = sized(10_000, 20), 10, 86_400
CHANGED = max(1, TABLES // 100)


class Counted(MemoryStore):
    """A bucket that counts its requests, and the bytes that it copies."""

    def __init__(self) -> None:
        super().__init__()
        self.requests: Counter[str] = Counter()
        self.copied = 0

    async def _pages(self, prefix: str, start: str = "") -> AsyncIterator[Any]:
        async for page in super()._pages(prefix, start):
            self.requests["list"] += 1
            yield page

    async def read(self, name: str, start: int = 0, length: int | None = None) -> Any:
        """See ObjectStore."""
        self.requests["read"] += 1
        return await super().read(name, start, length)

    async def stat(self, name: str) -> ObjectInfo | None:
        """See ObjectStore."""
        self.requests["stat"] += 1
        return await super().stat(name)

    async def write(self, name: str, data: bytes, expect: int | None) -> int:
        """See ObjectStore."""
        self.requests["write"] += 1
        return await super().write(name, data, expect)

    async def write_note(self, name: str, data: bytes, expect: int | None) -> int:
        """See ObjectStore."""
        self.requests["write"] += 1
        return await super().write_note(name, data, expect)

    async def copy(self, copies: Sequence[Copy], origin: str) -> list[ObjectInfo | BqdumpError]:
        """See ObjectStore."""
        self.requests["copy"] += len(copies)
        self.copied += sum(copy.size or 0 for copy in copies)
        return await super().copy(copies, origin)

    async def delete(self, objects: Sequence[tuple[str, int]]) -> list[bool | BqdumpError]:
        """See ObjectStore."""
        self.requests["delete"] += len(objects)
        return await super().delete(objects)


class Asked(Slow):
    """A warehouse with latency that counts its requests."""

    requests: Counter[str]

    async def table(self, dataset: Dataset, name: str) -> Table | None:
        """See Warehouse."""
        self.requests["tables.get"] += 1
        return await super().table(dataset, name)

    async def row_policies(self, dataset: Dataset, table: str) -> list[RowPolicy] | None:
        """See Warehouse."""
        self.requests["rowAccessPolicies.list"] += 1
        await asyncio.sleep(LATENCY)
        return await super().row_policies(dataset, table)

    async def policed(self, dataset: Dataset) -> list[str]:
        """See Warehouse."""
        self.requests["jobs.query"] += 1
        await asyncio.sleep(LATENCY)
        return await super().policed(dataset)

    async def extract(self, request: ExtractRequest) -> Job:
        """See Warehouse."""
        self.requests["jobs.insert"] += 1
        return await super().extract(request)


class Night(NamedTuple):
    """A run in numbers. seconds: virtual. warehouse, store: requests by method. copied: bytes."""

    seconds: float
    warehouse: Counter[str]
    store: Counter[str]
    copied: int
    exported: int


async def measure() -> list[Night]:
    """Two full nights, of which the second one counts, and one in which a part has changed."""
    loop = asyncio.get_running_loop()
    store = Counted()
    warehouse = Asked(store, lambda: EPOCH + int(loop.time() * 1000), seconds=lambda table: JOB_SECONDS)
    for number in range(TABLES):
        warehouse.put("p", "d", f"table_{number:05}", [f"{number:05}"] * ROWS)
    settings = Settings(project="p", dataset="d", target=Target("gs", "memory"), incremental=True, full_every=0)
    nights = []
    for night in range(3):
        await asyncio.sleep(NIGHT)
        if night == 2:
            for number in range(CHANGED):
                warehouse.put("p", "d", f"table_{number * (TABLES // CHANGED):05}", [f"{night:05}"] * ROWS)
            await asyncio.sleep(1)
        store.requests, store.copied, warehouse.requests = Counter(), 0, Counter()
        began = loop.time()
        task = Task(store, gated(warehouse, Gate(tasks=1)), settings, f"r{night}", Owner(f"r{night}", 0), 1)
        result = await run(task)
        took = loop.time() - began
        nights.append(Night(took, warehouse.requests, store.requests, store.copied, result.plan.tables))
    return nights[1:]


def main() -> None:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        full, part = runner.run(measure())
    limit = TABLES / LIMIT
    print(f"{TABLES:,} tables, {CHANGED:,} changed; one task, virtual seconds")
    print("                               full  incremental   ratio")
    rows = [
        ("extract jobs", full.warehouse["jobs.insert"], part.warehouse["jobs.insert"]),
        *((f"BigQuery {name}", full.warehouse[name], part.warehouse[name]) for name in sorted(full.warehouse)),
        ("BigQuery requests", full.warehouse.total(), part.warehouse.total()),
        *((f"objects: {name}", full.store[name], part.store[name]) for name in sorted(full.store)),
        ("object requests", full.store.total(), part.store.total()),
        ("bytes copied", full.copied, part.copied),
    ]
    for name, all_, some in rows:
        print(f"{name:<25} {all_:>9,}    {some:>9,}  {some / all_ if all_ else 0:6.3f}")
    ratio = part.seconds / full.seconds
    print(f"{'seconds':<25} {full.seconds:>9.1f}    {part.seconds:>9.1f}  {ratio:6.3f}")
    over = f"{full.seconds / limit:>9.2f}    {part.seconds / limit:>9.2f}"
    print(f"over the limit of {limit:4.0f} s   {over}  (one tables.get for each table, {LIMIT:.0f} a second)")


if __name__ == "__main__":
    main()
