"""A restore that is repeated compares the target with what it has restored, and says what is no longer so."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from bqdump.core.documents.definitions import Definitions
from bqdump.core.restore.result import Restoration
from bqdump.core.tables.catalog import Dataset
from bqdump.ports.warehouse import JobError
from bqdump.restoration.restore import restore_one as restore
from restore.killed import Killed, killed_at
from restore.test_objects import raw, view
from restore.world import INTO, ExportedWorld

COPY = Dataset("project", "copy", "US")
WIDER = {"schema": {"fields": [{"name": "line", "type": "STRING"}, {"name": "more", "type": "INTEGER"}]}}


def recreated(world: ExportedWorld, name: str, definition: dict[str, object], rows: list[str]) -> None:
    """Drop a table and create another one of its name."""
    asyncio.run(world.big.drop_table(COPY, name))
    asyncio.run(world.big.create_table(COPY, name, raw(definition)))
    if rows:
        world.big.put("project", "copy", name, rows)


def changed(result: Restoration) -> list[tuple[str, str, str]]:
    return [(one.name, one.reason, one.message) for one in result.failed]


@pytest.mark.parametrize(
    ("definition", "rows", "message"),
    [
        ({}, [], "it has 0 rows now, and 2 when it was restored"),
        ({}, ["a", "b", "c"], "it has 3 rows now, and 2 when it was restored"),
        (WIDER, ["a", "b"], "its columns are no longer those that were restored"),
        (
            {"clustering": {"fields": ["line"]}},
            ["a", "b"],
            "it is clustered by line now, and was neither partitioned nor clustered when it was restored",
        ),
        ({"view": {"query": "SELECT 1"}}, [], "it was restored, and now is an object of kind VIEW"),
    ],
)
def test_a_finished_restore_names_a_table_that_is_no_longer_as_it_was_restored(
    definition: dict[str, object], rows: list[str], message: str
) -> None:
    world = ExportedWorld()
    assert world.restore().state == "restored"
    schema = {"schema": world.definition("one")["schema"]}
    recreated(world, "one", schema | definition, rows)
    again = world.restore(execution="second")
    assert (again.state, changed(again)) == ("incomplete", [("one", "changed", message)])
    assert ([table.table for table in again.tables], again.rows) == (["none", "two"], 1)
    assert world.rows("one") == rows


def test_a_table_that_was_emptied_is_restored_again_as_the_log_says(caplog: pytest.LogCaptureFixture) -> None:
    world = ExportedWorld()
    world.restore()
    world.big.put("project", "copy", "one", [])
    world.restore(execution="second")
    again = "bqdump.restore(run='r1', into='project.copy', include='one', replace=True)"
    message = f"cannot verify one: it has 0 rows now, and 2 when it was restored. To restore it again: {again}"
    assert message in [record.getMessage() for record in caplog.records]
    assert world.restore(msgspec.structs.replace(INTO, replace=True, include=("one",)), "third").state == "restored"
    assert world.restore(execution="fourth").state == "restored"
    assert world.rows("one") == ["a", "b"]


def test_a_restore_that_is_resumed_names_a_table_that_was_changed_meanwhile() -> None:
    world = ExportedWorld()
    world.big.failing = lambda table, job: JobError("invalid", "no") if "_2_" in table else None
    assert [one.name for one in world.restore().failed] == ["two"]
    world.big.failing = lambda table, job: None
    world.big.put("project", "copy", "one", [])
    again = world.restore(execution="second")
    message = "it has 0 rows now, and 2 when it was restored"
    assert (again.state, changed(again)) == ("incomplete", [("one", "changed", message)])
    assert world.rows("two") == ["c"]


def test_a_view_with_another_query_is_named() -> None:
    world = ExportedWorld()
    world.change_manifest(definitions=Definitions(objects=(view("v", "SELECT * FROM `project.data.one`"),)))
    assert world.restore(run="r1").state == "restored"
    other = raw({"view": {"query": "SELECT 1"}})
    asyncio.run(world.big.replace_definition(COPY, "v", other))
    again = world.restore(execution="second", run="r1")
    assert changed(again) == [("v", "changed", "its query is no longer the one that was restored")]
    assert again.objects == ()


def test_a_finished_restore_that_replaced_tables_keeps_rows_that_were_added_since_unless_it_is_to_replace_again() -> (
    None
):
    world, replacing = ExportedWorld(), msgspec.structs.replace(INTO, replace=True)
    world.big.put("project", "copy", "one", ["old"])
    assert world.restore(replacing).state == "restored"
    world.big.put("project", "copy", "one", ["a", "b", "added"])
    again = world.restore(replacing, "second")
    assert [(one.name, one.reason) for one in again.failed] == [("one", "changed")]
    assert world.rows("one") == ["a", "b", "added"]
    assert world.restore(replacing, "third", again=True).state == "restored"
    assert world.rows("one") == ["a", "b"]


def test_a_restore_that_was_killed_is_resumed_by_another_version(monkeypatch: pytest.MonkeyPatch) -> None:
    killed = 0
    for request in range(200):
        world = ExportedWorld({"one": ["a"]})
        try:
            asyncio.run(restore(killed_at(world.task(), request)))
            break
        except Killed:
            killed += 1
        with monkeypatch.context() as later:
            later.setattr("bqdump.restoration.obtain.VERSION", "99.0.0")
            assert world.restore(execution="second").state == "restored"
    assert killed > 10
