"""What follows the tables: views over views, routines, policies, foreign keys and expirations."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from bqdump.core.documents.definitions import Definitions, ObjectDefinition, RoutineDefinition, RowPolicy
from bqdump.core.errors import DeniedError
from bqdump.core.restore.plan import Options
from bqdump.restoration.restore import restore_one as restore
from restore.killed import Killed, killed_at
from restore.world import INTO, ExportedWorld


def raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


def view(name: str, query: str, kind: str = "VIEW") -> ObjectDefinition:
    key = {"VIEW": "view", "MATERIALIZED_VIEW": "materializedView"}[kind]
    return ObjectDefinition(name, kind, raw({key: {"query": query}, "description": f"is {name}"}))


def routine(name: str, body: str) -> RoutineDefinition:
    return RoutineDefinition(name, "PROCEDURE", raw({"routineType": "PROCEDURE", "definitionBody": body}))


OBJECTS = (
    view("a_last", "SELECT * FROM `project.data.b_middle`"),
    view("b_middle", "SELECT * FROM project.data.c_first"),
    view("c_first", "SELECT * FROM `project`.`data`.`one`"),
    view("kept_fresh", "SELECT line FROM `project.data.one`", "MATERIALIZED_VIEW"),
)
POLICY = RowPolicy("one", "few", "line = 'a'", ("user:a@example.com",))
EVERYTHING = Definitions(objects=OBJECTS, routines=(routine("p", "CALL `project.data.q`()"), routine("q", "SELECT 1")),
                         policies=(POLICY,))  # fmt: skip


def exported_world(definitions: Definitions = EVERYTHING) -> ExportedWorld:
    world = ExportedWorld()
    world.change_manifest(definitions=definitions)
    return world


def query(world: ExportedWorld, name: str) -> str:
    text: str = world.definition(name)["view"]["query"]
    return text


def test_views_over_views_and_routines_are_created_in_rounds_and_refer_to_the_target() -> None:
    world = exported_world()
    result = world.restore(run="r1")
    assert (result.state, result.failed) == ("restored", ())
    assert query(world, "a_last") == "SELECT * FROM `project.copy.b_middle`"
    assert query(world, "c_first") == "SELECT * FROM `project`.`copy`.`one`"
    routines = world.big.routine_definitions["project", "copy"]
    assert b"`project.copy.q`" in bytes(routines["p"])
    assert {one.name for one in result.objects} == {"a_last", "b_middle", "c_first", "kept_fresh", "p", "q"}
    assert [(one.name, one.kind) for one in result.not_restored] == [("one.few", "POLICY")]


def test_references_stay_as_they_are_on_request() -> None:
    world = exported_world(Definitions(objects=OBJECTS[2:3]))
    world.restore(msgspec.structs.replace(INTO, keep_references=True), run="r1")
    assert query(world, "c_first") == "SELECT * FROM `project`.`data`.`one`"


def test_row_access_policies_are_restored_on_request() -> None:
    world = exported_world()
    result = world.restore(msgspec.structs.replace(INTO, with_policies=True), run="r1")
    assert result.state == "restored"
    policy = msgspec.json.decode(world.big.policy_definitions["project", "copy", "one"]["few"])
    assert policy == {"filterPredicate": "line = 'a'", "grantees": ["user:a@example.com"]}


def test_a_policy_waits_for_its_table_which_would_remove_it_on_coming_later(monkeypatch: pytest.MonkeyPatch) -> None:
    world = exported_world()
    copy = world.big.copy

    async def refuse(request: Any) -> Any:
        raise DeniedError("copy", "table one", "missing permission")

    monkeypatch.setattr(world.big, "copy", refuse)
    options = msgspec.structs.replace(INTO, with_policies=True)
    first = world.restore(options, run="r1")
    assert (first.state, "one" in {lost.name for lost in first.failed}) == ("incomplete", True)
    assert not world.big.policy_definitions
    monkeypatch.setattr(world.big, "copy", copy)
    again = world.restore(options, execution="second", run="r1")
    assert (again.state, again.restore) == ("restored", first.restore)
    assert world.big.policy_definitions["project", "copy", "one"]


def test_a_view_that_cannot_be_created_is_named_and_everything_else_stays() -> None:
    lost = view("lost", "SELECT * FROM `other.place.gone`")
    world = exported_world(Definitions(objects=(*OBJECTS, lost)))
    result = world.restore(run="r1")
    assert [(one.name, one.kind) for one in result.failed] == [("lost", "VIEW")]
    assert "Not found: Table other:place.gone" in result.failed[0].message
    assert (result.state, world.rows("one")) == ("incomplete", ["a", "b"])
    assert query(world, "a_last")
    world.big.put("other", "place", "gone", ["x"])
    again = world.restore(execution="second", run="r1")
    assert (again.state, again.restore) == ("restored", result.restore)


@pytest.mark.parametrize("replace", [False, True])
def test_a_restore_of_objects_that_is_killed_at_any_request_ends_the_same(replace: bool) -> None:
    options = Options(project="project", dataset="copy", replace=replace, with_policies=True)
    number = 0
    while True:
        world = exported_world()
        if replace:
            world.big.put("project", "copy", "mine", ["x"])
        task = killed_at(world.task(options, "killed", run="r1"), number)
        try:
            asyncio.run(restore(task))
        except Killed:
            result = world.restore(options, "again", run="r1")
        else:
            break
        assert (result.state, result.failed) == ("restored", ()), number
        assert len(result.objects) == 7, number
        number += 3
    assert number > 40


def relations(world: ExportedWorld, table: str) -> Any:
    return world.definition(table).get("tableConstraints")


def test_foreign_keys_and_expirations_are_set_once_everything_is_there() -> None:
    world = ExportedWorld()
    key = {
        "name": "k",
        "referencedTable": {"projectId": "project", "datasetId": "data", "tableId": "two"},
        "columnReferences": [{"referencingColumn": "line", "referencedColumn": "line"}],
    }
    later = str(world.big.clock() + 10**12)

    def changed(table: Any) -> Any:
        if table.table != "one":
            return table
        definition = msgspec.json.decode(table.definition) | {
            "tableConstraints": {"foreignKeys": [key]},
            "expirationTime": later,
        }
        return msgspec.structs.replace(table, definition=raw(definition))

    world.change_manifest(tables=tuple(map(changed, world.manifest.tables)))
    assert world.restore(run="r1").state == "restored"
    (restored,) = relations(world, "one")["foreignKeys"]
    assert restored["referencedTable"]["datasetId"] == "copy"
    assert world.definition("one")["expirationTime"] == later


def test_an_expiration_is_not_set_where_policies_hide_what_it_would_delete(monkeypatch: pytest.MonkeyPatch) -> None:
    world = exported_world(Definitions(policies=(POLICY,)))
    world.change_definition("one", timePartitioning={"type": "DAY", "expirationMs": "86400000"})

    async def hidden(*_: Any) -> list[int]:
        return [0]

    # As an account to which the policy grants no row counts the rows that the expiration would delete.
    monkeypatch.setattr(world.big, "ask", hidden)
    result = world.restore(msgspec.structs.replace(INTO, with_policies=True), run="r1")
    assert [(lost.name, lost.kind) for lost in result.not_restored if lost.kind == "EXPIRATION"] == [
        ("one", "EXPIRATION")
    ]
    assert world.definition("one")["timePartitioning"].get("expirationMs") is None
