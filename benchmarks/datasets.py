"""50 datasets of 200 tables as one set, and one dataset of 10,000 tables: 10 tasks each, in virtual time.

Jobs take 5 s, and every request to BigQuery or Cloud Storage 50 ms. Both exports have the same tables, so the ratio is
what a set costs: each dataset has a plan, a manifest and a publication of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from benchmarks.size import sized
from benchmarks.virtual import VirtualLoop

from bqdump.adapters.bigquery.gate import Gate
from bqdump.adapters.memory import MemoryStore
from bqdump.core.documents.run import Owner
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target
from bqdump.export.run import run
from bqdump.export.task import ReadRoute, Task
from bqdump.sets.run import run_set
from bqdump.sets.task import SetTask
from bqdump_memory import MemoryWarehouse, gated

DATASETS, TABLES, TASKS = sized(50, 3), sized(200, 4), sized(10, 2)
JOB_SECONDS, LATENCY = 5.0, 0.05
EPOCH = 1_800_000_000_000
# Over one dataset with the same tables.
MOST_TIME, MOST_REQUESTS = 1.3, 1.5


class Slow:
    """A port with latency, whose calls are counted; each page of a listing is one."""

    def __init__(self, port: Any, counts: dict[str, int]) -> None:
        self._port, self._counts = port, counts
        self.url = getattr(port, "url", "")

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._port, name)
        if not callable(method):
            # What a port says of itself, such as its abilities, is no request.
            return method
        return self._pages(name, method) if name in ("notes", "objects", "jobs") else self._call(name, method)

    async def _wait(self, name: str) -> None:
        self._counts[name] = self._counts.get(name, 0) + 1
        await asyncio.sleep(LATENCY)

    def _call(self, name: str, method: Any) -> Any:
        async def call(*given: Any) -> Any:
            await self._wait(name)
            return await method(*given)

        return call

    def _pages(self, name: str, method: Any) -> Any:
        async def pages(*given: Any) -> AsyncIterator[Any]:
            async for page in method(*given):
                await self._wait(name)
                yield page

        return pages


def _no_read_route() -> ReadRoute:
    raise RuntimeError("every table is extracted")


async def measure(datasets: int, tables: int) -> tuple[float, dict[str, int], int]:
    """Virtual seconds, requests by method, and published files."""
    loop, counts = asyncio.get_running_loop(), dict[str, int]()
    store = MemoryStore()
    memory = MemoryWarehouse(store, lambda: EPOCH + int(loop.time() * 1000), seconds=lambda table: JOB_SECONDS)
    for dataset in range(datasets):
        for number in range(tables):
            memory.put("p", f"d{dataset:02}", f"table_{number:05}", [str(number)])
    several = datasets > 1
    settings = Settings(project="p", dataset="*" if several else "d00", target=Target("gs", "memory"))

    async def task(number: int) -> None:
        slow: Any = Slow(memory, counts)
        place: Any = Slow(store, counts)
        warehouse = gated(slow, Gate(tasks=TASKS))
        owner = Owner("run", number)
        if several:
            one = SetTask(place, warehouse, settings, "run", owner, TASKS, _no_read_route)
            await run_set(one)
        else:
            await run(Task(place, warehouse, settings, "run", owner, TASKS))

    await asyncio.gather(*map(task, range(TASKS)))
    files = [name for name in store.names_now() if "_bqdump/" not in name]
    return loop.time(), counts, len(files)


def main() -> None:
    found = []
    for datasets, tables in ((1, DATASETS * TABLES), (DATASETS, TABLES)):
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            found.append(runner.run(measure(datasets, tables)))
    (one, one_counts, _), (many, many_counts, files) = found
    print(f"{DATASETS} × {TABLES} tables, {TASKS} tasks, {JOB_SECONDS:.0f} s a job, {files:,} files; virtual seconds")
    requests, more = sum(one_counts.values()), sum(many_counts.values())
    print(f"one dataset of {DATASETS * TABLES:,} tables {one:10.1f}  1.00  {requests:9,} requests  1.00")
    ratio, of_requests = many / one, more / requests
    print(f"{DATASETS} datasets of {TABLES} tables {many:12.1f}  {ratio:.2f}  {more:9,} requests  {of_requests:.2f}"
          f"  (targets {MOST_TIME}, {MOST_REQUESTS})")  # fmt: skip
    for name in sorted(many_counts, key=lambda name: one_counts.get(name, 0) - many_counts[name])[:8]:
        print(f"  {name:<14} {one_counts.get(name, 0):9,} {many_counts[name]:9,}")


if __name__ == "__main__":
    main()
