"""Rows alone, into tables that exist: which are filled, kept or refused, and which columns fit."""

from __future__ import annotations

from typing import Any

import pytest

from bqdump.core.documents.definitions import Definitions
from bqdump.core.errors import UsageError
from bqdump.core.restore.plan import RestorePlan, TableStep, TargetState
from core.restore.exports import EMPTY, column, entry, manifest, plan, raw, read
from core.restore.test_objects import relation

FIELDS = (column("id", mode="REQUIRED"), column("name", "STRING"))


def holding(*fields: dict[str, Any], name: str = "orders", rows: int = 0, **more: Any) -> TargetState:
    """A target with one table."""
    definition = {"schema": {"fields": list(fields)}, "numRows": str(rows), "labels": {"team": "a"}, **more}
    return EMPTY._replace(tables={name: ("TABLE", {"team": "a"})}, definitions={name: raw(definition)})


def filled(target: TargetState, **options: Any) -> RestorePlan:
    return plan(manifest(entry("orders", FIELDS)), target, data_only=True, **options)


def step(target: TargetState, **options: Any) -> TableStep:
    (made,) = filled(target, **options).tables
    return made


def test_an_empty_table_is_filled_and_keeps_its_own_definition() -> None:
    own: dict[str, Any] = {"clustering": {"fields": ["name"]}, "description": "mine"}
    table_step = step(holding(*FIELDS, **own))
    assert (table_step.action, table_step.load.casts, table_step.as_what) == ("fill", "", "")
    assert read(table_step.create) == {"schema": {"fields": list(FIELDS)}, "labels": {"team": "a"}, **own}
    assert read(table_step.finish)["labels"] == {"team": "a", "bqdump_restore": None}


def test_rows_are_replaced_or_kept_only_on_request() -> None:
    with pytest.raises(UsageError, match=r"the dataset has orders with rows\. Use replace=True to replace their rows"):
        filled(holding(*FIELDS, rows=3))
    with pytest.raises(UsageError, match="orders with rows"):
        filled(holding(*FIELDS, streamingBuffer={"estimatedRows": "1"}))
    assert step(holding(*FIELDS, rows=3), replace=True).action == "replace"
    kept = filled(holding(*FIELDS, rows=3), missing_only=True)
    assert (kept.tables, kept.kept) == ((), ("orders",))


# The last one was dropped after it had been listed.
@pytest.mark.parametrize(
    "target",
    [
        None, EMPTY, EMPTY._replace(tables={"orders": ("VIEW", {})}),
        EMPTY._replace(tables={"orders": ("TABLE", {})}, definitions={}),
    ],
)  # fmt: skip
def test_a_table_that_does_not_exist_is_refused(target: TargetState | None) -> None:
    with pytest.raises(UsageError, match="rows are restored into tables that exist, and there is no table orders"):
        plan(manifest(entry("orders", FIELDS)), target, data_only=True)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ((column("id", mode="REQUIRED"),), "there is no name"),
        ((column("id", "STRING", mode="REQUIRED"), FIELDS[1]), "id is STRING there, and INT64 in the export"),
        ((FIELDS[0], column("name", "STRING", mode="REQUIRED")), "name is REQUIRED there only"),
        ((*FIELDS, column("more", mode="REQUIRED")), "more is REQUIRED there"),
        ((FIELDS[0], column("name", "STRING", mode="REPEATED")), "name is ARRAY<STRING> there, and STRING in"),
        ((FIELDS[0], column("name", "STRING", maxLength="3")), r"name is STRING\(3\) there, and STRING in the export"),
        ((*FIELDS, column("sum", generatedColumn={"x": 1})), "sum is generated there"),
    ],
)
def test_columns_that_do_not_fit_are_named(fields: tuple[dict[str, Any], ...], why: str) -> None:
    with pytest.raises(UsageError, match=f"do not fit those of the tables there .orders: {why}"):
        filled(holding(*fields))


