"""Few tables whose jobs take 5 s, with more tasks than they need, in virtual time. Every request takes 50 ms.

30 tasks for 30 tables is the job that most teams start with; 10,000 tasks for 4 tables is a job that was never made
smaller. The baseline is one task with the same tables. Ratio: from the start of the tasks to the published manifest.
"""

from __future__ import annotations

import asyncio

from benchmarks.makespan import EPOCH, JOB_SECONDS, Slow
from benchmarks.size import sized
from benchmarks.virtual import VirtualLoop

from bqdump.adapters.bigquery.gate import Gate
from bqdump.adapters.memory import MemoryStore
from bqdump.core.documents.run import Owner
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target
from bqdump.export.run import run
from bqdump.export.task import Task
from bqdump_memory import gated

TARGET = 1.5
# Tables, tasks, and how many of these are alive.
JOBS = sized([(30, 30, 30), (30, 10_000, 30), (4, 10_000, 4), (4, 10_000, 1)], [(3, 3, 3), (2, 10_000, 1)])


async def measure(tables: int, tasks: int, alive: int) -> float:
    """The virtual seconds until the export is published."""
    loop, store = asyncio.get_running_loop(), MemoryStore()
    warehouse = Slow(store, lambda: EPOCH + int(loop.time() * 1000), seconds=lambda table: JOB_SECONDS)
    for number in range(tables):
        warehouse.put("p", "d", f"table_{number:04}", [str(number)])
    settings = Settings(project="p", dataset="d", target=Target("gs", "memory"))
    began = loop.time()

    async def task(number: int) -> float:
        limited = gated(warehouse, Gate(tasks=tasks))
        result = await run(Task(store, limited, settings, "run", Owner("run", number), tasks))
        return loop.time() if result.state == "published" else began

    return max(await asyncio.gather(*map(task, range(alive)))) - began


def seconds(tables: int, tasks: int, alive: int) -> float:
    """The same, on a loop of its own."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(measure(tables, tasks, alive))


def main() -> None:
    for tables, tasks, alive in JOBS:
        alone, many = seconds(tables, 1, 1), seconds(tables, tasks, alive)
        size = f"{tables} tables, {tasks:,} tasks, {alive} alive"
        print(f"{size:<36} {many:6.2f}  {many / alone:.2f} of one task, {alone:.2f}  (target {TARGET})")


if __name__ == "__main__":
    main()
