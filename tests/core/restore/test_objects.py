"""Views, routines, indexes and policies are created again in the target, and what is not is named."""

from __future__ import annotations

from typing import Any

import pytest

from bqdump.core.documents.definitions import Definitions, Index, ObjectDefinition, RoutineDefinition, RowPolicy
from bqdump.core.documents.run import Failure, Owner, Skipped
from bqdump.core.errors import UsageError
from bqdump.core.restore.plan import NotRestored, ObjectStep
from core.restore.exports import DAY, EMPTY, NOW, column, entry, holding, manifest, plan, raw, read

VIEW = {"query": "SELECT * FROM `proj.shop.orders`", "useLegacySql": False}
POLICY = RowPolicy("orders", "p", "id IN (SELECT id FROM shop.allowed)", ("user:a@b.c",))
INDEX = Index("orders", "i", "SEARCH", "CREATE SEARCH INDEX `i` ON `proj.shop.orders`(ALL COLUMNS)")


def relation(name: str, kind: str = "VIEW", **definition: Any) -> ObjectDefinition:
    usual: dict[str, Any] = {"kind": "x", "etag": "x", "type": kind, "creationTime": "1", "numRows": "0"}
    if kind == "VIEW":
        usual |= {"view": VIEW, "schema": {"fields": [column("id")]}}
    return ObjectDefinition(name, kind, raw(usual | definition))


def routine(name: str = "fn", **definition: Any) -> RoutineDefinition:
    usual = {"etag": "x", "routineReference": {}, "creationTime": "1", "routineType": "SCALAR_FUNCTION",
             "language": "SQL", "definitionBody": "shop.other(x)"}  # fmt: skip
    return RoutineDefinition(name, "SCALAR_FUNCTION", raw(usual | definition))


def objects(*found: ObjectDefinition, **options: Any) -> tuple[ObjectStep, ...]:
    return plan(manifest(entry("orders"), definitions=Definitions(objects=found)), **options).objects


def test_a_view_reads_the_restored_tables() -> None:
    (made,) = objects(relation("v", labels={"a": "b"}, description="d"))
    query = "SELECT * FROM `proj.back.orders`"
    assert read(made.definition) == {"view": {**VIEW, "query": query}, "labels": {"a": "b"}, "description": "d"}
    assert (made.action, made.kind, read(made.finish), made.as_what, made.stays) == ("create", "VIEW", None, "", ())


def test_references_can_be_kept_and_are_named() -> None:
    (made,) = objects(relation("v"), keep_references=True)
    assert read(made.definition)["view"] == VIEW
    assert made.stays == ("proj.shop.orders",)


def test_what_a_view_reads_elsewhere_is_named() -> None:
    (made,) = objects(relation("v", view={"query": "SELECT * FROM crm.c, shop.orders"}))
    assert made.stays == ("crm.c",)


ANY_CASE = {"query": "SELECT * FROM SHOP.ORDERS, `proj.Shop.orders`, other.ORDERS", "useLegacySql": False}


def test_a_view_of_a_dataset_that_ignores_case_names_its_tables_as_they_are_spelled() -> None:
    """The target distinguishes case, so any other spelling would name no table there."""
    found = (relation("v", view=ANY_CASE), relation("w", view={"query": "SELECT * FROM shop.V"}))
    for ignores, queries in (
        (True, ["SELECT * FROM back.`orders`, `proj.back.orders`, other.ORDERS", "SELECT * FROM back.`v`"]),
        (False, ["SELECT * FROM SHOP.ORDERS, `proj.Shop.orders`, other.ORDERS", "SELECT * FROM back.V"]),
    ):
        definitions = Definitions(dataset=raw({"isCaseInsensitive": ignores}), objects=found)
        made = plan(manifest(entry("orders"), definitions=definitions), EMPTY).objects
        assert [read(one.definition)["view"]["query"] for one in made] == queries


def test_columns_of_a_view_are_described_once_it_exists() -> None:
    schema = {"fields": [column("id", description="the key")]}
    (made,) = objects(relation("v", schema=schema, expirationTime=str(NOW + 9 * DAY)))
    assert "schema" not in read(made.definition)
    assert read(made.finish) == {"expirationTime": str(NOW + 9 * DAY), "schema": schema}


