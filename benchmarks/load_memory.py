"""Many tables and tasks: 10,000 × 100 on the store and the warehouse in memory, in virtual time.

Run: python -m benchmarks.load_memory. Each case is a separate process. No table may be lost, and the cost must grow
approximately in proportion to the number of tables.
"""

from __future__ import annotations

import asyncio
import json
import logging
import resource
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from benchmarks.size import sized
from benchmarks.virtual import VirtualLoop

from bqdump.adapters.bigquery.gate import Gate
from bqdump.adapters.memory import MemoryStore
from bqdump.adapters.retry import RetryingStore
from bqdump.core.documents.codec import decode
from bqdump.core.documents.manifest import Manifest
from bqdump.core.documents.run import Owner
from bqdump.core.documents.target import Latest
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target
from bqdump.export.run import run
from bqdump.export.task import Task
from bqdump_memory import MemoryWarehouse, gated

CASES = sized(
    ((2_500, 100), (5_000, 100), (10_000, 100), (10_000, 25), (10_000, 50)),
    ((5, 1), (5, 1), (20, 4), (5, 1), (20, 4)),
)
SETTINGS = Settings(project="p", dataset="d", target=Target("gs", "memory"))
NOW = 1_790_000_000_000
LATENCY, JOB_SECONDS = 0.05, 5.0
LISTINGS = ("notes", "objects", "jobs")


class Counted:
    """A port with latency that counts requests. Each page of a listing is one request."""

    def __init__(self, port: Any, requests: Counter[str]) -> None:
        self._port, self._requests, self.url = port, requests, getattr(port, "url", "")

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._port, name)
        if not callable(method):
            # What a port says of itself, such as its abilities, is no request.
            return method
        if name in LISTINGS:
            return lambda *given: self._pages(name, method(*given))
        return lambda *given: self._ask(name, lambda: method(*given))

    async def _ask(self, name: str, carry_out: Callable[[], Awaitable[Any]]) -> Any:
        self._requests[name] += 1
        await asyncio.sleep(LATENCY)
        return await carry_out()

    async def _pages(self, name: str, listing: AsyncIterator[Any]) -> AsyncIterator[Any]:
        async for page in listing:
            self._requests[name] += 1
            await asyncio.sleep(LATENCY)
            yield page


def measure(tables: int, tasks: int) -> dict[str, Any]:
    """One export of `tables` tables with `tasks` tasks, compared with its source."""
    store, requests = MemoryStore(), Counter[str]()
    warehouse = MemoryWarehouse(store, lambda: NOW, seconds=lambda table: JOB_SECONDS)
    for number in range(tables):
        warehouse.put("p", "d", f"table_{number:05}", [f"row {number}"])
    before, memory = time.process_time(), peak()
    loop = VirtualLoop()

    async def one(index: int) -> None:
        store_: Any = Counted(store, requests)
        warehouse_: Any = Counted(warehouse, requests)
        asking, paced = RetryingStore(store_), gated(warehouse_, Gate(tasks=tasks))
        await run(Task(asking, paced, SETTINGS, "run", Owner("run", index), tasks))

    async def everybody() -> None:
        await asyncio.gather(*map(one, range(tasks)))

    loop.run_until_complete(everybody())
    check(store, tables)
    return {
        "tables": tables,
        "tasks": tasks,
        "cpu": time.process_time() - before,
        "memory": (peak() - memory) / 2**20,
        "virtual": loop.time(),
        "requests": requests.total(),
        "by": dict(requests.most_common()),
    }


def check(store: MemoryStore, tables: int) -> None:
    """Check that the manifest has every table with its file, and that there is nothing else."""
    latest = decode(read(store, SETTINGS.layout.latest.name), Latest, "latest.json")
    manifest = decode(read(store, latest.manifest), Manifest, "manifest.json")
    assert [entry.table for entry in manifest.tables] == [f"table_{number:05}" for number in range(tables)]
    for number, entry in enumerate(manifest.tables):
        [file] = entry.files
        assert read(store, file.name) == f"row {number}\n".encode()
    named = {file.name for entry in manifest.tables for file in entry.files}
    assert named == {name for name in store.names_now() if not name.startswith("_bqdump/")}


def read(store: MemoryStore, name: str) -> bytes:
    found = store.peek(name)
    assert found, name
    return found[0]


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    """Print each case and the growth of its cost."""
    results = {}
    for case in dict.fromkeys(CASES):
        ran = subprocess.run(
            [sys.executable, "-m", "benchmarks.load_memory", *map(str, case)], check=True, capture_output=True
        )
        results[case] = found = json.loads(ran.stdout)
        tables, tasks = case
        cost = f"{found['requests'] / tables:.2f} requests and {1000 * found['cpu'] / tables:.2f} ms CPU per table"
        total = f"{found['memory']:.0f} MiB with the bucket, {found['virtual']:.0f} s of virtual time"
        print(f"{tables:>6} tables × {tasks:>3} tasks: {cost}, {total}")
    grow("tables", results, CASES[:3])
    grow("tasks", results, (CASES[3], CASES[4], CASES[2]))


def grow(what: str, results: dict[Any, Any], cases: tuple[Any, ...]) -> None:
    """Print the growth of the cost while one number doubles twice."""
    for key in ("requests", "cpu", "memory"):
        first = results[cases[0]][key]
        print(f"{what} 1× 2× 4×: {key} " + " ".join(f"{results[case][key] / first:.2f}" for case in cases))


if __name__ == "__main__":
    if sys.argv[1:]:
        logging.disable(logging.CRITICAL)
        print(json.dumps(measure(int(sys.argv[1]), int(sys.argv[2]))))
    else:
        main()
