"""What the status of a run says of it."""

from __future__ import annotations

import asyncio

from bqdump.adapters.memory import MemoryStore, MemoryWarehouse
from bqdump.core.documents import Owner
from bqdump.core.moments import moment_text, parse_moment
from bqdump.core.settings import Settings
from bqdump.flow.planning import obtain_plan
from bqdump.flow.status import status
from bqdump.flow.task import Task

NOW = 1_800_000_000_000
DAY = 86_400_000


def begun(snapshot_time: str) -> Task:
    """A run of now that has been planned, over a table of five days ago."""
    moment = NOW - 5 * DAY
    store = MemoryStore()
    warehouse = MemoryWarehouse(store, lambda: moment)
    warehouse.put("project", "data", "sales", ["row"])
    moment = NOW
    settings = Settings(project="project", dataset="data", bucket="memory", snapshot_time=snapshot_time)
    task = Task(store, warehouse, settings, "r1", Owner("r1", 0), 1)
    asyncio.run(obtain_plan(task))
    return task


def test_a_run_is_silent_since_it_was_planned_however_early_its_snapshot_time_is() -> None:
    early = moment_text(NOW - 3 * DAY)
    task = begun(early)
    found = asyncio.run(status(task.store, task.settings, "r1"))
    assert (found.state, found.snapshot_time) == ("running", early)
    assert found.silence(NOW / 1000 + 60) == 60
    assert parse_moment(found.planned) == NOW