def test_members_that_do_not_fit_are_named() -> None:
    export = entry("orders", [column("s", "RECORD", fields=[column("a"), column("b")])])
    for members, why in (
        ([column("a"), column("b", "STRING")], "s.b is STRING there, and INT64 in the export"),
        ([column("b"), column("a")], "s has other members there"),
    ):
        target = holding(column("s", "RECORD", fields=members))
        with pytest.raises(UsageError, match=why):
            plan(manifest(export), target, data_only=True)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ((*FIELDS, column("note", "STRING")), "the export lacks note, which is NULL"),
        (FIELDS[::-1], "the columns are in another order there"),
        ((column("id"), FIELDS[1]), "id may be NULL there only"),
    ],
)
def test_a_query_fills_tables_that_load_jobs_cannot_fill_exactly(fields: tuple[dict[str, Any], ...], why: str) -> None:
    table_step = step(holding(*fields))
    assert (table_step.load.casts, table_step.load.columns) == (why, ("id", "name"))


def test_columns_whose_names_differ_by_case_only_fit_because_names_have_no_case() -> None:
    table_step = step(holding(column("ID", mode="REQUIRED"), FIELDS[1]))
    assert (table_step.load.casts, table_step.load.columns) == (
        "upper and lower case of id differ there",
        ("id", "name"),
    )
    assert read(table_step.load.scratch)["schema"]["fields"][0]["name"] == "id"
    assert read(table_step.create)["schema"]["fields"][0]["name"] == "ID"
    export = entry("orders", [column("s", "RECORD", fields=[column("a"), column("b")])])
    target = holding(column("s", "RECORD", fields=[column("a"), column("B")]))
    (nested,) = plan(manifest(export), target, data_only=True).tables
    assert nested.load.casts == "upper and lower case of s differ there"
    with pytest.raises(UsageError, match="MORE is REQUIRED there"):
        filled(holding(*FIELDS, column("MORE", mode="REQUIRED")))


def test_a_partition_goes_into_a_table_whose_partitioning_column_differs_by_case_only() -> None:
    days = {"type": "DAY", "field": "d"}
    export = entry("orders", [column("d", "DATE")], timePartitioning=days)
    there = holding(column("D", "DATE"), timePartitioning={"type": "DAY", "field": "D"})
    (made,) = plan(manifest(export), there, partitions=("orders$20260101",)).tables
    assert made.parts == ("20260101",)


def test_a_long_range_is_refused_without_the_claim_that_each_of_its_partitions_has_rows() -> None:
    days = {"type": "DAY", "field": "d"}
    export = entry("orders", [column("d", "DATE")], timePartitioning=days)
    there = holding(column("d", "DATE"), timePartitioning=days)
    cause = r"partitions 20000101\.\.20261231 may be more than 1,000, as the files do not say which of them have rows"
    with pytest.raises(UsageError, match=cause):
        plan(manifest(export), there, partitions=("orders$20000101..20261231",))


def test_rows_by_arrival_only_go_into_a_table_that_is_partitioned_alike() -> None:
    export = manifest(entry("orders", FIELDS, timePartitioning={"type": "DAY"}))
    with pytest.raises(UsageError, match="partitioned by day of ingestion time in the export, and neither partitioned"):
        plan(export, holding(*FIELDS), data_only=True)
    (made,) = plan(export, holding(*FIELDS, timePartitioning={"type": "DAY"}), data_only=True).tables
    assert made.action == "fill"


def test_nothing_but_rows_is_restored_or_missed() -> None:
    export = manifest(entry("orders", FIELDS), definitions=Definitions(objects=(relation("v"),)))
    restore_plan = plan(export, holding(*FIELDS), data_only=True)
    assert (restore_plan.objects, restore_plan.policies, restore_plan.not_restored) == ((), (), ())
    with pytest.raises(UsageError, match="no table is chosen"):
        plan(export, holding(*FIELDS), data_only=True, include=("v",))


def test_rows_go_into_a_table_of_another_name() -> None:
    table_step = step(holding(*FIELDS, name="orders_copy"), as_="{table}_copy")
    assert (table_step.name, table_step.action, table_step.as_what) == ("orders_copy", "fill", "orders in the export")
