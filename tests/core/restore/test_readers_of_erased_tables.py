"""What reads a table that was erased from the run is left out with that reason, and everything else is restored."""

from __future__ import annotations

from typing import Any

import pytest

from bqdump.core.documents.definitions import Definitions, ObjectDefinition, RoutineDefinition
from bqdump.core.documents.manifest import Erased, Manifest
from bqdump.core.errors import UsageError
from bqdump.core.restore.plan import NotRestored
from core.restore.exports import EMPTY, entry, holding, manifest, plan, raw

WHY = "it reads table orders, which was erased from the run"


def view(name: str, query: str, kind: str = "VIEW", **more: Any) -> ObjectDefinition:
    key = "view" if kind == "VIEW" else "materializedView"
    return ObjectDefinition(name, kind, raw({"type": kind, key: {"query": query, **more}}))


def routine(name: str, body: str, kind: str = "SCALAR_FUNCTION", **more: Any) -> RoutineDefinition:
    return RoutineDefinition(name, kind, raw({"routineType": kind, "definitionBody": body, **more}))


def export(*objects: ObjectDefinition, routines: tuple[RoutineDefinition, ...] = (), at: int = 5) -> Manifest:
    """Orders were erased, customers were not."""
    erased = (Erased("orders", at, "dana", "request 4711"),)
    return manifest(entry("customers"), erased=erased, definitions=Definitions(objects=objects, routines=routines))


def of(kind: str, found: Manifest, *target: Any, **options: Any) -> tuple[list[str], dict[str, str]]:
    """The objects of a plan, and those of this kind that are left out, each with the reason."""
    made = plan(found, *target, **options)
    lost = {one.name: one.reason for one in made.not_restored if one.kind == kind}
    return [one.name for one in made.objects], lost


@pytest.mark.parametrize("name", ["shop.orders", "proj.shop.orders", "`proj.shop.orders`", "`proj`.shop.`orders`"])
def test_a_view_of_an_erased_table_is_left_out_however_it_names_the_table(name: str) -> None:
    reads = view("reads", f"SELECT c.id FROM shop.customers AS c JOIN {name} AS o ON o.id = c.id")
    assert of("VIEW", export(reads, view("other", "SELECT id FROM shop.customers"))) == (["other"], {"reads": WHY})


def test_what_reads_such_a_view_is_left_out_with_the_table_that_is_gone() -> None:
    one, two = view("one", "SELECT 1 FROM shop.orders"), view("two", "SELECT 1 FROM shop.one")
    stored = view("stored", "SELECT 1 FROM proj.shop.two", "MATERIALIZED_VIEW")
    found = export(two, stored, one)
    assert of("VIEW", found) == ([], {"one": WHY, "two": WHY})
    assert of("MATERIALIZED_VIEW", found)[1] == {"stored": WHY}


@pytest.mark.parametrize(
    "query",
    [
        "SELECT orders FROM shop.customers",
        "SELECT 'FROM shop.orders' AS text FROM shop.customers",
        "SELECT 1 FROM crm.orders",
        "SELECT 1 FROM other.shop.orders",
        "SELECT 1 FROM shop.orders_old",
        "WITH orders AS (SELECT 1) SELECT * FROM orders",
    ],
)
def test_what_only_looks_like_the_table_keeps_no_view_out(query: str) -> None:
    assert of("VIEW", export(view("v", query))) == (["v"], {})


def test_a_view_in_legacy_sql_is_tried() -> None:
    assert of("VIEW", export(view("v", "SELECT 1 FROM [shop.orders]", useLegacySql=True))) == (["v"], {})


def test_a_function_is_left_out_and_a_procedure_or_another_language_is_not() -> None:
    body = "(SELECT COUNT(*) FROM shop.orders)"
    routines = (
        routine("counts", body),
        routine("rows", "SELECT * FROM shop.orders", "TABLE_VALUED_FUNCTION"),
        routine("later", f"SELECT {body};", "PROCEDURE"),
        routine("text", "return 'FROM shop.orders';", language="JAVASCRIPT"),
    )
    assert of("ROUTINE", export(routines=routines)) == (["later", "text"], {"counts": WHY, "rows": WHY})


def test_where_the_target_has_the_table_or_the_source_is_read_the_view_is_restored() -> None:
    found = export(view("v", "SELECT 1 FROM shop.orders"))
    assert of("VIEW", found, holding(orders="TABLE"), missing_only=True) == (["v"], {})
    assert of("VIEW", found, EMPTY) == ([], {"v": WHY})
    assert of("VIEW", found, None, keep_references=True) == (["v"], {})


def test_naming_such_a_view_is_refused_with_the_reason() -> None:
    with pytest.raises(UsageError, match=f"nothing that it names can be restored .v: {WHY}"):
        plan(export(view("v", "SELECT 1 FROM shop.orders")), include=("v",))


def test_an_export_without_erasures_tries_every_view() -> None:
    found = manifest(entry("customers"), definitions=Definitions(objects=(view("v", "SELECT 1 FROM shop.orders"),)))
    assert [one.name for one in plan(found).objects] == ["v"]
    assert NotRestored("v", "VIEW", WHY) not in plan(found).not_restored
