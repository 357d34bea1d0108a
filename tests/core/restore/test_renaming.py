"""Tables under other names: which names are refused, and what follows a table to its new name."""

from __future__ import annotations

from typing import Any

import pytest

from bqdump.core.documents.definitions import Definitions, Index, RowPolicy
from bqdump.core.errors import UsageError
from bqdump.core.restore.names import parse_as, scratch_name
from bqdump.core.restore.plan import NotRestored, RestorePlan
from core.restore.exports import EMPTY, entry, holding, manifest, plan, read
from core.restore.test_objects import relation, routine

REFERENCE = {"projectId": "proj", "datasetId": "shop"}
COLUMNS = [{"referencingColumn": "id", "referencedColumn": "id"}]


def refers_to(*tables: str) -> dict[str, Any]:
    """The property of a table with a foreign key to each of these."""
    keys: list[dict[str, Any]] = [
        {"referencedTable": {**REFERENCE, "tableId": name}, "columnReferences": COLUMNS} for name in tables
    ]
    return {"tableConstraints": {"foreignKeys": keys}}


def names(restore_plan: RestorePlan) -> dict[str, str]:
    return {step.entry.table: step.name for step in restore_plan.tables}


def test_a_table_gets_the_name_and_several_get_one_each() -> None:
    export = manifest(entry("orders"), entry("customers"))
    assert names(plan(export, include=("orders",), as_="orders_yesterday")) == {"orders": "orders_yesterday"}
    assert names(plan(export, as_="{table}_old")) == {"orders": "orders_old", "customers": "customers_old"}
    assert plan(export, as_="old {table}").tables[0].as_what == "orders in the export"


@pytest.mark.parametrize(
    ("given", "cause"),
    [
        ("a.b", "names of tables have letters, digits, spaces, - and _ only"),
        ("orders$20260101", "names of tables have letters"),
        ("{tabel}_old", r"the only placeholder is \{table\}"),
        ("{dataset}", r"the only placeholder is \{table\}"),
        ("x" * 1025, "names of tables have up to 1,024 bytes"),
        (scratch_name("0123456789ab-1", 3), "names of scratch tables of a restore begin with bqdump_scratch_"),
    ],
)
def test_what_is_no_name_is_refused_in_one_sentence(given: str, cause: str) -> None:
    with pytest.raises(UsageError, match=f"invalid value '.*': {cause}"):
        parse_as(given)


def test_two_tables_with_one_name_are_refused() -> None:
    with pytest.raises(UsageError, match=r"'old' would be the name of 2 tables \(orders, customers\)"):
        plan(manifest(entry("orders"), entry("customers")), as_="old")


def test_a_name_that_becomes_too_long_is_refused_with_its_table() -> None:
    with pytest.raises(UsageError, match=r"table o+: 'o+': names of tables have up to 1,024 bytes"):
        plan(manifest(entry("o" * 1000)), as_="{table}_before_the_migration_of_the_year")


def test_only_tables_are_renamed_and_everything_else_is_named() -> None:
    found = Definitions(objects=(relation("v"),), routines=(routine("orders"),))
    restore_plan = plan(manifest(entry("orders"), definitions=found), as_="{table}_old")
    reason = "only tables are restored under other names"
    assert (restore_plan.objects, restore_plan.not_restored) == (
        (), (NotRestored("v", "VIEW", reason), NotRestored("orders", "ROUTINE", reason)),
    )  # fmt: skip
    with pytest.raises(UsageError, match="no table is chosen"):
        plan(manifest(entry("orders"), definitions=found), include=("v",), as_="w")


def test_a_table_is_restored_next_to_what_is_there_and_a_name_that_is_taken_is_refused() -> None:
    export = manifest(entry("orders"), entry("customers"))
    there = holding(orders="TABLE", customers_old="TABLE")
    one = {"include": ("orders",), "as_": "{table}_old"}
    assert [(step.name, step.action) for step in plan(export, there, **one).tables] == [("orders_old", "create")]
    with pytest.raises(UsageError, match="the dataset already has customers_old"):
        plan(export, there, as_="{table}_old")
    replaced = plan(export, there, as_="{table}_old", replace=True)
    assert [(step.name, step.action) for step in replaced.tables] == [
        ("orders_old", "create"), ("customers_old", "replace"),
    ]  # fmt: skip
    kept = plan(export, there, as_="{table}_old", missing_only=True)
    assert (names(kept), kept.kept) == ({"orders": "orders_old"}, ("customers_old",))


def test_a_view_under_the_new_name_is_in_the_way() -> None:
    with pytest.raises(UsageError, match="orders_old is a view there, and a table in the export"):
        plan(manifest(entry("orders")), holding(orders_old="VIEW"), as_="orders_old", replace=True)


def test_a_name_that_another_restore_has_begun_is_refused_with_the_way_to_finish_it() -> None:
    there = EMPTY._replace(tables={"orders_old": ("TABLE", {"bqdump_restore": "0123456789ab-7-01ab"})})
    with pytest.raises(
        UsageError, match=r"restore 0123456789ab-7 has not finished orders_old\. .* unless that restore was ended"
    ):
        plan(manifest(entry("orders")), there, as_="orders_old")


def test_keys_policies_and_indexes_follow_their_tables_to_the_new_names() -> None:
    found = Definitions(
        policies=(RowPolicy("orders", "p", "id IN (SELECT id FROM shop.customers)", ("user:a@b.c",)),),
        indexes=(Index("orders", "i", "SEARCH", "CREATE SEARCH INDEX i ON `proj.shop.orders`(ALL COLUMNS)"),
                 Index("orders", "j", "SEARCH", "CREATE SEARCH INDEX j ON shop.orders(ALL COLUMNS)")),
    )  # fmt: skip
    orders = entry("orders", **refers_to("customers", "orders", "countries"))
    restore_plan = plan(manifest(orders, entry("customers"), definitions=found), as_="{table}_old", with_policies=True)
    keys = read(restore_plan.tables[0].relate)["tableConstraints"]["foreignKeys"]
    assert [key["referencedTable"]["tableId"] for key in keys] == ["customers_old", "orders_old", "countries"]
    assert [(step.table, read(step.definition)) for step in restore_plan.objects] == [
        ("orders_old", "CREATE SEARCH INDEX IF NOT EXISTS i ON `proj.back.orders_old`(ALL COLUMNS)"),
        ("orders_old", "CREATE SEARCH INDEX IF NOT EXISTS j ON back.`orders_old`(ALL COLUMNS)"),
    ]
    (policy,) = restore_plan.policies
    assert (policy.table, read(policy.definition)["filterPredicate"]) == (
        "orders_old", "id IN (SELECT id FROM back.`customers_old`)",
    )  # fmt: skip


def test_an_index_is_created_on_the_restored_table_although_references_are_kept() -> None:
    index = Index("orders", "i", "SEARCH", "CREATE SEARCH INDEX i ON shop.orders(ALL COLUMNS)")
    restore_plan = plan(manifest(entry("orders"), definitions=Definitions(indexes=(index,))), keep_references=True)
    assert read(restore_plan.objects[0].definition) == "CREATE SEARCH INDEX IF NOT EXISTS i ON back.orders(ALL COLUMNS)"