def test_an_expiration_of_the_past_does_not_delete_a_view() -> None:
    (made,) = objects(relation("v", expirationTime="1"))
    assert (read(made.finish), "expirationTime" in read(made.definition)) == (None, False)


def test_legacy_sql_stays_and_is_marked() -> None:
    view = {"query": "SELECT * FROM [proj:shop.orders]", "useLegacySql": True}
    (made,) = objects(relation("v", view=view))
    assert read(made.definition)["view"] == view
    assert made.as_what == "legacy SQL, whose references stay as they are"


def test_a_materialized_view_keeps_its_options() -> None:
    own = {"query": "SELECT 1 FROM shop.orders", "enableRefresh": True, "lastRefreshTime": "5", "maxStaleness": "x"}
    (made,) = objects(relation("m", "MATERIALIZED_VIEW", materializedView=own, clustering={"fields": ["id"]}))
    assert read(made.definition) == {
        "materializedView": {"query": "SELECT 1 FROM back.orders", "enableRefresh": True, "maxStaleness": "x"},
        "clustering": {"fields": ["id"]},
    }


def test_an_external_table_is_restored_by_its_definition() -> None:
    sources = {"sourceUris": ["gs://b/*"], "sourceFormat": "CSV"}
    found = relation("e", "EXTERNAL", externalDataConfiguration=sources, schema={"fields": [column("a")]})
    (made,) = plan(manifest(entry("e", kind="EXTERNAL"), definitions=Definitions(objects=(found,)))).objects
    assert read(made.definition) == {"externalDataConfiguration": sources, "schema": {"fields": [column("a")]}}
    assert made.as_what == "only its definition: it reads its sources again"


def test_a_view_that_was_exported_as_rows_is_restored_as_a_view() -> None:
    for definitions in (Definitions(objects=(relation("v"),)), Definitions()):
        restore_plan = plan(manifest(entry("v", kind="VIEW", view=VIEW), definitions=definitions))
        assert (restore_plan.tables, [step.name for step in restore_plan.objects]) == ((), ["v"])
        assert restore_plan.objects[0].as_what == "from its definition, not from the rows in the export"


def test_a_view_whose_query_is_unknown_is_restored_as_a_table() -> None:
    restore_plan = plan(manifest(entry("v", kind="VIEW")))
    (step,) = restore_plan.tables
    assert restore_plan.objects == ()
    assert step.as_what == "a view whose query is not in the export, restored as a table"


def test_routines_call_the_restored_ones() -> None:
    restore_plan = plan(manifest(definitions=Definitions(routines=(routine(), routine("js", language="JAVASCRIPT")))))
    first, second = (read(step.definition) for step in restore_plan.objects)
    assert first == {"routineType": "SCALAR_FUNCTION", "language": "SQL", "definitionBody": "back.other(x)"}
    assert second["definitionBody"] == "shop.other(x)"


def test_dynamic_sql_is_named() -> None:
    body = "BEGIN EXECUTE IMMEDIATE 'DROP TABLE shop.t'; END"
    (made,) = plan(manifest(definitions=Definitions(routines=(routine(definitionBody=body),)))).objects
    assert read(made.definition)["definitionBody"] == body
    assert made.as_what == "the text of dynamic SQL stays as it is"


@pytest.mark.parametrize("middle", ["", "IF NOT EXISTS "])
def test_an_index_is_created_on_the_restored_table_and_can_be_repeated(middle: str) -> None:
    ddl = INDEX.ddl.replace("INDEX `i`", f"INDEX {middle}`i`")
    index = Index("orders", "i", "SEARCH", ddl)
    (made,) = plan(manifest(entry("orders"), definitions=Definitions(indexes=(index,)))).objects
    assert read(made.definition) == "CREATE SEARCH INDEX IF NOT EXISTS `i` ON `proj.back.orders`(ALL COLUMNS)"
    assert (made.kind, made.table) == ("INDEX", "orders")


