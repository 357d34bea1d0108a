"""1,000 tables whose load jobs take 5 s, restored by one bqdump task, in virtual time. Every request takes 50 ms.

The ideal starts load jobs at BigQuery's request limit and ends with the longest job: 5 s + 1,000 / 100 per second.
Ratio: the whole restore, from reading the manifest to its result, over the ideal. Of an export with files under stable
names, which another run may replace, a copy job of 5 s follows each load job.
"""

from __future__ import annotations

import asyncio

import msgspec
from benchmarks.size import sized
from benchmarks.virtual import VirtualLoop

from bqdump.adapters.bigquery.gate import Gate
from bqdump.adapters.memory import MemoryStore
from bqdump.core.documents.run import Owner
from bqdump.core.restore.plan import Options
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target
from bqdump.core.tables.catalog import Dataset, Table
from bqdump.export.run import run as export
from bqdump.export.task import Task as ExportTask
from bqdump.ports.destination import LoadRequest
from bqdump.ports.warehouse import Job
from bqdump.restoration.restore import restore_one as restore
from bqdump.restoration.task import Request, Task
from bqdump_memory import MemoryDestination, gated

TABLES, JOB_SECONDS, LATENCY, TARGET = sized(1000, 10), 5.0, 0.05, 1.15
# Requests per second and method: https://cloud.google.com/bigquery/quotas
LIMIT = 100.0
EPOCH = 1_800_000_000_000
SETTINGS = Settings(project="p", dataset="d", target=Target("gs", "memory"), header=False)
PATHS = {"a folder for each run": "{run}/{table}/{table}_*.{ext}", "files under stable names": SETTINGS.path}


class Slow(MemoryDestination):
    """A destination with latency, in seconds."""

    latency = 0.0

    async def table(self, dataset: Dataset, name: str) -> Table | None:
        """See Warehouse."""
        await asyncio.sleep(self.latency)
        return await super().table(dataset, name)

    async def create_table(self, dataset: Dataset, name: str, definition: msgspec.Raw) -> bool:
        """See Destination."""
        await asyncio.sleep(self.latency)
        return await super().create_table(dataset, name, definition)

    async def change_table(self, dataset: Dataset, name: str, changes: msgspec.Raw) -> None:
        """See Destination."""
        await asyncio.sleep(self.latency)
        await super().change_table(dataset, name, changes)

    async def load(self, request: LoadRequest) -> Job:
        """See Destination."""
        await asyncio.sleep(self.latency)
        return await super().load(request)


async def measure(path: str) -> tuple[float, int]:
    """The virtual seconds of the restore of an export with this path, and its tables."""
    loop, settings = asyncio.get_running_loop(), msgspec.structs.replace(SETTINGS, path=path)
    store = MemoryStore()
    big = Slow(store, lambda: EPOCH + int(loop.time() * 1000))
    for number in range(TABLES):
        big.put("p", "d", f"table_{number:04}", [str(number)])
    await export(ExportTask(store, big, settings, "run", Owner("run", 0), 1))
    big.seconds, big.latency = lambda table: JOB_SECONDS, LATENCY
    request = Request(Options(project="p", dataset="copy"))
    began = loop.time()
    limited = gated(big, Gate(tasks=1))
    result = await restore(Task(store, limited, settings, request, Owner("restore", 0), 1))
    return loop.time() - began, len(result.tables)


def main() -> None:
    ideal = JOB_SECONDS + TABLES / LIMIT
    one_by_one = TABLES * JOB_SECONDS
    print(f"{TABLES:,} tables, load jobs of {JOB_SECONDS:.0f} s; virtual seconds")
    print(f"ideal: longest job + requests at {LIMIT:.0f}/s  {ideal:8.2f}  1.00")
    for layout, path in PATHS.items():
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            seconds, tables = runner.run(measure(path))
        target = f"  (target {TARGET})" if "{run}" in path else ""
        if tables != TABLES:
            raise SystemExit(f"only {tables:,} tables are restored")
        print(f"bqdump restore, {layout:<24}{seconds:8.2f}  {seconds / ideal:.2f}{target}")
    print(f"one job after another                   {one_by_one:8.2f}  {one_by_one / ideal:.2f}")


if __name__ == "__main__":
    main()
