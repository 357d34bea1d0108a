"""Many tables and processes: 2,000 × 20 on the local stack, started as an engine starts them.

Run: python -m benchmarks.load_processes. No table may be lost. Requests per table and the peak memory of a task must
not grow with the number of tables or tasks by more than what tasks share.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.naive_task import clients
from benchmarks.size import sized

from bqdump.core.documents.codec import decode
from bqdump.core.documents.manifest import Manifest
from bqdump.core.documents.target import Latest
from bqdump_local.execute import execute
from bqdump_local.stack import Stack, running

PROJECT = "local-project"
CASES = sized(((500, 20), (1_000, 20), (2_000, 20), (2_000, 5), (2_000, 10)), ((1, 1), (1, 1), (4, 2), (1, 1), (4, 2)))


class Measured(NamedTuple):
    """One case: requests, CPU seconds of all tasks, peak MiB of the largest task, and wall time in seconds."""

    requests: int
    cpu: float
    memory: float
    wall: float


def main() -> None:
    """Print each case and the growth of its cost."""
    results = {}
    with running() as stack:
        os.environ.update(stack.variables())
        big, store = clients(PROJECT)
        for tables in sorted({tables for tables, _ in CASES}):
            prepare(big, f"tables_{tables}", tables)
        for tables, tasks in dict.fromkeys(CASES):
            bucket = f"bucket-{tables}-{tasks}"
            store.create_bucket(bucket)
            results[tables, tasks] = found = measure(stack, bucket, tables, tasks)
            check(store.bucket(bucket), tables)
            cost = f"{found.requests / tables:.2f} requests and {1000 * found.cpu / tables:.1f} ms CPU per table"
            total = f"{found.memory:.0f} MiB in the largest task, {found.wall:.0f} s"
            print(f"{tables:>6} tables × {tasks:>3} tasks: {cost}, {total}")
    grow("tables", [results[case] for case in CASES[:3]])
    grow("tasks", [results[case] for case in (CASES[3], CASES[4], CASES[2])])


def prepare(big: Any, dataset: str, tables: int) -> None:
    """Create `tables` tables without rows."""
    big.create_dataset(dataset)
    schema = [{"name": "id", "type": "INT64"}]

    def make(number: int) -> None:
        reference = {"projectId": PROJECT, "datasetId": dataset, "tableId": f"table_{number:04}"}
        path = f"/projects/{PROJECT}/datasets/{dataset}/tables"
        big._connection.api_request("POST", path=path, data={"tableReference": reference, "schema": {"fields": schema}})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(make, range(tables)))


def measure(stack: Stack, bucket: str, tables: int, tasks: int) -> Measured:
    """Run one execution."""
    for address in (stack.storage, stack.bigquery):
        with urllib.request.urlopen(urllib.request.Request(f"{address}/_local/requests", method="DELETE")):
            pass
    settings = {"PROJECT_ID": PROJECT, "SOURCE_DATASET": f"tables_{tables}", "DESTINATION_BUCKET": bucket}
    env = {**stack.variables(), **settings}
    before, started = os.times(), time.monotonic()
    with watched(stack) as peaks:
        done = asyncio.run(
            execute([sys.executable, "-m", "bqdump", "run"], tasks=tasks, env=env, max_retries=0, task_timeout=1800)
        )
    after = os.times()
    assert done.ok, "a task has failed"
    counted: Any = stack.requests()
    requests = sum(sum(service["requests"].values()) for service in counted.values())
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return Measured(requests, cpu, max(peaks.values()) / 1024, time.monotonic() - started)


@contextmanager
def watched(stack: Stack) -> Iterator[dict[int, int]]:
    """The peak KiB of every task, as Linux counts them, read ten times per second."""
    peaks: dict[int, int] = {}
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.1):
            for pid in set(children()) - set(stack.pids):
                peaks[pid] = max(peaks.get(pid, 0), peak(pid))

    watching = threading.Thread(target=look)
    watching.start()
    try:
        yield peaks
    finally:
        over.set()
        watching.join()


def children() -> list[int]:
    """The child processes."""
    return [int(pid) for entry in Path("/proc/self/task").glob("*/children") for pid in entry.read_text().split()]


def peak(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), 0)


def check(bucket: Any, tables: int) -> None:
    """Check that the published manifest has every table and that its file exists."""
    latest = decode(bucket.blob("_bqdump/latest.json").download_as_bytes(), Latest, "latest.json")
    manifest = decode(bucket.blob(latest.manifest).download_as_bytes(), Manifest, "manifest.json")
    assert [entry.table for entry in manifest.tables] == [f"table_{number:04}" for number in range(tables)]
    stored = {blob.name: int(blob.generation) for blob in bucket.list_blobs() if not blob.name.startswith("_bqdump/")}
    assert stored == {file.name: file.generation for entry in manifest.tables for file in entry.files}


def grow(what: str, results: list[Measured]) -> None:
    """Print the growth of the cost while one number doubles twice."""
    for key in ("requests", "cpu", "memory"):
        first = getattr(results[0], key)
        print(f"{what} 1× 2× 4×: {key} " + " ".join(f"{getattr(one, key) / first:.2f}" for one in results))


if __name__ == "__main__":
    main()
