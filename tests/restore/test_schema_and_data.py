"""Definitions without rows, and rows into tables that exist: whatever interrupts it, no row is there twice."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from bqdump.core.errors import UsageError
from bqdump.core.restore.names import LABEL, is_scratch
from bqdump.core.restore.plan import Options
from bqdump.core.tables.catalog import Dataset
from bqdump.ports.warehouse import JobError
from bqdump.repository.repository import delete
from bqdump.restoration.restore import restore_one as restore
from restore.killed import Killed, killed_at
from restore.test_objects import raw
from restore.world import INTO, ROWS, ExportedWorld
from tiers import points

SCHEMA, DATA = replace(INTO, schema_only=True), replace(INTO, data_only=True)
COPY = Dataset("project", "copy", "US")
EMPTY: dict[str, list[str]] = {name: [] for name in ROWS}


def rows(world: ExportedWorld) -> dict[str, list[str] | None]:
    return {name: world.rows(name) for name in ROWS}


def test_definitions_first_and_rows_later_are_a_complete_restore() -> None:
    world = ExportedWorld()
    assert (world.restore(SCHEMA).state, rows(world)) == ("restored", EMPTY)
    result = world.restore(DATA, "second")
    assert [(table.table, table.action) for table in result.tables] == [
        (name, "fill") for name in ("none", "one", "two")
    ]
    assert (result.state, rows(world)) == ("restored", ROWS)
    assert world.restore(DATA, "third") == result


def test_definitions_need_no_file() -> None:
    world = ExportedWorld()
    for name in world.store.names_now():
        info = asyncio.run(world.store.stat(name))
        if info and not name.startswith("_bqdump/"):
            asyncio.run(delete(world.store, [(name, info.generation)]))
    assert (world.restore(SCHEMA).state, rows(world)) == ("restored", EMPTY)


def test_rows_that_arrive_after_the_definitions_are_no_difference() -> None:
    world = ExportedWorld()
    world.restore(SCHEMA)
    world.big.put("project", "copy", "one", ["mine"])
    assert world.restore(SCHEMA, "again").failed == ()


def test_a_table_that_has_another_definition_now_is_named_with_a_command_that_keeps_rows(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = ExportedWorld()
    world.restore(SCHEMA)
    asyncio.run(world.big.change_table(COPY, "one", raw({"clustering": {"fields": ["line"]}})))
    assert [one.name for one in world.restore(SCHEMA, "again").failed] == ["one"]
    again = "bqdump.restore(run='r1', into='project.copy', include='one', schema_only=True, missing_only=True)"
    assert any(f"Delete it first. To restore it again: {again}" in record.getMessage() for record in caplog.records)


def test_rows_are_only_replaced_on_request_and_the_definition_stays() -> None:
    world = ExportedWorld()
    world.restore(SCHEMA, "before")
    labels = {"labels": {"team": "a"}}
    asyncio.run(world.big.change_table(COPY, "one", raw(labels)))
    world.big.put("project", "copy", "one", ["mine"])
    with pytest.raises(UsageError, match="the dataset has one with rows"):
        world.restore(DATA)
    assert rows(world) == {**EMPTY, "one": ["mine"]}
    kept = world.restore(replace(DATA, missing_only=True), "second")
    assert (kept.kept, rows(world)) == (("one",), {**ROWS, "one": ["mine"]})
    world.restore(replace(DATA, replace=True), "third")
    assert (rows(world), world.definition("one")["labels"]) == (ROWS, {"team": "a"})


def test_a_live_table_that_was_emptied_is_filled_without_a_confirmation() -> None:
    world = ExportedWorld()
    world.big.put("project", "data", "one", [])
    live = replace(DATA, dataset="data", include=("one",))
    assert world.restore(live).state == "restored"
    assert world.rows("one", "data") == ["a", "b"]
    with pytest.raises(UsageError, match="is the dataset that was exported"):
        world.restore(replace(live, replace=True), "second")


def test_rows_that_arrive_while_the_restore_runs_stay_and_fail_their_table() -> None:
    world = ExportedWorld()
    world.restore(SCHEMA, "before")
    refuse = JobError("invalid", "not now")
    world.big.failing = lambda table, job: refuse if table.endswith("_1_0_full") else None
    assert [one.name for one in world.restore(DATA, "second").failed] == ["one"]
    world.big.failing = lambda table, job: None
    world.big.put("project", "copy", "one", ["mine"])
    for execution in ("third", "fourth"):
        again = world.restore(DATA, execution)
        assert [(one.name, one.reason) for one in again.failed] == [("one", "duplicate")]
        assert world.rows("one") == ["mine"]


@pytest.mark.parametrize("options", [SCHEMA, DATA, replace(DATA, replace=True)], ids=["schema", "fill", "replace"])
def test_a_restore_that_is_killed_at_any_request_ends_the_same_when_it_is_repeated(options: Options) -> None:
    expected = EMPTY if options is SCHEMA else ROWS
    for number in points(range(10_000)):
        world = ExportedWorld()
        if options is not SCHEMA:
            world.restore(SCHEMA, "before")
        if options.replace:
            world.big.put("project", "copy", "one", ["mine"])
        try:
            asyncio.run(restore(killed_at(world.task(options, "killed"), number)))
        except Killed:
            result = world.restore(options, "again")
        else:
            break
        assert (result.state, result.failed, rows(world)) == ("restored", (), expected), number
        assert all(LABEL not in world.definition(name).get("labels", {}) for name in ROWS), number
        present = asyncio.run(world.big.present(COPY))
        assert not [one.name for one in present if is_scratch(one.name)], number
    assert number > 20