def test_the_order_is_one_in_which_most_can_be_created_at_once() -> None:
    view = {"query": "SELECT 1"}
    found = Definitions(
        objects=(relation("a", "MATERIALIZED_VIEW", materializedView=view), relation("b"),
                 relation("c", "EXTERNAL", externalDataConfiguration={})),
        routines=(routine("d"),), indexes=(INDEX,),
    )  # fmt: skip
    made = plan(manifest(entry("orders"), definitions=found)).objects
    kinds = ["EXTERNAL", "ROUTINE", "VIEW", "MATERIALIZED_VIEW", "INDEX"]
    assert [step.kind for step in made] == kinds


def test_policies_are_restored_on_request_with_their_members() -> None:
    export = manifest(entry("orders"), definitions=Definitions(policies=(POLICY,)))
    (made,) = plan(export, with_policies=True).policies
    assert read(made.definition) == {
        "filterPredicate": "id IN (SELECT id FROM back.allowed)",
        "grantees": ["user:a@b.c"],
    }
    (left,) = plan(export).not_restored
    assert (left.name, left.kind, plan(export).policies) == ("orders.p", "POLICY", ())
    assert "whoever reads the table reads all rows" in left.reason


def test_a_policy_whose_members_are_unknown_is_named() -> None:
    policy = RowPolicy("orders", "p", "TRUE", None)
    restore_plan = plan(manifest(entry("orders"), definitions=Definitions(policies=(policy,))), with_policies=True)
    assert restore_plan.not_restored == (
        NotRestored("orders.p", "POLICY", "its members could not be read when it was exported"),
    )
    assert restore_plan.policies == ()


def test_policies_and_indexes_follow_their_table() -> None:
    found = Definitions(policies=(POLICY,), indexes=(INDEX,))
    kept = plan(manifest(entry("orders"), definitions=found), holding(orders="TABLE"), missing_only=True)
    assert (kept.kept, kept.objects, [left.kind for left in kept.not_restored]) == (("orders",), (), ["DATASET"])
    failure = Failure("00000-00000", "orders", "j", 1, "invalid", "no such thing", Owner("e", 0))
    lost = plan(manifest(failed=(failure,), definitions=found), with_policies=True)
    assert [(left.name, left.kind) for left in lost.not_restored] == [
        ("orders", "TABLE"), ("orders.p", "POLICY"), ("orders.i", "INDEX"),
    ]  # fmt: skip
    assert (lost.policies, lost.objects) == ((), ())


def test_patterns_choose_views_and_routines_too() -> None:
    export = manifest(entry("orders"), definitions=Definitions(objects=(relation("v"),), routines=(routine(),)))
    restore_plan = plan(export, include=("v", "f*"))
    assert ([step.name for step in restore_plan.objects], restore_plan.tables, restore_plan.excluded) == (
        ["fn", "v"],
        (),
        1,
    )


def test_what_is_skipped_in_the_export_but_known_by_its_definition_is_restored() -> None:
    skipped = (Skipped("v", "VIEW", "not asked for"), Skipped("s", "SNAPSHOT", "x"))
    found = Definitions(objects=(relation("v"), relation("s", "SNAPSHOT"), relation("m", "MODEL")))
    restore_plan = plan(manifest(skipped=skipped, definitions=found))
    assert [step.name for step in restore_plan.objects] == ["v"]
    assert [(left.name, left.reason) for left in restore_plan.not_restored] == [
        ("s", "not in the export: x"),
        ("m", "its rows are not in the export, and its definition is not enough"),
    ]


def test_objects_in_the_target_are_replaced_kept_or_in_the_way() -> None:
    export = manifest(definitions=Definitions(objects=(relation("v"),), routines=(routine(),)))
    there = EMPTY._replace(tables={"v": ("VIEW", {})}, routines=frozenset({"fn"}))
    assert [step.action for step in plan(export, there, replace=True).objects] == ["replace", "replace"]
    kept = plan(export, there, missing_only=True)
    assert (kept.objects, kept.kept) == ((), ("fn", "v"))
    with pytest.raises(UsageError, match="v is a table there, and a view in the export"):
        plan(export, holding(v="TABLE"), replace=True)
