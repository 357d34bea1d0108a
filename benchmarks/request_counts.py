"""Requests per table, by service and operation, for 1,000 tables: bqdump with 1 and 10 tasks, and naive tasks.

The real adapters run against the local stack, in one process. All naive tasks are alike, so only 20 are counted.
"""

from __future__ import annotations

import asyncio
import os
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from benchmarks.naive_task import clients, export
from benchmarks.size import sized

from bqdump.core.documents.run import Owner
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target
from bqdump.export.run import run
from bqdump.export.task import Task
from bqdump.services.opened import opened
from bqdump_local.stack import Stack, running

PROJECT, DATASET, TABLES, NAIVE_TASKS = "local-project", "many", *sized((1000, 20), (3, 2))


def main() -> None:
    with running() as stack:
        os.environ.update(stack.variables())
        big, store = clients(PROJECT)
        prepare(big, store)
        reset(stack)
        for index in range(NAIVE_TASKS):
            export(big, store, PROJECT, DATASET, "naive", index)
        baseline = show(stack, f"naive, a task for each table ({NAIVE_TASKS} counted)", NAIVE_TASKS, None)
        for tasks in (1, 10):
            reset(stack)
            before = time.perf_counter()
            asyncio.run(export_all(f"tasks{tasks}", tasks))
            took = time.perf_counter() - before
            show(stack, f"bqdump, {tasks} tasks, first export, {took:.1f} s", TABLES, baseline)


def prepare(big: Any, store: Any) -> None:
    """Create 1,000 empty tables, and a bucket for each execution."""
    for bucket in ("naive", "tasks1", "tasks10"):
        store.create_bucket(bucket)
    big.create_dataset(DATASET)
    schema = [{"name": "id", "type": "INT64"}]

    def make(number: int) -> None:
        reference = {"projectId": PROJECT, "datasetId": DATASET, "tableId": f"table_{number:04}"}
        path = f"/projects/{PROJECT}/datasets/{DATASET}/tables"
        big._connection.api_request("POST", path=path, data={"tableReference": reference, "schema": {"fields": schema}})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(make, range(TABLES)))


async def export_all(bucket: str, tasks: int) -> None:
    """Run all tasks of one execution concurrently."""
    settings = Settings(project=PROJECT, dataset=DATASET, target=Target("gs", bucket))

    async def one(number: int) -> None:
        async with opened(settings, tasks) as services:
            await run(Task(services.store, services.warehouse, settings, bucket, Owner(bucket, number), tasks))

    await asyncio.gather(*map(one, range(tasks)))


def reset(stack: Stack) -> None:
    """Reset the counts."""
    for address in (stack.storage, stack.bigquery):
        with urllib.request.urlopen(urllib.request.Request(f"{address}/_local/requests", method="DELETE")):
            pass


def show(stack: Stack, name: str, tables: int, baseline: dict[str, float] | None) -> dict[str, float]:
    """Print the requests per table, without the files that BigQuery writes. Returns the sums by service."""
    print(name)
    sums: dict[str, float] = {}
    for service, counted in stack.requests().items():
        requests: Any = counted["requests"]
        batched: Any = counted["batched"]
        if service == "storage":
            # BigQuery writes the files of its jobs, here one per job.
            requests["storage.objects.insert"] -= tables
        sums[service] = sum(requests.values()) / tables
        ratio = f", {sums[service] / baseline[service]:.3f} of the naive" if baseline else ""
        calls = f"{sum(batched.values()) / tables:.3f} calls inside batches"
        print(f"  {service}: {sums[service]:.3f} requests per table{ratio}; {calls}")
        for kind, counts in (("", requests), (" (in a batch)", batched)):
            for operation, count in counts.items():
                print(f"    {operation}{kind}: {count:,} ({count / tables:.3f})")
    return sums


if __name__ == "__main__":
    main()
