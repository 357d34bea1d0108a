"""30 tables on the local stack: one naive task per table, compared with bqdump with 1 and with 10 tasks.

CPU seconds of the task processes (without the stack) and wall time, with ratios to the naive tasks.
"""

from __future__ import annotations

import asyncio
import os
import resource
import sys
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from benchmarks.naive_task import clients
from benchmarks.size import sized

from bqdump_local.execute import execute
from bqdump_local.seed import DUMMIES, dummies, seed
from bqdump_local.stack import Stack, running

PROJECT, DATASET = "local-project", "TEST_DATA"
MANY, FEW = sized((DUMMIES, 10), (2, 2))
# -P: the modules next to the script are not its own, such as `copy`.
NAIVE = [sys.executable, "-P", str(Path(__file__).with_name("naive_task.py"))]
BQDUMP = [sys.executable, "-m", "bqdump", "run"]


class Measured(NamedTuple):
    """The cost of one execution."""

    name: str
    cpu: float
    wall: float
    files: int


def main() -> None:
    with running() as stack:
        os.environ.update(stack.variables())
        prepare(stack)
        runs = [
            measure(stack, f"naive, {MANY} tasks", NAIVE, MANY, "naive"),
            measure(stack, "bqdump, 1 task", BQDUMP, 1, "one"),
            measure(stack, f"bqdump, {FEW} tasks", BQDUMP, FEW, "ten"),
        ]
    baseline = runs[0]
    print(f"{MANY} tables of 1,000 rows on the local stack; ratios to {baseline.name!r}")
    print(f"{'':18} {'CPU s':>7} {'ratio':>6} {'wall s':>7} {'ratio':>6} {'files':>6}")
    for run in runs:
        print(
            f"{run.name:18} {run.cpu:7.2f} {run.cpu / baseline.cpu:6.3f} {run.wall:7.2f} "
            f"{run.wall / baseline.wall:6.3f} {run.files:6}"
        )


def prepare(stack: Stack) -> None:
    """Create 30 dummy tables, and a bucket for each execution."""
    made = seed(
        stack, project=PROJECT, dataset=DATASET, bucket="source", target="naive", sources=islice(dummies(), MANY)
    )
    big, store = clients(PROJECT)
    for table in made:
        if not table.startswith("dummy_"):
            big.delete_table(f"{PROJECT}.{DATASET}.{table}")
    for bucket in ("one", "ten"):
        store.create_bucket(bucket)


def measure(stack: Stack, name: str, command: list[str], tasks: int, bucket: str) -> Measured:
    """Run the command as `tasks` parallel tasks."""
    settings = {"PROJECT_ID": PROJECT, "SOURCE_DATASET": DATASET, "DESTINATION_BUCKET": bucket}
    before = cpu_of_children()
    execution = asyncio.run(
        execute(command, tasks=tasks, env=settings | stack.variables(), max_retries=0, execution=f"bench-{bucket}")
    )
    if not execution.ok:
        sys.exit(f"{name}: {execution.failed} tasks failed")
    cpu = cpu_of_children() - before
    _, store = clients(PROJECT)
    files = sum(blob.name.endswith(".csv") for blob in store.list_blobs(bucket))
    return Measured(name, cpu, execution.seconds, files)


def cpu_of_children() -> float:
    """The CPU seconds of all child processes that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
