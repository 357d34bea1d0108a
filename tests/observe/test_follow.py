"""Following a run from the bucket alone: what is told, when it ends, and what it costs."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from msgspec.structs import replace

from bqdump.adapters.memory import MemoryStore
from bqdump.core.documents.run import Owner
from bqdump.core.errors import NotFoundError, TablesFailedError
from bqdump.core.progress.events import Entered, Event
from bqdump.core.progress.tally import Progress
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target
from bqdump.export.run import obtain_plan, run
from bqdump.export.task import Task
from bqdump.observe.follow import Pace, follow
from bqdump.observe.status import Status
from bqdump.ports.store import Note
from bqdump.ports.warehouse import JobError
from bqdump_memory import MemoryWarehouse
from copying.scene import Copies
from entries import entry

SETTINGS = Settings(project="project", dataset="data", target=Target("gs", "memory"), concurrency=1)
PACE = Pace(0.002, 0.01)


class CountingStore(MemoryStore):
    """Counts what a follower asks for."""

    def __init__(self, page: int = 1000) -> None:
        super().__init__(page=page)
        self.listed: list[str] = []
        self.asked: Counter[str] = Counter()

    async def notes(self, prefix: str, start: str = "") -> AsyncIterator[list[Note]]:
        self.listed.append(prefix.removeprefix("_bqdump/runs/r1/"))
        async for page in super().notes(prefix, start):
            yield page

    async def read(self, name: str, *part: Any) -> Any:
        self.asked[f"read {name.rpartition('/')[2]}"] += 1
        return await super().read(name, *part)

    async def stat(self, name: str) -> Any:
        self.asked[f"stat {name.rpartition('/')[2]}"] += 1
        return await super().stat(name)


def world(
    tables: int = 5, page: int = 1000, failing: Callable[[str, str], JobError | None] = lambda table, job: None
) -> tuple[MemoryStore, Task]:
    store = MemoryStore(page=page)
    clock = itertools.count(1_800_000_000_000)
    warehouse = MemoryWarehouse(store, lambda: next(clock), seconds=lambda table: 0.02, failing=failing)
    for number in range(tables):
        warehouse.put("project", "data", f"t{number}", ["row"])
    return store, Task(store, warehouse, SETTINGS, "r1", Owner("r1", 0), 1)


async def followed(store: MemoryStore, tell: Callable[[Event], None] = lambda event: None) -> list[Status]:
    return [found async for found in follow(store, SETTINGS, "r1", tell=tell, pace=PACE, wait=True)]


async def together(task: Task, *, tell: Callable[[Event], None] = lambda event: None) -> list[Status]:
    store = task.store
    assert isinstance(store, MemoryStore)
    reported, ended = await asyncio.wait_for(
        asyncio.gather(followed(store, tell), run(task), return_exceptions=True), 30
    )
    assert isinstance(ended, TablesFailedError) or not isinstance(ended, BaseException), ended
    assert not isinstance(reported, BaseException), reported
    return reported


def test_a_run_is_followed_from_before_its_start_until_it_is_published() -> None:
    _, task = world()
    progress, events = Progress(), itertools.count()
    entered = list[tuple[str, int]]()

    def tell(event: Event) -> None:
        progress.take(event, float(next(events)))
        if isinstance(event, Entered):
            entered.append((event.stage, progress.view(1e6).done))

    reported = asyncio.run(together(task, tell=tell))
    # It publishes once all tables are there, and not before.
    assert ("published", 5) in entered
    assert {done for _, done in entered} == {5}
    states = [status.state for status in reported]
    assert states[0] == "planning"
    assert states[-1] == "published"
    done = [status.done for status in reported]
    assert done == sorted(done)
    assert done[-1] == 5
    assert len(set(done)) > 2
    assert len(reported) == len(set(map(repr, reported)))
    view = progress.view(1e6)
    assert (view.tables, view.done, view.stage) == (5, 5, "published")


def test_a_failed_run_ends_it_too_and_names_the_table() -> None:
    _, task = world(failing=lambda table, job: JobError("invalid", "no") if table == "t1" else None)
    reported = asyncio.run(together(task))
    assert reported[-1].state == "failed"
    assert [failure.table for failure in reported[-1].failed] == ["t1"]


def test_a_partial_export_is_not_taken_for_a_failed_one() -> None:
    _, task = world(failing=lambda table, job: JobError("invalid", "no") if table == "t1" else None)
    allowed = Settings(
        project="project", dataset="data", target=Target("gs", "memory"), concurrency=1, allow_partial=True
    )
    reported = asyncio.run(together(replace(task, settings=allowed)))
    assert reported[-1].state == "published"


def test_a_resumed_run_is_running_again() -> None:
    failing = {"t1"}
    store, task = world(failing=lambda table, job: JobError("invalid", "no") if table in failing else None)
    assert asyncio.run(together(task))[-1].state == "failed"
    failing.clear()

    async def resumed() -> list[Status]:
        reported: list[Status] = []
        finish = asyncio.create_task(run(replace(task, owner=Owner("second", 0))))
        while not finish.done():
            reported += [found async for found in _first(follow(store, SETTINGS, "r1", pace=PACE))]
            await asyncio.sleep(0)
        reported += await followed(store)
        return reported

    states = [status.state for status in asyncio.run(resumed())]
    assert "running" in states
    assert states[-1] == "published"


async def _first(statuses: AsyncIterator[Status]) -> AsyncIterator[Status]:
    async for found in statuses:
        yield found
        return


def test_an_earlier_run_that_readers_no_longer_see_has_ended() -> None:
    store, task = world()
    asyncio.run(run(task))
    asyncio.run(run(replace(task, run="r2", owner=Owner("r2", 0))))
    assert [status.state for status in asyncio.run(followed(store))] == ["superseded"]


def test_a_run_that_was_never_started_is_not_waited_for() -> None:
    async def go() -> None:
        async for _ in follow(MemoryStore(), SETTINGS, "never"):
            pass

    with pytest.raises(NotFoundError, match="cannot find run never"):
        asyncio.run(go())


def test_a_run_that_is_pruned_while_it_is_followed_ends_it() -> None:
    store, task = world()
    asyncio.run(obtain_plan(task))

    async def go() -> None:
        async for _ in follow(store, SETTINGS, "r1", pace=PACE):
            store.put_now(SETTINGS.layout.mark("r1").name, b"{}")

    with pytest.raises(NotFoundError, match="run r1: it was pruned"):
        asyncio.run(asyncio.wait_for(go(), 30))


def test_a_copy_is_followed_until_it_is_in_the_log() -> None:
    copies = Copies()
    copies.export("a")
    copies.copy()
    name = entry(copies.target, copies.there.layout, "a")
    found = copies.target.peek(name)
    assert found
    asyncio.run(copies.target.delete([(name, found[1].generation)]))

    async def go() -> list[str]:
        states = list[str]()
        async for shown in follow(copies.target, copies.there, "a", pace=PACE, every_look=True):
            states.append(shown.state)
            if len(states) == 3:
                await copies.target.write_note(name, found[0], 0)
        return states

    assert asyncio.run(go()) == ["complete"] * 3 + ["published"]


def test_a_look_costs_one_listing_and_the_plan_is_read_once() -> None:
    store, task = world()
    counting = CountingStore()
    counting._objects = store._objects

    async def both() -> None:
        await asyncio.gather(followed(counting), run(task))

    asyncio.run(both())
    assert set(counting.listed) == {"", "_bqdump/log/"}
    looks = counting.listed.count("")
    assert looks > 5
    assert counting.asked["stat planner.json"] == 0
    # Read until it was there, and never again.
    before_plan = counting.asked["read plan.json"] - 1
    settled = counting.asked["stat manifest.json"]
    # Which run is published, and whether this one is damaged.
    assert counting.listed.count("_bqdump/log/") <= 2 * settled + 1
    assert (manifests := counting.asked["read manifest.json"]) <= settled
    # While nothing changes: whether the run was pruned.
    assert (unchanged := counting.asked["stat r1.json"]) < looks
    assert sum(counting.asked.values()) == before_plan + 1 + settled + manifests + unchanged


def test_a_long_folder_is_listed_in_parts() -> None:
    store, task = world(tables=4, page=2)
    counting = CountingStore(page=2)
    counting._objects = store._objects

    async def both() -> None:
        await asyncio.gather(followed(counting), run(task))

    asyncio.run(both())
    assert next(folder for folder in counting.listed if "_bqdump" not in folder) == ""
    own = [folder for folder in counting.listed if "_bqdump" not in folder]
    assert own[-3:] == ["claims/", "receipts/", "failures/"]


def test_readings_grow_rare_while_nothing_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    store, _ = world()
    slept: list[float] = []

    class EnoughError(Exception):
        pass

    async def no_pause(seconds: float) -> None:
        if seconds:
            slept.append(seconds)
        if len(slept) == 12:
            raise EnoughError

    monkeypatch.setattr(asyncio, "sleep", no_pause)

    async def go() -> None:
        async for _ in follow(store, SETTINGS, "r1", wait=True):
            pass

    with pytest.raises(EnoughError):
        asyncio.run(go())
    assert slept[0] == 2.0
    assert slept == sorted(slept)
    assert slept[-1] == 30.0
