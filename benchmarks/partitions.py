"""Exports by partition, in virtual time: planning 100,000 partitions of 10 tables, and exporting them with one task.

Every request takes 50 ms, every extract job 5 s. Prints requests and time over the ideal, which is bqdump's own request
rate, and the peak memory of a process over 512 MiB: for planning in total, for exporting without the bucket, which is
in the same process. Each case is a separate process.
"""

from __future__ import annotations

import asyncio
import json
import resource
import subprocess
import sys
import time
from collections import Counter, deque
from collections.abc import Sequence
from typing import Any

import msgspec
from benchmarks.size import sized
from benchmarks.virtual import VirtualLoop

from bqdump.adapters.bigquery.gate import PER_SECOND, Gate
from bqdump.adapters.memory import MemoryStore
from bqdump.core.documents.run import Owner
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target
from bqdump.core.tables.catalog import Dataset, Partition, Table
from bqdump.export.planning.draft import draft_plan
from bqdump.export.planning.survey import Earlier, Request
from bqdump.export.run import run
from bqdump.export.task import Task
from bqdump.ports.warehouse import ExtractRequest, Job, QueryRequest
from bqdump.repository.published import read_manifest
from bqdump_memory import MemoryWarehouse, gated

TABLES, PARTITIONS, TASKS = sized((10, 10_000, 1), (2, 20, 1))
LATENCY, JOB_SECONDS, EPOCH, LIMIT_MB = 0.05, 5.0, 1_800_000_000_000, 512.0
SETTINGS = Settings(project="p", dataset="d", target=Target("gs", "memory"), partitions_min_bytes=0,
                    path="{table}/{partition}/{table}_*.{ext}")  # fmt: skip
COLUMNS = [{"name": f"column_{number}", "type": "STRING", "mode": "NULLABLE"} for number in range(40)]
BY_RANGE = {"field": "n", "range": {"start": "0", "end": str(PARTITIONS), "interval": "1"}}


class Partitioned(MemoryWarehouse):
    """Tables of many partitions of one row each. requests: by method."""

    def __init__(self, store: MemoryStore, loop: VirtualLoop) -> None:
        super().__init__(store, lambda: EPOCH + int(loop.time() * 1000), seconds=lambda _: JOB_SECONDS)
        self.requests: Counter[str] = Counter()
        self.ids = [str(number) for number in range(PARTITIONS)]
        fields = [*COLUMNS, {"name": "n", "type": "INTEGER"}]
        body = {"schema": {"fields": fields}, "rangePartitioning": BY_RANGE, "lastModifiedTime": "1", "numBytes": "9"}
        state = {"creationTime": "1", "tableReference": {"projectId": "p", "datasetId": "d"}}
        self._whole = self._definition(body | state, PARTITIONS)
        self._one = self._definition(body | state, 1)
        for number in range(TABLES):
            self.put("p", "d", f"table_{number:02}", ["x"], partitioned=True)

    def _definition(self, body: dict[str, Any], rows: int) -> bytes:
        return msgspec.json.encode({**body, "numRows": str(rows)})

    async def table(self, dataset: Dataset, name: str) -> Table | None:
        """See Warehouse."""
        self.requests["tables.get"] += 1
        await asyncio.sleep(LATENCY)
        # Like an answer of BigQuery, each is an object of its own.
        definition = bytes(bytearray(self._one if "$" in name else self._whole))
        rows = 1 if "$" in name else PARTITIONS
        return Table(name, "TABLE", rows, 9, msgspec.Raw(definition))

    async def partitions(
        self, dataset: Dataset, tables: Sequence[str], max_bytes_billed: int
    ) -> dict[str, list[Partition]]:
        """See Warehouse."""
        self.requests["queries"] += 1
        await asyncio.sleep(LATENCY)
        return {table: [Partition(id_, 1, 9, 1) for id_ in sorted(self.ids)] for table in tables}

    async def extract(self, request: ExtractRequest) -> Job:
        """See Warehouse."""
        self.requests["jobs.insert"] += 1
        await asyncio.sleep(LATENCY)
        return await super().extract(request)

    def _requested(self, request: ExtractRequest | QueryRequest) -> tuple[str, ...] | None:
        return (getattr(request, "partition", ""),)


