"""What the status of a run says of it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from bqdump.adapters.memory import MemoryStore
from bqdump.core.documents.run import Owner
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target
from bqdump.core.times import rfc3339, time_of, time_text
from bqdump.export.run import obtain_plan
from bqdump.export.task import Task
from bqdump.observe.status import status
from bqdump_memory import MemoryWarehouse
from browser.scenes import Scene, shop
from entries import entries

NOW = 1_800_000_000_000
DAY = 86_400_000


def begun(snapshot_time: str) -> Task:
    """A run of now that has been planned, over a table of five days ago."""
    moment = NOW - 5 * DAY
    store = MemoryStore()
    warehouse = MemoryWarehouse(store, lambda: moment)
    warehouse.put("project", "data", "sales", ["row"])
    moment = NOW
    settings = Settings(project="project", dataset="data", target=Target("gs", "memory"), snapshot_time=snapshot_time)
    task = Task(store, warehouse, settings, "r1", Owner("r1", 0), 1)
    asyncio.run(obtain_plan(task))
    return task


def test_a_run_is_silent_since_it_was_planned_however_early_its_snapshot_time_is() -> None:
    early = rfc3339(NOW - 3 * DAY)
    task = begun(early)
    found = asyncio.run(status(task.store, task.settings, "r1"))
    assert found.state == "running"
    assert time_text(found.snapshot_time) == early
    assert found.silence(NOW / 1000 + 60) == 60
    assert found.planned == time_of(NOW)


def overtaken(*, manifest: bool, failing: Mapping[str, str] | None = None, partial: bool = True) -> Scene:
    """Run `first`, with or without its manifest, over which `second` is published."""
    scene = shop()
    asyncio.run(scene.export("first", failing=failing, partial=partial))
    asyncio.run(scene.export("second"))
    layout = scene.settings.layout
    for name in () if manifest else (entries(scene.store, layout).get("first", ""), layout.run("first").manifest.name):
        if found := scene.store.peek(name):
            asyncio.run(scene.store.delete([(name, found[1].generation)]))
    return scene


@pytest.mark.parametrize("manifest", [False, True])
@pytest.mark.parametrize("failing", [{}, {"orders": "Resources exceeded"}])
def test_a_run_that_a_later_one_has_overtaken_is_superseded(manifest: bool, failing: dict[str, str]) -> None:
    scene = overtaken(manifest=manifest, failing=failing)
    found = asyncio.run(status(scene.store, scene.settings, "first"))
    assert (found.state, found.latest) == ("superseded", "second")
    assert found.silence(scene.time / 1000 + DAY) == 0


def test_a_run_that_is_not_done_is_running_whatever_readers_see() -> None:
    scene = overtaken(manifest=False)

    async def one_less() -> None:
        receipts = await anext(scene.store.notes(scene.settings.layout.run("first").receipts))
        await scene.store.delete([(receipts[0].name, receipts[0].generation)])

    asyncio.run(one_less())
    found = asyncio.run(status(scene.store, scene.settings, "first"))
    assert found.state == "running"
    assert found.resume.startswith(f"bqdump run --run-id first --project {scene.settings.project} --dataset ")


def test_a_run_that_has_failed_has_failed_whatever_readers_see() -> None:
    scene = overtaken(manifest=True, failing={"orders": "Resources exceeded"}, partial=False)
    assert asyncio.run(status(scene.store, scene.settings, "first")).state == "failed"
