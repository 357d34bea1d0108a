"""Two restores into one dataset: whichever pauses wherever, none reports rows as restored that are not of its run."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy

import pytest
from msgspec.structs import replace

from bqdump.core.documents.run import Owner
from bqdump.core.errors import BqdumpError, TargetError, UsageError
from bqdump.core.restore.plan import Options
from bqdump.core.restore.result import Restoration
from bqdump.core.tables.catalog import Dataset
from bqdump.core.wording import COMMANDS, fill
from bqdump.export.run import run as export
from bqdump.export.task import Task as ExportTask
from bqdump.restoration.listing import Place, abort, find_restores
from bqdump.restoration.restore import restore_one as restore
from bqdump.restoration.task import Request, Task
from restore.killed import Killed, killed_at
from restore.paused import Pause, pausing
from restore.world import INTO, SETTINGS, ExportedWorld
from tiers import points

# As many rows, so that their number tells nothing.
RUNS = {"first": ["a", "b"], "second": ["c", "d"]}
KEPT = replace(SETTINGS, path="{run}/{table}/{table}_*.{ext}")
REPLACE = replace(INTO, replace=True)
MISSING = replace(INTO, missing_only=True)
COPY = Dataset("project", "copy", "US")
SECOND = 1000


def two_runs() -> ExportedWorld:
    world = ExportedWorld({"one": ["x", "y"]})
    for run, rows in RUNS.items():
        world.big.put("project", "data", "one", rows)
        asyncio.run(export(ExportTask(world.store, world.big, KEPT, run, Owner(run, 0), 1)))
    return world


def task(world: ExportedWorld, run: str, options: Options = REPLACE, execution: str = "") -> Task:
    owner = Owner(execution or run, 0)
    return Task(world.store, world.big, KEPT, Request(options, run), owner, 1)


def ended_before(world: ExportedWorld) -> None:
    """A restore that has left the table with its label, and was ended."""
    for number in range(100):
        with suppress(Killed):
            asyncio.run(restore(killed_at(task(world, "first", INTO, "killed"), number)))
        if world.rows("one") is not None:
            break
    end(world)
    assert world.definition("one")["labels"]


def of_the_owner(world: ExportedWorld) -> None:
    world.big.put("project", "copy", "one", ["x", "y"])


def end(world: ExportedWorld) -> None:
    """End all restores that are not done."""
    for found in asyncio.run(find_restores([Place(world.store, KEPT.layout)])).restores:
        if not found.done:
            asyncio.run(abort(found, world.big))


async def outcome(
    world: ExportedWorld, run: str, options: Options, pause: Pause, execution: str = ""
) -> Restoration | BqdumpError:
    """How a restore ends: what it reports then is true, or was when it looked last."""
    try:
        ended = await restore(pausing(task(world, run, options, execution), pause))
    except BqdumpError as error:
        return error
    if ended.tables and pause.at < last_look(pause):
        assert world.rows("one") == RUNS[run], (run, pause.at, pause.requests)
    return ended


def last_look(pause: Pause) -> int:
    """The request by which a process has last looked at the table, or whether another restore has overtaken it."""
    looks = [at for at, what in enumerate(pause.requests) if what.endswith((" one", "/plan.json"))]
    return max(looks, default=-1)


@pytest.mark.parametrize("before", [ended_before, of_the_owner, lambda world: None], ids=["ended", "owner", "none"])
@pytest.mark.parametrize("other", [REPLACE, INTO, MISSING], ids=["replace", "new", "missing"])
def test_of_two_restores_none_reports_rows_of_the_other_as_restored(
    before: Callable[[ExportedWorld], None], other: Options
) -> None:
    """One pauses at every request, and the other one at some."""

    async def both(first: Pause, second: Pause) -> bool:
        one = asyncio.create_task(outcome(world, "first", other, first))
        await first.reach(one)
        two = asyncio.create_task(outcome(world, "second", REPLACE, second))
        paused = await second.reach(two)
        await first.end(one)
        await second.end(two)
        one.result(), two.result()
        return paused

    begun = two_runs()
    before(begun)
    schedules = 0
    for at in (0, 24, 28):
        for number in points(itertools.count()):
            world = deepcopy(begun)
            if not asyncio.run(both(Pause(at), Pause(number))):
                break
        schedules += number
    assert schedules > 50


def test_a_restore_whose_table_a_later_one_finishes_does_not_report_it_as_restored() -> None:
    """It pauses at every request, or is killed there and repeated, and neither of them replaces tables."""

    async def paused(pause: Pause) -> bool:
        one = asyncio.create_task(outcome(world, "first", INTO, pause))
        reached = await pause.reach(one)
        later = await outcome(world, "second", MISSING, Pause(-1))
        await pause.end(one)
        one.result()
        seen.add((type(later), type(one.result())))
        return reached

    begun, seen = two_runs(), set[tuple[type, type]]()
    for number in points(itertools.count()):
        world = deepcopy(begun)
        if not asyncio.run(paused(Pause(number))):
            break
        world = deepcopy(begun)
        with suppress(Killed):
            asyncio.run(restore(killed_at(task(world, "first", INTO), number)))
        asyncio.run(restore(task(world, "second", MISSING)))
        rows = world.rows("one")
        with suppress(UsageError):
            again = asyncio.run(restore(task(world, "first", INTO, "again")))
            assert (again.tables == (), world.rows("one")) == (rows != RUNS["first"], rows)
            seen.add((Restoration, bool))
    assert number > 20


@pytest.mark.parametrize("options", [REPLACE, INTO], ids=["replace", "new"])
@pytest.mark.parametrize("dropped", [False, True])
def test_a_frozen_process_of_a_restore_that_was_ended_writes_nothing_into_the_one_begun_anew(
    options: Options, *, dropped: bool
) -> None:
    """It is frozen at every request, and wakes while the new one, of the same id, is at some."""

    async def frozen(pause: Pause, anew: Pause) -> bool:
        one = asyncio.create_task(outcome(world, "first", options, pause, "frozen"))
        paused = await pause.reach(one)
        for found in (await find_restores([Place(world.store, KEPT.layout)])).restores:
            if not found.done:
                await abort(found, world.big)
        if dropped and paused:
            await world.big.drop_dataset(COPY)
        two = asyncio.create_task(outcome(world, "first", options, anew, "anew"))
        await anew.reach(two)
        await pause.end(one)
        await anew.end(two)
        ended = two.result()
        if isinstance(ended, Restoration) and ended.state == "restored" and paused:
            assert ([table.table for table in ended.tables], world.rows("one")) == (["one"], RUNS["first"])
        seen.add(type(one.result()))
        return paused

    begun = two_runs()
    if options.replace:
        of_the_owner(begun)
    seen = set[type]()
    for at in (0, 12, 30, 1000):
        for number in points(itertools.count()):
            world = deepcopy(begun)
            if not asyncio.run(frozen(Pause(number), Pause(at))):
                break
        assert number > 20
    assert TargetError in seen


def running(world: ExportedWorld, options: Options = REPLACE, run: str = "first") -> str:
    """A restore whose documents are recent; its id."""
    world.store.clock = lambda: world.big.clock() - SECOND
    with suppress(Killed):
        asyncio.run(restore(killed_at(task(world, run, options, "running"), 16)))
    (found,) = asyncio.run(find_restores([Place(world.store, KEPT.layout)])).restores
    assert not found.done
    return found.decision.restore


@pytest.mark.parametrize(
    ("first", "second"),
    [(REPLACE, REPLACE), (INTO, REPLACE), (REPLACE, MISSING)],
    ids=["both", "second", "first"],
)
def test_a_restore_is_refused_while_another_one_replaces_the_same_tables(first: Options, second: Options) -> None:
    world = two_runs()
    if first.replace:
        of_the_owner(world)
    id_ = running(world, first)
    before = world.store.names_now(), world.rows("one"), [*world.big.started]
    with pytest.raises(UsageError) as refused:
        asyncio.run(restore(task(world, "second", second)))
    error, lists = refused.value, "bqdump restores"
    assert error.cause == f"restore {id_} of run first is at work there on the same tables: one"
    assert fill(error.hint, COMMANDS) == (
        f"Wait until `{lists}` lists it as done or stopped, or end it: {lists} --abort {id_}"
    )
    assert (world.store.names_now(), world.rows("one"), [*world.big.started]) == before
    end(world)
    assert asyncio.run(restore(task(world, "second"))).state == "restored"
    assert world.rows("one") == RUNS["second"]


def test_restores_of_other_tables_or_datasets_and_drills_are_not_refused() -> None:
    world = two_runs()
    for name in ("two", "three"):
        world.big.put("project", "data", name, ["x"])
    asyncio.run(export(ExportTask(world.store, world.big, KEPT, "third", Owner("third", 0), 1)))
    of_the_owner(world)
    running(world)
    others = (
        replace(REPLACE, exclude=("one",)),
        replace(REPLACE, dataset="other"),
        replace(REPLACE, as_="{table}_old"),
    )
    for number, options in enumerate(others):
        assert asyncio.run(restore(task(world, "third", options, f"x{number}"))).state == "restored"


def test_a_restore_that_was_overtaken_is_not_resumed() -> None:
    world = two_runs()
    of_the_owner(world)
    first = running(world)
    world.store.clock = lambda: 1
    for found in asyncio.run(find_restores([Place(world.store, KEPT.layout)])).restores:
        for info in found.infos:
            content = world.store.peek(info.name)
            assert content
            world.store.put_now(info.name, content[0])
    assert asyncio.run(restore(task(world, "second"))).state == "restored"
    again = asyncio.run(restore(task(world, "first", execution="again")))
    assert (again.state, world.rows("one"), again.restore != first) == ("restored", RUNS["first"], True)