def plan() -> dict[str, Any]:
    """Planning alone, without a bucket."""
    loop = VirtualLoop()
    warehouse = Partitioned(MemoryStore(), loop)
    before, began = peak(), time.process_time()
    limited = gated(warehouse, Gate(tasks=1))
    draft = loop.run_until_complete(
        draft_plan(limited, Request(SETTINGS, "run", TASKS, None, Earlier(MemoryStore(), None)))
    )
    looks = TABLES * PARTITIONS
    return {
        "virtual": loop.time(),
        "ideal": looks / PER_SECOND,
        "requests": warehouse.requests["tables.get"],
        "looks": looks,
        "cpu": time.process_time() - began,
        "peak": peak(),
        "before": before,
        "units MB": len(draft.lines) / 1e6,
        "plan MB": len(msgspec.json.encode(draft.plan)) / 1e6,
    }


def export() -> dict[str, Any]:
    """A complete export."""
    loop, store = VirtualLoop(), MemoryStore()
    warehouse = Partitioned(store, loop)
    before, began = peak(), time.process_time()

    async def every() -> None:
        tasks = (
            Task(store, gated(warehouse, Gate(tasks=TASKS)), SETTINGS, "run", Owner("run", number), TASKS)
            for number in range(TASKS)
        )
        await asyncio.gather(*map(run, tasks))

    loop.run_until_complete(every())
    manifest = loop.run_until_complete(read_manifest(store, SETTINGS))
    assert [len(entry.partitions) for entry in manifest.tables] == [PARTITIONS] * TABLES
    whole = TABLES * PARTITIONS
    bucket = footprint(vars(store), set()) + footprint(vars(warehouse), set())
    found = store.peek(SETTINGS.layout.run("run").manifest.name)
    return {
        # Looks before the snapshot time, then jobs and the looks after them.
        "virtual": loop.time(),
        "ideal": 2 * whole / PER_SECOND + JOB_SECONDS,
        "requests": warehouse.requests["tables.get"] + warehouse.requests["jobs.insert"],
        "looks": 3 * whole,
        "cpu": time.process_time() - began,
        "peak": peak() - bucket / 2**20,
        "before": before,
        "manifest MB": len(found[0]) / 1e6 if found else 0.0,
    }


def footprint(value: object, seen: set[int]) -> int:
    """The bytes of memory of a value and of what is in its collections: the least that it takes."""
    if id(value) in seen or not isinstance(value, (str, bytes, int, dict, list, tuple, set, deque)):
        return 0
    seen.add(id(value))
    size = sys.getsizeof(value)
    if isinstance(value, dict):
        size += sum(footprint(key, seen) + footprint(item, seen) for key, item in value.items())
    elif isinstance(value, (list, tuple, set, deque)):
        size += sum(footprint(item, seen) for item in value)
    return size


def peak() -> float:
    """The peak memory of this process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


CASES = {"plan": plan, "export": export}


def main() -> None:
    """Print each case and its ratios."""
    print(f"{TABLES * PARTITIONS:,} partitions of {TABLES} tables, {TASKS} tasks; each case in a process of its own")
    for case in CASES:
        command = [sys.executable, "-m", "benchmarks.partitions", case]
        found = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
        ratios = (found["virtual"] / found["ideal"], found["requests"] / found["looks"], found["peak"] / LIMIT_MB)
        time_, requests, memory = (f"{ratio:.2f}" for ratio in ratios)
        sizes = ", ".join(f"{name} {value:.2f}" for name, value in found.items() if name.endswith(" MB"))
        cpu = 1000 * found["cpu"] / (TABLES * PARTITIONS)
        print(f"{case}: time {time_} and requests {requests} of the ideal, memory {memory} of {LIMIT_MB:.0f} MiB")
        print(f"  {found['virtual']:,.0f} s of virtual time, {cpu:.2f} ms CPU per partition, {sizes}")


if __name__ == "__main__":
    if sys.argv[1:]:
        print(json.dumps(CASES[sys.argv[1]]()))
    else:
        main()
