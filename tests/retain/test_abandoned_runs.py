"""Runs that never finished: what is their own goes after a while, and what may be another's stays."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from msgspec.structs import replace

from bqdump.adapters.memory import MemoryStore
from bqdump.check.verify import verify
from bqdump.core.documents.run import Owner, Plan
from bqdump.core.errors import DeniedError, UsageError
from bqdump.export.placement.choose import running_export
from bqdump.export.placement.final_names import announce
from bqdump.export.publish.clear import origin
from bqdump.export.publish.publish import publish
from bqdump.export.run import obtain_plan, run
from bqdump.export.work.work import work
from bqdump.pool.tables import read_ledger
from bqdump.ports.store import Copy, ObjectInfo
from bqdump.repository.repository import overwrite
from bqdump.retain.prune import prune
from retain.scene import DAY, LAYOUT, SETTINGS, Scene

REPLACE = "{table}/{table}_*.{ext}"


def wait(scene: Scene, days: int) -> None:
    scene.now += days * DAY


@pytest.mark.parametrize("path", ["{run}/{table}/{table}_*.{ext}", "{table}/{run}/*.{ext}", REPLACE])
def test_what_an_abandoned_run_has_left_goes_after_a_while(scene: Scene, path: str) -> None:
    scene.run("a", path=path)
    scene.abandon("dead", path=path)
    scene.run("b", path=path)
    assert scene.removed(scene.prune(path=path, keep_last=2)) == []
    wait(scene, 7)
    shown = scene.prune(path=path, keep_last=2, delete=False)
    result = scene.prune(path=path, keep_last=2)
    assert [(one.run, one.reasons) for one in shown.removed] == [("dead", ("abandoned",))]
    assert [(one.run, one.reasons) for one in result.removed] == [("dead", ("pruned 24 hours ago",))]
    assert result.files == shown.later_files == (0 if path == REPLACE else 2)
    assert scene.names("dead") == [LAYOUT.mark("dead").name]
    assert scene.removed(scene.prune(path=path, keep_last=2)) == []


def test_a_run_whose_jobs_are_running_stays(scene: Scene) -> None:
    async def check() -> None:
        scene.seconds = 1e9
        dead = asyncio.create_task(run(scene.task("dead")))
        while [job.state for job in scene.warehouse._jobs.values()][-2:] != ["running", "running"]:
            await asyncio.sleep(0)
        dead.cancel()
        result = await prune(scene.pruning(abandoned_after=3600))
        assert [one.reasons for one in result.runs if one.run == "dead"] == [("its jobs are still running",)]

    scene.run("a")
    asyncio.run(check())


def test_without_the_list_of_jobs_unfinished_runs_stay(scene: Scene) -> None:
    async def denied(_: int) -> set[str]:
        raise DeniedError("list the jobs of", "project p", "permission bigquery.jobs.create denied")

    scene.run("a")
    scene.abandon("dead")
    wait(scene, 9)
    for at_work, note in ((None, "set --project"), (denied, "bigquery.jobs.create denied")):
        result = asyncio.run(prune(scene.pruning()._replace(at_work=at_work)))
        assert scene.removed(result) == []
        assert note in result.notes[0]


def test_abandoned_after_can_be_switched_off(scene: Scene) -> None:
    scene.run("a")
    scene.abandon("dead")
    wait(scene, 900)
    assert scene.removed(scene.prune(abandoned_after=0)) == []


def test_files_that_may_be_anothers_stay_and_are_named(scene: Scene) -> None:
    """In one folder, the files of run `a` of table `b_c` and of run `a_b` of table `c` have the same names."""
    path = "{table}/{run}_*.{ext}"
    scene.run("one", path=path)
    scene.abandon("dead", path=path)
    scene.store.put_now("x/items/dead_000000000007.csv", b"another's")
    wait(scene, 9)
    result = scene.prune(path=path)
    assert (scene.removed(result), result.files) == (["dead"], 2)
    assert result.left == ("x/items/dead_000000000007.csv",)
    assert scene.names("dead") == [LAYOUT.mark("dead").name, *result.left]


def test_objects_in_the_folder_of_an_abandoned_run_that_are_not_its_own_are_named(scene: Scene) -> None:
    scene.run("a")
    scene.abandon("dead")
    scene.store.put_now("x/dead/items/README", b"mine")
    scene.store.put_now("x/dead/items/items_000000000009.csv", b"of a lost attempt")
    wait(scene, 9)
    shown, result = scene.prune(delete=False), scene.prune()
    assert result.left == ("x/dead/items/README",)
    assert (shown.later_files, result.files) == (3, 3)
    assert scene.names("dead") == [LAYOUT.mark("dead").name, "x/dead/items/README"]
    with pytest.raises(UsageError, match="a run of this id was pruned"):
        scene.run("dead")


def test_files_that_an_abandoned_run_has_placed_late_over_final_names_go_unless_they_are_named(scene: Scene) -> None:
    async def announced() -> Plan:
        task = scene.task("dead", path=REPLACE)
        plan = await obtain_plan(task)
        assert await announce(running_export(task, plan), names, None, ["items", "sales"]) is not None
        return plan

    names = ["x/gone/0.csv", "x/gone/1.csv"]
    scene.run("a", path=REPLACE)
    scene.now += DAY
    plan = asyncio.run(announced())
    wait(scene, 9)
    assert scene.removed(scene.prune(path=REPLACE)) == []  # it is named by publishing.json
    scene.run("b", path=REPLACE)
    # Its copies are carried out late: once the next run has cleared what there was of it.
    staged = scene.store.put_now("x/late", b"late")
    copies = [Copy(staged.name, staged.generation, name, 0, staged.size, staged.crc32c) for name in names]
    asyncio.run(scene.store.copy(copies, origin(plan)))
    scene.delete_now("x/late")
    scene.store.put_now("x/gone/1.csv", b"mine now")
    result = scene.prune(path=REPLACE)
    assert (scene.removed(result), result.files) == (["a", "dead"], 1)
    assert scene.names("gone") == ["x/gone/1.csv"]


def test_a_run_that_wakes_up_after_it_was_pruned_is_not_published(scene: Scene) -> None:
    """Its publisher has seen all files, stands still for weeks, and goes on."""

    async def check(path: str) -> None:
        task = scene.task("dead", path=path)
        plan = await obtain_plan(task)
        export = running_export(task, plan)
        await work(export)
        ledger = await read_ledger(scene.store, export.layout, plan)
        scene.now += 9 * DAY
        pruned: list[Any] = []

        class Slow(MemoryStore):
            def __init__(self) -> None:
                self.__dict__ = scene.store.__dict__

            async def write(self, name: str, data: bytes, expect: int | None) -> int:
                if name == export.layout.manifest.name and not pruned:
                    await run(scene.task("new", path=path))
                    pruned.append(await prune(scene.pruning(path=path)))
                    scene.now += DAY
                    await prune(scene.pruning(path=path))
                return await super().write(name, data, expect)

        published = await publish(running_export(replace(task, store=Slow()), plan), ledger)
        assert scene.removed(pruned[0]) == ["dead"]
        assert published.result == "superseded"
        assert scene.names(LAYOUT.run("dead").manifest.name) == []

    for path in ("{run}/{table}/{table}_*.{ext}",):
        asyncio.run(check(path))


async def test_a_run_that_wakes_up_deletes_what_it_has_written_since_it_was_pruned(scene: Scene) -> None:
    """Its files arrive, or change, when prune has listed and deleted what was there."""
    task = scene.task("dead")
    plan = await obtain_plan(task)
    export = running_export(task, plan)
    await work(export)
    ledger = await read_ledger(scene.store, export.layout, plan)
    late = {name: stored[0] for name in scene.names("x/dead/") if (stored := scene.store.peek(name))}
    scene.now += 9 * DAY
    pruned: list[Any] = []

    class Slow(MemoryStore):
        def __init__(self) -> None:
            self.__dict__ = scene.store.__dict__

        async def objects(self, prefix: str, start: str = "") -> AsyncIterator[list[ObjectInfo]]:
            if not pruned:
                await run(scene.task("new"))
                pruned.append(await prune(scene.pruning()))
                scene.now += DAY
                await prune(scene.pruning())
                for name, data in late.items():
                    scene.store.put_now(name, data)
            async for page in super().objects(prefix, start):
                yield page

    published = await publish(running_export(replace(task, store=Slow()), plan), ledger)
    assert (scene.removed(pruned[0]), len(late)) == (["dead"], 2)
    assert published.result == "superseded"
    assert scene.names("dead") == [LAYOUT.mark("dead").name]


def test_what_a_pruned_run_writes_late_goes_with_the_next_prune(scene: Scene) -> None:
    scene.run("a", "b")
    scene.prune()
    scene.store.put_now(LAYOUT.run("a").report, b"late")
    scene.store.put_now(LAYOUT.run("a").staged("00000-00000", 0, "items_*.csv"), b"late")
    scene.prune()
    assert scene.names("/runs/a/") == []


@pytest.mark.parametrize("known", [True, False])
def test_a_run_that_stopped_while_it_was_planned_is_named_and_goes_once_its_note_is_old(
    scene: Scene, known: bool
) -> None:
    scene.store.clock = (lambda: scene.now) if known else (lambda: 0)
    scene.run("a")
    planner = LAYOUT.run("new").planner

    def reasons(hours: float, *, jobs: bool = True) -> list[tuple[bool, tuple[str, ...]]]:
        pruning = scene.pruning(jobs=jobs)._replace(now=scene.now + int(hours * 3_600_000))
        return [(one.removed, one.reasons) for one in asyncio.run(prune(pruning)).runs if one.run == "new"]

    asyncio.run(overwrite(scene.store, planner, Owner("e", 0)))
    assert reasons(0.5) == [(False, ("being planned",))]
    if not known:
        assert reasons(2400) == [(False, ("being planned",))]
        return
    assert reasons(50) == [(False, ("stopped while it was being planned, 2 days ago",))]
    asyncio.run(overwrite(scene.store, planner, Owner("e", 0)))
    scene.now += 100 * 3_600_000
    asyncio.run(overwrite(scene.store, planner, Owner("e", 0)))
    assert reasons(100) == [(False, ("stopped while it was being planned, 4 days ago",))]
    assert reasons(8 * 24, jobs=False) == [(True, ("abandoned",))]
    scene.now += DAY
    assert reasons(0, jobs=False) == [(True, ("pruned 24 hours ago",))]
    assert scene.names("/new/") == []


def test_a_planner_that_wakes_up_after_its_run_was_pruned_names_no_file_that_is_gone(scene: Scene) -> None:
    """It has drafted a plan that names files of an earlier run again, and stands still before it stores the plan."""
    scene.store.clock = lambda: scene.now
    scene.run("a", "b", incremental=True)
    pruned: list[Any] = []

    class Slow(MemoryStore):
        def __init__(self) -> None:
            self.__dict__ = scene.store.__dict__

        async def write(self, name: str, data: bytes, expect: int | None) -> int:
            if name == LAYOUT.run("dead").plan.name and not pruned:
                scene.now += 9 * DAY
                scene.warehouse.put("p", "sales", "items", ["new"])
                scene.warehouse.put("p", "sales", "sales", ["new"])
                await run(scene.task("new", incremental=True))
                pruned.append(await prune(scene.pruning(incremental=True)))
                scene.now += DAY
                await prune(scene.pruning(incremental=True))
            return await super().write(name, data, expect)

    scene.now += DAY
    with pytest.raises(UsageError, match="run dead: a run of this id was pruned"):
        asyncio.run(run(replace(scene.task("dead", incremental=True), store=Slow())))
    assert scene.removed(pruned[0]) == ["a", "b", "dead"]
    assert scene.names("/dead/") == []
    assert asyncio.run(verify(scene.store, SETTINGS, "new")).findings == ()
