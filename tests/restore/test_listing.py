"""Restores are listed by their documents, and one that is ended leaves nothing of its own."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
from msgspec.structs import replace

from bqdump.core.documents.layout import Layout
from bqdump.core.errors import DocumentError, NotFoundError, TargetError, UsageError
from bqdump.core.restore.documents import Restores
from bqdump.core.restore.listing import AbortedRestore, ListedRestore, state_of
from bqdump.core.restore.names import is_scratch
from bqdump.core.settings.target import Target
from bqdump.core.tables.catalog import Dataset
from bqdump.core.wording import COMMANDS, fill
from bqdump.ports.warehouse import JobError
from bqdump.restoration import listing as aborting
from bqdump.restoration.listing import FoundRestore, FoundRestores, Place, abort, chosen, find_restores, list_restores
from bqdump.restoration.restore import restore_one as restore
from restore.killed import Counting, Killed, Mortal, killed_at
from restore.test_copies import Folder, killed
from restore.world import INTO, ROWS, SETTINGS, ExportedWorld
from tiers import points

COPY = Dataset("project", "copy", "US")
DAY = 86_400_000
# Documents of restores.
OWN = "_bqdump/(restores|executions|uploads)/"


def everything_in(world: ExportedWorld) -> FoundRestores:
    return asyncio.run(find_restores([Place(world.store, SETTINGS.layout)]))


def found_in(world: ExportedWorld) -> list[FoundRestore]:
    return everything_in(world).restores


def listed(world: ExportedWorld, *, later: int = DAY) -> list[ListedRestore]:
    """The restores, as they are listed after some time (ms)."""

    async def listing() -> list[ListedRestore]:
        found = (await find_restores([Place(world.store, SETTINGS.layout)])).restores
        now = max((restore.changed for restore in found), default=0) + later
        return await list_restores(found, lambda _, since: world.big.at_work(since), now, 7 * DAY)

    return asyncio.run(listing())


def stopped(number: int = 12) -> ExportedWorld:
    """A restore that is killed at this request."""
    world = ExportedWorld()
    with pytest.raises(Killed):
        asyncio.run(restore(killed_at(world.task(INTO, "killed"), number)))
    return world


def end(world: ExportedWorld) -> AbortedRestore:
    (found,) = found_in(world)
    return asyncio.run(abort(found, world.big))


@pytest.mark.parametrize(
    ("given", "state"),
    [
        ({"done": True}, "done"),
        ({"at_work": True}, "running"),
        ({"now": 1000 + 60_000}, "running"),
        ({"now": 1000 + 60_000, "ended": True}, "stopped"),
        ({"now": 1000 + 60_000, "ended": True, "at_work": True}, "running"),
        ({}, "stopped"),
        ({"now": 1000 + 8 * DAY}, "abandoned"),
        ({"now": 1000 + 8 * DAY, "abandoned_ms": 0}, "stopped"),
        ({"changed": 0}, "stopped"),
    ],
)
def test_the_state_follows_from_result_jobs_and_time(given: dict[str, int], state: str) -> None:
    usual: dict[str, Any] = {
        "done": False,
        "at_work": False,
        "changed": 1000,
        "now": 1000 + DAY,
        "abandoned_ms": 7 * DAY,
    }
    assert state_of(**{**usual, **given}) == state


def test_restores_are_listed_with_state_target_and_failures() -> None:
    world = ExportedWorld()
    world.restore()
    world.big.failing = lambda table, job: JobError("invalid", "no") if "_1_0_full" in table else None
    world.restore(replace(INTO, dataset="other"), "second")
    newest, first = listed(world)
    assert [(one.dataset, one.state, one.restored) for one in (newest, first)] == [
        ("other", "stopped", 2), ("copy", "done", 3),
    ]  # fmt: skip
    assert [(one.name, one.reason) for one in newest.failed] == [("one", "invalid")]
    # It has ended, and none of its tasks is at work any more.
    assert [one.state for one in listed(world, later=1000)] == ["stopped", "done"]
    assert (first.run, first.project, first.failed) == ("r1", "project", ())


def test_a_restore_whose_job_is_at_work_is_running() -> None:
    world = stopped()
    world.big.seconds = lambda table: 30.0
    seen: list[ListedRestore] = []

    async def taking_readings() -> None:
        working = asyncio.create_task(restore(world.task(INTO, "again")))
        found: list[FoundRestore] = []
        while not (await world.big.at_work(0)):
            await asyncio.sleep(0)
        found = (await find_restores([Place(world.store, SETTINGS.layout)])).restores
        seen.extend(await list_restores(found, lambda _, since: world.big.at_work(since), found[0].changed + DAY, 0))
        working.cancel()

    asyncio.run(taking_readings())
    assert [one.state for one in seen] == ["running"]


def test_a_restore_that_is_killed_at_any_request_can_be_ended_and_leaves_nothing_of_its_own() -> None:
    for number in points(range(10_000)):
        world = ExportedWorld()
        try:
            asyncio.run(restore(killed_at(world.task(INTO, "killed"), number)))
        except Killed:
            for found in found_in(world):
                if not found.done:
                    asyncio.run(abort(found, world.big))
        else:
            break
        if not any(found.done for found in found_in(world)):
            assert [name for name in world.store.names_now() if re.match(OWN, name)] == [], number
        if ("project", "copy") in world.big.datasets:
            assert not [table.name for table in asyncio.run(world.big.present(COPY)) if is_scratch(table.name)], number
            assert all(world.rows(name) in (None, [], rows) for name, rows in ROWS.items()), number
        result = world.restore(replace(INTO, missing_only=True), "anew")
        assert (result.failed, {name: world.rows(name) for name in ROWS}) == ((), ROWS), number
    assert number > 20


def test_an_abort_that_is_killed_at_any_request_can_be_repeated() -> None:
    for number in points(range(10_000)):
        world = stopped(30)
        counting = Counting(number)
        (found,) = found_in(world)
        place = found.place._replace(store=Mortal(world.store, counting))
        try:
            asyncio.run(abort(found._replace(place=place), Mortal(world.big, counting)))
        except Killed:
            for again in found_in(world):
                asyncio.run(abort(again, world.big))
        else:
            break
        assert found_in(world) == [], number
        assert not [table.name for table in asyncio.run(world.big.present(COPY)) if is_scratch(table.name)], number
    assert number > 5


def test_uploads_go_and_what_the_restore_has_not_named_stays() -> None:
    folder = Folder()
    number = next(number for number in range(10, 200) if killed(folder.task(), number) and folder.uploads)
    assert folder.uploads, number
    (found,) = asyncio.run(find_restores([Place(folder.bucket, Layout("tmp/"))])).restores
    foreign = f"{found.layout.files}mine.csv"
    folder.bucket.put_now(foreign, b"mine")
    done = asyncio.run(abort(found, folder.world.big))
    assert (done.files > 0, done.left, folder.bucket.names_now()) == (True, (foreign,), [foreign])
    # What is left belongs to no restore any more, and the same command begins anew.
    again = asyncio.run(restore(folder.task()))
    assert (again.state, again.restore != found.decision.restore) == ("restored", True)


def test_a_restore_that_is_done_or_unknown_is_not_ended() -> None:
    world = ExportedWorld()
    done = world.restore().restore
    with pytest.raises(UsageError, match="it is done, so there is nothing to end"):
        chosen(everything_in(world), done)
    with pytest.raises(NotFoundError, match="there is none here") as unknown:
        chosen(everything_in(world), "0123456789ab-1", Target("gs", "tmp", "own/"))
    assert "--via gs://tmp/own/" in fill(unknown.value.hint, COMMANDS)


def test_a_damaged_document_is_named_and_other_restores_are_listed() -> None:
    world = ExportedWorld()
    world.restore()
    world.store.put_now(Restores(SETTINGS.layout).restore("0123456789ab-1").plan.name, b"{")
    found = everything_in(world)
    assert ([*found.damaged], [one.decision.target.name for one in found.restores]) == (["0123456789ab-1"], ["copy"])
    with pytest.raises(DocumentError, match="0123456789ab-1"):
        chosen(found, "0123456789ab-1")


@pytest.mark.parametrize(
    ("own", "given", "asked"), [("jobs", "other", "jobs"), ("", "other", "other"), ("", "", "project")]
)
def test_jobs_are_looked_for_in_the_project_that_the_restore_names(own: str, given: str, asked: str) -> None:
    world = ExportedWorld()
    task = world.task(INTO, "killed")
    with pytest.raises(Killed):
        asyncio.run(restore(killed_at(task._replace(settings=replace(task.settings, job_project="jobs")), 12)))
    found = [one._replace(decision=replace(one.decision, jobs_in=own)) for one in found_in(world)]
    assert [one.decision.jobs_in for one in found_in(world)] == ["jobs"]
    seen: list[str] = []

    async def at_work(project: str, since: int) -> set[str]:
        seen.append(project)
        return await world.big.at_work(since)

    asyncio.run(list_restores(found, at_work, 0, 0, given))
    assert seen == [asked]


def test_a_restore_whose_tasks_are_at_work_is_named_and_keeps_its_documents(monkeypatch: pytest.MonkeyPatch) -> None:
    world = stopped()
    before = world.store.names_now()
    (found,) = found_in(world)
    names = iter([{"0"}, {"0", "1"}])

    async def at_work(since: int) -> set[str]:
        return {f"bqdump-restore-{found.decision.mark}-{name}-full-0-0" for name in next(names)}

    monkeypatch.setattr(world.big, "at_work", at_work)
    monkeypatch.setattr(aborting, "POLL_SECONDS", 0)
    with pytest.raises(TargetError, match="its tasks are at work: they have started another job"):
        asyncio.run(abort(found, world.big))
    assert world.store.names_now() == before
