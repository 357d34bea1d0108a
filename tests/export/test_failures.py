"""A failure is told by every execution that has met it."""

from __future__ import annotations

import asyncio
import itertools
import logging

import pytest
from msgspec.structs import replace

from bqdump.adapters.memory import MemoryStore
from bqdump.core.documents.run import Owner
from bqdump.core.errors import DeniedError, NotFoundError, TablesFailedError
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target
from bqdump.export.act import TaskResult
from bqdump.export.publish.report import report_page
from bqdump.export.run import obtain_plan, run
from bqdump.export.task import Task
from bqdump.observe.status import status
from bqdump.ports.warehouse import JobError
from bqdump_memory import MemoryWarehouse

SETTINGS = Settings(project="project", dataset="data", target=Target("gs", "memory"))


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


@pytest.mark.parametrize("partial", [False, True])
@pytest.mark.parametrize("char", ["\x00", "\x1b", "表", "😀", "\ud83d", '"'])
def test_a_failure_in_any_script_is_recorded_and_ends_its_table_only(
    char: str, partial: bool, caplog: pytest.LogCaptureFixture
) -> None:
    # What is logged goes from process to process as UTF-8, where tests run side by side.
    caplog.set_level(logging.CRITICAL + 1, "bqdump")
    store, warehouse = failing_world()
    name = "表" * 300
    warehouse.put("project", "data", name, ["row"])
    warehouse.failing = lambda table, job_id: JobError("invalid", char * 3000) if table == name else None
    settings = Settings(
        project="project", dataset="data", target=Target("gs", "memory"), path="{table}_*.{ext}", allow_partial=partial
    )
    task = Task(store, warehouse, settings, "r1", Owner("first", 0), 1)
    for _ in range(2):
        ended = asyncio.run(_outcome(task))
        assert isinstance(ended, TaskResult if partial else TablesFailedError)
    found = asyncio.run(status(store, settings, "r1"))
    assert [failure.table for failure in found.failed] == [name]
    assert found.done == 2


def test_two_executions_that_wait_for_one_job_both_say_that_it_failed() -> None:
    store, warehouse = failing_world()

    async def both() -> list[object]:
        tasks = [Task(store, warehouse, SETTINGS, "r1", Owner(name, 0), 1) for name in ("first", "second")]
        await obtain_plan(tasks[0])
        return await asyncio.gather(*map(run, tasks), return_exceptions=True)

    ends = asyncio.run(both())
    assert len(ends) == 2
    assert all(isinstance(end, TablesFailedError) for end in ends), ends
    assert all("bad: invalid: no such column" in str(end) for end in ends)
    assert store.peek("_bqdump/latest.json") is None


def test_a_resumed_run_tries_the_failed_table_again_and_publishes() -> None:
    store, warehouse = failing_world()
    task = Task(store, warehouse, SETTINGS, "r1", Owner("first", 0), 1)
    for _ in range(2):
        # The same execution fails at once: trying again is for the next one.
        ended = asyncio.run(asyncio.wait_for(_outcome(task), 10))
        assert isinstance(ended, TablesFailedError)
    jobs = len(warehouse.extracted)
    warehouse.failing = lambda table, job_id: None
    outcome = asyncio.run(run(replace(task, owner=Owner("second", 0))))
    assert outcome.state == "published"
    assert len(warehouse.extracted) == jobs + 1


def test_a_run_that_publishes_nothing_leaves_a_page_with_the_reason() -> None:
    store, warehouse = failing_world()
    task = Task(store, warehouse, SETTINGS, "r1", Owner("first", 0), 1)
    assert isinstance(asyncio.run(_outcome(task)), TablesFailedError)
    stored = store.peek("_bqdump/runs/r1/failed-first.html")
    assert stored is not None
    page = stored[0].decode()
    for expected in (
        "Failed.",
        "1 table failed, 1 of 2 tables done",
        "no such column",
        "bqdump run --run-id r1 --project ",
    ):
        assert expected in page
    run_name, made_anew = asyncio.run(report_page(store, SETTINGS, "r1"))
    assert (run_name, made_anew) == ("r1", stored[0])
    with pytest.raises(NotFoundError):
        asyncio.run(report_page(store, SETTINGS, "r2"))


def test_a_page_that_cannot_be_stored_changes_nothing_of_how_the_run_ends() -> None:
    _, warehouse = failing_world()

    class Refusing(MemoryStore):
        async def write(self, name: str, data: bytes, expect: int | None) -> int:
            if name.endswith(".html"):
                raise DeniedError("write", name, "not allowed")
            return await super().write(name, data, expect)

    refusing = Refusing()
    warehouse = MemoryWarehouse(refusing, warehouse.clock, failing=warehouse.failing)
    warehouse.put("project", "data", "bad", ["row"])
    task = Task(refusing, warehouse, SETTINGS, "r1", Owner("first", 0), 1)
    assert isinstance(asyncio.run(_outcome(task)), TablesFailedError)


async def _outcome(task: Task) -> object:
    try:
        return await run(task)
    except TablesFailedError as error:
        return error
