"""A failure is told by every execution that has met it."""

from __future__ import annotations

import asyncio
import itertools

from bqdump.adapters.memory import MemoryStore, MemoryWarehouse
from bqdump.core.documents import Owner
from bqdump.core.errors import UnitsFailedError
from bqdump.core.settings import Settings
from bqdump.flow.planning import obtain_plan
from bqdump.flow.run import run
from bqdump.flow.task import Task
from bqdump.ports import JobError

SETTINGS = Settings(project="project", dataset="data", bucket="memory")


def failing_world() -> tuple[MemoryStore, MemoryWarehouse]:
    store = MemoryStore()
    clock = itertools.count(1_800_000_000_000)
    warehouse = MemoryWarehouse(
        store, lambda: next(clock), seconds=lambda table: 0.02,
        failing=lambda table, job_id: JobError("invalid", "no such column") if table == "bad" else None,
    )  # fmt: skip
    for table in ("bad", "good"):
        warehouse.put("project", "data", table, ["row"])
    return store, warehouse


def test_two_executions_that_wait_for_one_job_both_say_that_it_failed() -> None:
    store, warehouse = failing_world()

    async def both() -> list[object]:
        tasks = [Task(store, warehouse, SETTINGS, "r1", Owner(name, 0), 1) for name in ("first", "second")]
        await obtain_plan(tasks[0])
        return await asyncio.gather(*map(run, tasks), return_exceptions=True)

    ends = asyncio.run(both())
    assert all(isinstance(end, UnitsFailedError) for end in ends), ends
    assert all("bad: invalid: no such column" in str(end) for end in ends)
    assert store.peek("_bqdump/latest.json") is None


def test_a_resumed_run_tries_the_failed_table_again_and_publishes() -> None:
    store, warehouse = failing_world()
    task = Task(store, warehouse, SETTINGS, "r1", Owner("first", 0), 1)
    for _ in range(2):
        # The same execution fails at once: trying again is for the next one.
        ended = asyncio.run(asyncio.wait_for(_outcome(task), 10))
        assert isinstance(ended, UnitsFailedError)
    jobs = len(warehouse.extracted)
    warehouse.failing = lambda table, job_id: None
    outcome = asyncio.run(run(task._replace(owner=Owner("second", 0))))
    assert outcome.result == "published"
    assert len(warehouse.extracted) == jobs + 1


async def _outcome(task: Task) -> object:
    try:
        return await run(task)
    except UnitsFailedError as error:
        return error
