"""1,000 tables whose jobs take 5 s, with one bqdump task, in virtual time. Every request takes 50 ms.

The ideal starts jobs at bqdump's request rate and ends with the longest job:
5 s + 1,000 / 90 per second. Ratio: from the first job's start request to the last receipt, over the ideal.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import pairwise

from benchmarks.size import sized
from benchmarks.virtual import VirtualLoop

from bqdump.adapters.bigquery.gate import Gate
from bqdump.adapters.memory import MemoryStore
from bqdump.core.documents.run import Owner
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target
from bqdump.core.tables.catalog import Dataset, Table
from bqdump.export.placement.choose import running_export
from bqdump.export.publish.publish import publish
from bqdump.export.run import obtain_plan
from bqdump.export.task import Task
from bqdump.export.work.work import work
from bqdump.pool.tables import read_ledger
from bqdump.ports.warehouse import ExtractRequest, Job
from bqdump_memory import MemoryWarehouse, gated

TABLES, JOB_SECONDS, LATENCY, TARGET = sized(1000, 10), 5.0, 0.05, 1.15
# Requests per second and method: https://cloud.google.com/bigquery/quotas
LIMIT = 100.0
EPOCH = 1_800_000_000_000


class Slow(MemoryWarehouse):
    """A warehouse with latency."""

    async def table(self, dataset: Dataset, name: str) -> Table | None:
        """See Warehouse."""
        await asyncio.sleep(LATENCY)
        return await super().table(dataset, name)

    async def extract(self, request: ExtractRequest) -> Job:
        """See Warehouse."""
        await asyncio.sleep(LATENCY)
        return await super().extract(request)


async def measure() -> tuple[list[float], int]:
    """The times between the steps plan, work and publish, and the number of published files."""
    loop = asyncio.get_running_loop()
    store = MemoryStore()
    warehouse = Slow(store, lambda: EPOCH + int(loop.time() * 1000), seconds=lambda table: JOB_SECONDS)
    for number in range(TABLES):
        warehouse.put("p", "d", f"table_{number:04}", [str(number)])
    settings = Settings(project="p", dataset="d", target=Target("gs", "memory"))
    task = Task(store, gated(warehouse, Gate(tasks=1)), settings, "run", Owner("run", 0), 1)
    moments = [loop.time()]
    plan = await obtain_plan(task)
    moments.append(loop.time())
    await work(running_export(task, plan))
    moments.append(loop.time())
    published = await publish(running_export(task, plan), await read_ledger(store, task.layout, plan))
    moments.append(loop.time())
    return moments, published.manifest.totals.files if published.manifest else 0


def durations(moments: list[float]) -> Iterator[float]:
    """The duration from each time to the next."""
    return (after - before for before, after in pairwise(moments))


def main() -> None:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        moments, files = runner.run(measure())
    planning, exporting, publishing = durations(moments)
    ideal = JOB_SECONDS + TABLES / LIMIT
    whole = sum(durations(moments))
    one_by_one = TABLES * JOB_SECONDS
    print(f"{TABLES:,} tables, {JOB_SECONDS:.0f} s each, {files:,} files; virtual seconds")
    print(f"ideal: longest job + requests at {LIMIT:.0f}/s {ideal:8.2f}  1.00")
    print(f"bqdump, one task, exporting            {exporting:8.2f}  {exporting / ideal:.2f}  (target {TARGET})")
    steps = f"planning {planning:.2f}: one request per table at the same rate; publishing {publishing:.2f}"
    print(f"bqdump, one task, with planning        {whole:8.2f}  {whole / ideal:.2f}  ({steps})")
    print(f"one job after the other                {one_by_one:8.2f}  {one_by_one / ideal:.2f}")


if __name__ == "__main__":
    main()
