"""Runs that were abandoned: a later one that is published deletes what they have staged, and nothing else."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from bqdump.adapters.memory import MemoryStore
from bqdump.core.documents.run import Owner
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target
from bqdump.export.act import TaskResult
from bqdump.export.placement.choose import running_export
from bqdump.export.run import obtain_plan, run
from bqdump.export.task import ReadRoute, Task
from bqdump.export.work.work import work
from bqdump_memory import MemoryEncoder, MemoryReader, MemoryWarehouse
from logged import logged

SETTINGS = Settings(project="p", dataset="sales", target=Target("gs", "memory", "x/"))
LAYOUT = SETTINGS.layout


class Scene:
    """A bucket and a dataset of two tables."""

    def __init__(self) -> None:
        clock = itertools.count(1_790_000_000_000)
        self.days = 0
        self.seconds = 0.0
        self.store = MemoryStore(page=100)
        self.warehouse = MemoryWarehouse(
            self.store, lambda: next(clock) + self.days * 86_400_000, seconds=lambda table: self.seconds
        )
        for table in ("items", "sales"):
            self.warehouse.put("p", "sales", table, [f"{table} {number}" for number in range(3)])

    def task(self, name: str, **settings: Any) -> Task:
        """The only task of a run."""
        chosen = msgspec.structs.replace(SETTINGS, **settings)

        async def at_once(call: Any) -> Any:
            return call()

        reading = ReadRoute(MemoryReader(self.warehouse, self.warehouse.clock), MemoryEncoder(), 2, at_once)
        return Task(self.store, self.warehouse, chosen, name, Owner(name, 0), 1, open_read_route=lambda: reading)

    def run(self, name: str, **settings: Any) -> TaskResult:
        """A run from its start to its end."""
        return asyncio.run(run(self.task(name, **settings)))

    def abandon(self, name: str, **settings: Any) -> None:
        """A run that exports its tables and dies before it publishes them."""

        async def first_half() -> None:
            task = self.task(name, **settings)
            await work(running_export(task, await obtain_plan(task)))

        asyncio.run(first_half())

    def staged(self, name: str) -> list[str]:
        """What a run has staged."""
        return [one for one in self.store.names_now() if one.startswith(LAYOUT.run(name).staging)]

    def notes(self) -> list[str]:
        """The runs that may have staged files."""
        return [name.removeprefix(LAYOUT.staged) for name in self.store.names_now() if name.startswith(LAYOUT.staged)]


@pytest.fixture
def scene() -> Scene:
    return Scene()


@pytest.mark.parametrize("route", ["extract", "query", "read"])
def test_a_published_run_deletes_what_an_abandoned_one_has_staged(
    scene: Scene, route: str, caplog: pytest.LogCaptureFixture
) -> None:
    scene.abandon("old", route=route)
    size = sum(found[1].size for name in scene.staged("old") if (found := scene.store.peek(name)))
    rest = {name for name in scene.store.names_now() if "/runs/old/" in name} - set(scene.staged("old"))
    assert len(scene.staged("old")) == 2
    with caplog.at_level(logging.INFO):
        assert scene.run("new").state == "published"
    assert scene.staged("old") == []
    assert rest <= set(scene.store.names_now())
    [deleted] = logged(caplog, LogEvent.STAGING_DELETED)
    assert deleted.args == ("old", "2 files", f"{size} B")
    report = scene.store.peek(LAYOUT.run("new").report)
    assert report
    assert b"Deleted staged files of unfinished runs" in report[0]
    assert b"<code>old</code>" in report[0]


def test_what_a_killed_publisher_has_left_is_not_said_to_be_of_a_run_that_was_never_published(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    scene.abandon("old")
    left = {
        name: stored[0]
        for name in [*scene.staged("old"), f"{LAYOUT.staged}old.json"]
        if (stored := scene.store.peek(name))
    }
    assert scene.run("old").state == "published"
    for name, data in left.items():
        asyncio.run(scene.store.write(name, data, 0))
    with caplog.at_level(logging.INFO):
        assert scene.run("new").state == "published"
    [deleted] = logged(caplog, LogEvent.STAGING_DELETED)
    assert deleted.getMessage().startswith("deleted the staged files of run old, which no longer needs them: 2 files, ")
    assert scene.staged("old") == []


def test_one_that_is_resumed_afterwards_changes_nothing(scene: Scene) -> None:
    scene.abandon("old")
    scene.warehouse.put("p", "sales", "items", ["later"])
    scene.run("new")
    before = {name: scene.store.peek(name) for name in scene.store.names_now() if "_bqdump/" not in name}
    assert scene.run("old").state == "superseded"
    assert {name: scene.store.peek(name) for name in before} == before
    assert scene.staged("old") == []


def test_what_a_run_stages_after_it_was_cleared_is_deleted_later(scene: Scene) -> None:
    """It was planned early, stood still while another one was published, and died at last."""
    asyncio.run(obtain_plan(scene.task("old")))
    scene.run("new")
    scene.abandon("old")
    assert len(scene.staged("old")) == 2
    scene.run("newer")
    assert scene.staged("old") == []


def test_a_later_run_that_is_not_done_yet_keeps_what_it_has_staged(scene: Scene) -> None:
    asyncio.run(obtain_plan(scene.task("early")))
    scene.abandon("late")
    scene.run("early")
    assert len(scene.staged("late")) == 2
    assert scene.run("late").state == "published"


def test_a_run_whose_jobs_are_running_keeps_its_files_until_the_next_publication(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    async def meanwhile() -> None:
        scene.seconds = 1000.0
        old = asyncio.create_task(run(scene.task("old")))
        while [job.state for job in scene.warehouse._jobs.values()] != ["running", "running"]:
            await asyncio.sleep(0)
        old.cancel()
        scene.store.put_now(LAYOUT.run("old").staged("00000-00000", 0, "x_*.csv").replace("*", "000000000000"), b"half")
        scene.seconds = 0.0
        assert (await run(scene.task("new"))).state == "published"
        assert len(scene.staged("old")) == 1
        await asyncio.gather(*scene.warehouse._running)

    with caplog.at_level(logging.INFO):
        asyncio.run(meanwhile())
    [kept] = logged(caplog, LogEvent.STAGING_KEPT)
    assert kept.args == ("old",)
    assert len(scene.staged("old")) == 3
    scene.run("newer")
    assert scene.staged("old") == []


def test_a_file_that_is_written_anew_meanwhile_stays(scene: Scene) -> None:
    scene.abandon("old")
    name = scene.staged("old")[0]

    class Rewriting(MemoryStore):
        def __init__(self) -> None:
            self.__dict__ = scene.store.__dict__

        async def objects(self, prefix: str, start: str = "") -> AsyncIterator[list[Any]]:
            async for page in super().objects(prefix, start):
                if prefix == LAYOUT.run("old").staging:
                    self.put_now(name, b"written anew")
                yield page

    asyncio.run(run(replace(scene.task("new"), store=Rewriting())))
    assert scene.staged("old") == [name]


def test_a_thousand_earlier_runs_cost_one_listing(scene: Scene) -> None:
    for number in range(3):
        scene.run(f"run{number}")
    scene.abandon("old")
    for number in range(1000):
        # As finished runs leave them.
        for last in ("plan.json", "manifest.json", "report.html"):
            scene.store.put_now(f"{LAYOUT.runs}night{number}/{last}", b"{}")
    scene.run("cleaning")
    scene.days = 7
    scene.run("again")
    assert scene.notes() == ["old.json"]
    scene.days = 9
    scene.run("last")
    assert scene.notes() == []
    calls: Counter[str] = Counter()

    class Counting(MemoryStore):
        def __init__(self) -> None:
            self.__dict__ = scene.store.__dict__

        async def notes(self, prefix: str, start: str = "") -> AsyncIterator[list[Any]]:
            async for page in super().notes(prefix, start):
                calls[prefix] += 1
                yield page

        async def objects(self, prefix: str, start: str = "") -> AsyncIterator[list[Any]]:
            async for page in super().objects(prefix, start):
                calls[prefix] += 1
                yield page

        async def folders(self, prefix: str) -> list[str]:
            calls[prefix] += 1
            return await super().folders(prefix)

    asyncio.run(run(replace(scene.task("nightly"), store=Counting())))
    assert calls[LAYOUT.staged] == 1
    assert {name for name in calls if "nightly" not in name} == {LAYOUT.staged, LAYOUT.log}
    assert scene.notes() == []


def test_a_run_that_keeps_its_files_deletes_what_a_replacing_one_has_staged(scene: Scene) -> None:
    scene.abandon("old")
    scene.run("new", path="{run}/{table}/*.{ext}")
    assert scene.staged("old") == []


def test_a_run_that_cannot_be_cleared_does_not_fail_the_one_that_is_published(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("old", "older"):
        scene.abandon(name)
    scene.store.put_now(LAYOUT.run("old").plan.name, b"no plan")
    assert scene.run("new").state == "published"
    [failed] = logged(caplog, LogEvent.CLEANUP_FAILED)
    assert "run old" in failed.getMessage()
    assert LAYOUT.run("old").plan.name in failed.getMessage()
    assert len(scene.staged("old")) == 2
    assert scene.staged("older") == []
