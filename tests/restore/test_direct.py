"""A table of a run in a folder of its own is loaded by one job, and is left with no rows but the export's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

import msgspec
import pytest

from bqdump.core.errors import JobFailedError
from bqdump.core.restore.names import LABEL, load_id
from bqdump.core.restore.plan import Options
from bqdump.core.restore.result import Restoration
from bqdump.core.tables.catalog import Dataset
from bqdump.ports.destination import CopyRequest, LoadRequest
from bqdump.ports.warehouse import JobError
from bqdump.restoration.listing import Place, abort, find_restores
from bqdump.restoration.restore import plan_restore
from bqdump.restoration.restore import restore_one as restore
from restore.killed import Killed, killed_at
from restore.paused import Pause, pausing
from restore.world import SETTINGS, ExportedWorld

REPLACE = Options(project="project", dataset="copy", replace=True)
OWN_FOLDER = msgspec.structs.replace(SETTINGS, path="{run}/{table}/{table}_*.{ext}")


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("restore.world.SETTINGS", OWN_FOLDER)


def swapping(world: ExportedWorld, table: str = "one", rows: bytes = b"x\ny\n") -> Callable[[str], float]:
    """Replace the file of a table while its load job is at work."""
    (file,) = next(entry for entry in world.manifest.tables if entry.table == table).files

    def swap(name: str) -> float:
        if name == table:
            world.store.put_now(file.name, rows)
        return 0.0

    return swap


def kinds(world: ExportedWorld) -> list[str]:
    """The jobs that were started, by what they do."""
    return [type(request).__name__.removesuffix("Request") for request in world.big.started.values()]


def test_each_table_with_rows_is_restored_by_one_load_job() -> None:
    world = ExportedWorld()
    planned = asyncio.run(plan_restore(world.task()))
    assert {table.table: table.jobs for table in planned.tables} == {"one": 1, "two": 1, "none": 0}
    result = world.restore()
    assert (result.state, kinds(world)) == ("restored", ["Load", "Load"])
    assert {table.table: (table.rows, table.jobs) for table in result.tables} == {
        "one": (2, 1), "two": (1, 1), "none": (0, 0)
    }  # fmt: skip
    assert [world.rows(name) for name in ("one", "two", "none")] == [["a", "b"], ["c"], []]
    assert not any(LABEL in world.definition(name).get("labels", {}) for name in ("one", "two", "none"))


@pytest.mark.parametrize(
    "case", ["stable names", "the table is replaced", "the files were copied by another tool", "several load jobs"]
)
def test_a_table_is_built_under_another_name_where_something_is_to_be_compared_first(
    case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = REPLACE if case == "the table is replaced" else Options(project="project", dataset="copy")
    if case == "stable names":
        monkeypatch.setattr("restore.world.SETTINGS", SETTINGS)
    if case == "several load jobs":
        monkeypatch.setattr("bqdump.core.restore.loads.MOST_FILES", 1)
    world = ExportedWorld({"one": ["a", "b"]}, shard_rows=1 if case == "several load jobs" else 100)
    if case == "the table is replaced":
        world.big.put("project", "copy", "one", ["old"])
    if case == "the files were copied by another tool":
        world.change_manifest(settings=world.manifest.settings | {"to": "gs://elsewhere"})
        for entry in world.manifest.tables:
            for file in entry.files:
                found = world.store.peek(file.name)
                assert found
                world.store.put_now(file.name, found[0])
    assert world.restore(options).state == "restored"
    assert kinds(world)[-1] == "Copy"
    assert world.rows("one") == ["a", "b"]


def test_rows_of_a_file_that_is_replaced_while_it_is_loaded_are_removed_and_never_loaded_again() -> None:
    world = ExportedWorld()
    world.big.seconds = swapping(world)
    result = world.restore()
    assert [(one.name, one.reason) for one in result.failed] == [("one", "replaced")]
    assert (world.rows("one"), world.rows("two")) == ([], ["c"])
    loads = kinds(world).count("Load")
    again = world.restore(execution="again")
    assert [(one.name, one.reason) for one in again.failed] == [("one", "replaced")]
    assert (world.rows("one"), kinds(world).count("Load")) == ([], loads)


def test_rows_of_another_number_than_the_export_has_are_removed() -> None:
    world = ExportedWorld(losing=lambda job: "-load-" in job)
    result = world.restore()
    assert {(one.name, one.reason) for one in result.failed} == {("one", "rows"), ("two", "rows")}
    assert "1 row was loaded, and the export has 2" in result.failed[0].message
    assert (world.rows("one"), world.rows("two")) == ([], [])


def test_a_process_that_is_killed_anywhere_leaves_rows_of_a_replaced_file_to_the_next_start_which_removes_them() -> (
    None
):
    killed = 0
    for request in range(200):
        world = ExportedWorld({"one": ["a", "b"]})
        world.big.seconds = swapping(world)
        try:
            asyncio.run(restore(killed_at(world.task(), request)))
        except Killed:
            killed += 1
            world.big.seconds = lambda table: 0.0
            with suppress(Exception):
                world.restore(execution="again")
        found = world.store.peek(world.manifest.tables[0].files[0].name)
        assert found
        if found[0] == b"x\ny\n":
            assert not world.rows("one")
        else:
            assert world.rows("one") == ["a", "b"]
        if not killed or killed <= request:
            break
    assert killed > 10


def test_a_process_that_is_killed_anywhere_after_its_load_was_refused_is_followed_by_one_that_finishes() -> None:
    refused = JobError("invalid", "Too many partitions produced by query, allowed 4000")
    killed = 0
    for request in range(200):
        world = ExportedWorld({"one": ["a", "b"]})
        world.big.failing = lambda table, job: refused if "-load-" in job else None
        try:
            asyncio.run(restore(killed_at(world.task(), request)))
        except Killed:
            killed += 1
            again = world.restore()
            assert (again.state, again.failed) == ("restored", ())
        assert world.rows("one") == ["a", "b"]
        if killed <= request:
            break
    assert 30 < killed < 199


def test_a_table_without_rows_whose_restore_is_killed_anywhere_is_finished_by_the_next_start() -> None:
    killed = 0
    for request in range(200):
        world = ExportedWorld({"none": []})
        try:
            asyncio.run(restore(killed_at(world.task(), request)))
        except Killed:
            killed += 1
            again = world.restore()
            assert (again.state, again.failed) == ("restored", ())
        assert LABEL not in world.definition("none").get("labels", {})
        if killed <= request:
            break
    assert 20 < killed < 199


def test_of_two_tasks_that_disagree_about_the_files_the_first_to_record_it_decides() -> None:
    """One task has found the files unchanged, then they are replaced, and another task looks at them."""
    outcomes = set()
    for at in range(60):
        world = ExportedWorld({"one": ["a", "b"]})
        outcome = asyncio.run(_while_paused(world, at))
        if outcome is None:
            break
        rows, states = world.rows("one"), {outcome[0].state, outcome[1].state}
        assert (rows, states) in (([], {"incomplete"}), (["a", "b"], {"restored"}), (None, {"incomplete"}))
        outcomes.add(states.pop())
    assert outcomes == {"restored", "incomplete"}


async def _while_paused(world: ExportedWorld, at: int) -> tuple[Restoration, Restoration] | None:
    """What two tasks report, while one is paused at a request and the files are replaced. None: it has ended before."""
    pause = Pause(at)
    first = asyncio.create_task(restore(pausing(world.task(tasks=2), pause)))
    if not await pause.reach(first):
        return None
    if world.big.datasets.get(("project", "copy")) is None:
        await pause.end(first)
        return (await first), (await first)
    name = next(iter(world.manifest.tables)).files[0].name
    world.store.put_now(name, b"x\ny\n")
    await restore(world.task(execution="first", task=1, tasks=2))
    await pause.end(first)
    # A task that saw others at work leaves the end to them.
    last = [await restore(world.task(execution=name)) for name in ("x", "y")]
    return last[0], last[1]


def test_a_load_that_a_frozen_process_requests_late_does_not_fill_a_table_of_a_later_restore() -> None:
    """The later restore is of a run in which the table is empty."""
    frozen = 0
    for at in range(200):
        world = ExportedWorld({"one": ["a", "b"]})
        world.export("r2", {"one": []})
        if not asyncio.run(_frozen(world, at)):
            break
        frozen += 1
        assert world.rows("one") == []
    assert frozen > 20


async def _frozen(world: ExportedWorld, at: int) -> bool:
    """A restore of the first run stops before a request, and goes on once another one has replaced its table."""
    pause = Pause(at)
    first = asyncio.create_task(restore(pausing(world.task(run="r1"), pause)))
    if not await pause.reach(first):
        return False
    # Much later: whether a restore is at work is seen by the age of its documents.
    world.store.clock = lambda: 0
    later = await restore(world.task(REPLACE, "later", run="r2"))
    await pause.end(first)
    first.exception()
    assert later.state == "restored"
    return True


def test_a_load_that_a_frozen_process_requests_after_its_restore_was_ended_loads_nothing() -> None:
    loads = 0
    for at in range(200):
        world = ExportedWorld({"one": ["a", "b"]})
        ended = asyncio.run(_ended(world, at))
        if ended is None:
            break
        loads += ended
        assert world.rows("one") == ["a", "b"]
    assert loads


def test_a_process_that_was_frozen_while_its_restore_was_ended_loads_no_table_that_it_creates_afterwards() -> None:
    creates = 0
    for at in range(200):
        world = ExportedWorld({"one": ["a", "b"]})
        pause = Pause(at)
        if not asyncio.run(_create_after_the_end(world, pause)):
            break
        if pause.requests[at].startswith("create_table"):
            creates += 1
            assert world.rows("one") == []
    assert creates == 1


async def _create_after_the_end(world: ExportedWorld, pause: Pause) -> bool:
    """A restore stops before a request, and goes on once it is ended."""
    first = asyncio.create_task(restore(pausing(world.task(), pause)))
    if not await pause.reach(first):
        return False
    for begun in (await find_restores([Place(world.store, OWN_FOLDER.layout)])).restores:
        if not begun.done:
            await abort(begun, world.big)
    await pause.end(first)
    first.exception()
    return True


async def _ended(world: ExportedWorld, at: int) -> bool | None:
    """A restore stops before a request, is ended, and begun anew; then it goes on. Whether the request was a load."""
    pause = Pause(at)
    first = asyncio.create_task(restore(pausing(world.task(), pause)))
    if not await pause.reach(first):
        return None
    begun = (await find_restores([Place(world.store, OWN_FOLDER.layout)])).restores
    if not begun or begun[0].done:
        await pause.end(first)
        return False
    mark = begun[0].decision.mark
    await abort(begun[0], world.big)
    with suppress(Exception):
        await restore(world.task(REPLACE, execution="anew"))
    await pause.end(first)
    first.exception()
    taken = world.big.started.get(load_id(mark, "one", 0))
    return pause.requests[at].startswith("load ") and not isinstance(taken, LoadRequest)


def test_default_values_that_bigquery_refuses_leave_no_table(monkeypatch: pytest.MonkeyPatch) -> None:
    world = ExportedWorld({"one": ["a"]})
    world.change_definition(
        "one", schema={"fields": [{"name": "line", "type": "STRING", "defaultValueExpression": "f()"}]}
    )
    change = world.big.change_table

    async def refusing(dataset: Dataset, name: str, changes: msgspec.Raw) -> None:
        if b"f()" in bytes(changes):
            raise JobFailedError("change", f"table {name}", "Function not found: f")
        await change(dataset, name, changes)

    monkeypatch.setattr(world.big, "change_table", refusing)
    result = world.restore()
    assert [one.name for one in result.failed] == ["one"]
    assert world.rows("one") is None
    assert not [request for request in world.big.started.values() if isinstance(request, (LoadRequest, CopyRequest))]
