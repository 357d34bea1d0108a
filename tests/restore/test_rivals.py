"""A restore is not alone: other tasks, other starts of the same command, and whatever else writes to the target."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import msgspec
import pytest

from bqdump.core.restore.names import LABEL
from bqdump.core.restore.plan import Options
from bqdump.core.restore.result import Restoration
from bqdump.core.tables.catalog import Dataset
from bqdump.ports.destination import CopyRequest
from bqdump.ports.warehouse import Job
from bqdump.restoration.listing import Place, abort, find_restores
from bqdump.restoration.restore import restore_one as restore
from restore.killed import Killed
from restore.world import SETTINGS, ExportedWorld

REPLACE = Options(project="project", dataset="copy", replace=True)
MISSING = Options(project="project", dataset="copy", missing_only=True)


def test_a_table_that_something_else_created_is_not_touched_by_a_second_start_either() -> None:
    world = ExportedWorld({"one": ["a"], "none": []})

    def appear(table: str) -> float:
        if table == "one" and world.rows("none") is None:
            world.big.put("project", "copy", "none", [])
        return 0.0

    world.big.seconds = appear
    task = world.task()
    one_by_one = msgspec.structs.replace(task.settings, concurrency=1)
    asyncio.run(restore(task._replace(settings=one_by_one)))
    before = world.definition("none")
    again = world.restore(execution="second")
    assert [(one.name, one.reason) for one in again.failed] == [("none", "duplicate")]
    assert world.definition("none") == before
    # As the message says: ended, it is planned anew.
    (begun,) = asyncio.run(find_restores([Place(world.store, SETTINGS.layout)])).restores
    assert f"end restore {begun.decision.restore} and begin anew" in again.failed[0].message
    asyncio.run(abort(begun, world.big))
    anew = world.restore(REPLACE, "third")
    assert (anew.state, anew.failed) == ("restored", ())


def test_files_that_are_replaced_while_they_are_loaded_do_not_replace_a_table() -> None:
    world = ExportedWorld()
    world.big.put("project", "copy", "one", ["old"])
    name = next(table for table in world.manifest.tables if table.table == "one").files[0].name

    def swap(table: str) -> float:
        world.store.put_now(name, b"x\ny\n")
        return 0.0

    world.big.seconds = swap
    result = world.restore(REPLACE)
    assert [(one.name, one.reason) for one in result.failed if one.name == "one"] == [("one", "replaced")]
    versions = world.big.datasets["project", "copy"]["one"].versions
    assert [version.rows for version in versions] == [("old",)]


def test_a_task_that_starts_while_another_one_restores_takes_part_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    world = ExportedWorld()

    async def late_task() -> tuple[str, str]:
        late, finder = world.task(task=1, tasks=2), world.big.find_dataset
        first: list[str] = []

        async def once_the_first_has_begun(project: str, name: str) -> msgspec.Raw | None:
            monkeypatch.undo()
            first.append((await restore(world.task(execution="other"))).restore)
            return await finder(project, name)

        monkeypatch.setattr(world.big, "find_dataset", once_the_first_has_begun)
        return (await restore(late)).restore, first[0]

    mine, others = asyncio.run(late_task())
    assert mine == others


def test_a_table_of_several_load_jobs_is_seen_empty_or_complete(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bqdump.core.restore.loads.MOST_FILES", 1)
    world = ExportedWorld({"one": ["0", "1", "2", "3"]}, shard_rows=1)
    world.restore()
    assert len(world.big.started) == 4 + 1
    versions = world.big.datasets["project", "copy"]["one"].versions
    assert [version.rows for version in versions] == [(), ("0", "1", "2", "3")]


def test_a_table_that_another_restore_finishes_meanwhile_is_kept_by_missing_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = ExportedWorld({"one": ["a"]})
    create = world.big.create_table
    created, planned = asyncio.Event(), asyncio.Event()

    async def create_and_wait(dataset: Dataset, name: str, definition: msgspec.Raw) -> bool:
        made = await create(dataset, name, definition)
        if name == "one" and not created.is_set():
            created.set()
            await planned.wait()
        elif name == "one":
            planned.set()
            await earlier
        return made

    earlier: asyncio.Task[Restoration]

    async def both() -> Restoration:
        nonlocal earlier
        earlier = asyncio.create_task(restore(world.task()))
        await created.wait()
        return await restore(world.task(MISSING, "other"))

    monkeypatch.setattr(world.big, "create_table", create_and_wait)
    result = asyncio.run(both())
    assert [(one.name, one.reason) for one in result.failed] == [("one", "duplicate")]
    assert "another restore has finished it" in result.failed[0].message
    assert [version.rows for version in world.big.datasets["project", "copy"]["one"].versions] == [(), ("a",)]


def test_a_table_that_another_restore_left_unfinished_is_taken_over() -> None:
    world = ExportedWorld({"one": ["a"]})
    killed_once_created(world)
    changes = world.changes()
    result = world.restore(MISSING, execution="other")
    assert (result.state, world.rows("one")) == ("restored", ["a"])
    labels = [change["labels"] for name, change in changes if name == "one" and "labels" in change]
    assert [label[LABEL] is None for label in labels][-1:] == [True]
    assert labels[0][LABEL].startswith(result.restore)
    assert LABEL not in world.definition("one").get("labels", {})


def test_a_restore_whose_table_is_taken_over_does_not_call_it_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    world, other = ExportedWorld({"one": ["a"]}), "0123456789ab-7"
    copy = world.big.copy

    async def taken_over(request: CopyRequest) -> Job:
        label = msgspec.Raw(msgspec.json.encode({"labels": {LABEL: f"{other}-ff"}}))
        await world.big.change_table(request.to.dataset, request.to.table, label)
        return await copy(request)

    monkeypatch.setattr(world.big, "copy", taken_over)
    result = world.restore()
    assert [(one.name, one.reason) for one in result.failed] == [("one", "duplicate")]
    assert f"restore {other} has taken it over" in result.failed[0].message


def killed_once_created(world: ExportedWorld) -> None:
    """A restore whose process is killed when it has created its table."""
    create = world.big.create_table

    async def create_and_die(dataset: Dataset, name: str, definition: msgspec.Raw) -> bool:
        created = await create(dataset, name, definition)
        if name == "one":
            raise Killed
        return created

    with pytest.MonkeyPatch.context() as patches, suppress(Killed):
        patches.setattr(world.big, "create_table", create_and_die)
        asyncio.run(restore(world.task()))
    assert LABEL in world.definition("one")["labels"]
    assert world.rows("one") == []
