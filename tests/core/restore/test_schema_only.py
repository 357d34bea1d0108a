"""Definitions alone: tables as in the source, without rows."""

from __future__ import annotations

import pytest

from bqdump.core.documents.definitions import Definitions
from bqdump.core.errors import UsageError
from bqdump.core.restore.bill import bill_of
from bqdump.core.tables.catalog import Mask, Shape
from core.restore.exports import DAY, column, entry, file, holding, manifest, plan, read, step
from core.restore.test_objects import relation


def test_a_table_has_the_definition_of_the_source_and_no_files() -> None:
    table_step = step(
        entry("e", [column("day", "DATE")], timePartitioning={"type": "DAY", "field": "day", "expirationMs": "9"}),
        schema_only=True,
    )
    assert (table_step.entry.files, table_step.entry.rows, table_step.load.groups, table_step.as_what) == (
        (),
        0,
        (),
        "without its rows",
    )
    assert read(table_step.expire)["timePartitioning"]["expirationMs"] == "9"


def test_columns_that_the_export_lacks_or_has_masked_are_as_in_the_source() -> None:
    fields = (column("id"), column("name", "STRING"), column("salary", "INTEGER", mode="REQUIRED"))
    shape = Shape(columns=("id", "salary"), masks={"salary": Mask(null=True)}, where="id > 1")
    table_step = step(entry("staff", fields, shape=shape), schema_only=True)
    assert read(table_step.create)["schema"]["fields"] == list(fields)
    assert table_step.as_what == "without its rows"


def test_nothing_is_cast_or_billed_and_no_file_is_too_large() -> None:
    casts = entry("c", [column("at", "DATETIME")], format="avro")
    large = entry("t", [column("s", "STRING")], format="csv", files=(file("t.csv", 5 * 10**9),))
    restore_plan = plan(manifest(casts, large), schema_only=True)
    assert [one.entry.table for one in restore_plan.tables] == ["c", "t"]
    assert [(one.load.casts, one.load.like_null) for one in restore_plan.tables] == [("", "")] * 2
    assert bill_of(restore_plan).most == 0


def test_partitions_by_arrival_need_no_times_without_rows() -> None:
    table_step = step(entry(timePartitioning={"type": "DAY", "expirationMs": str(DAY)}), schema_only=True)
    assert (table_step.load.partitions, table_step.as_what) == ((), "without its rows")


def test_views_and_policies_are_definitions_and_come_as_ever() -> None:
    restore_plan = plan(manifest(entry(), definitions=Definitions(objects=(relation("v"),))), schema_only=True)
    assert [one.name for one in restore_plan.objects] == ["v"]


def test_a_table_that_exists_keeps_its_rows_whatever_is_requested() -> None:
    export = manifest(entry(), definitions=Definitions(objects=(relation("v"),)))
    there = holding(orders="TABLE", v="VIEW")
    with pytest.raises(UsageError, match="orders would be replaced by tables without rows"):
        plan(export, there, schema_only=True, replace=True)
    restore_plan = plan(export, there, schema_only=True, replace=True, include=("v",))
    assert [(one.name, one.action) for one in restore_plan.objects] == [("v", "replace")]
    assert plan(export, there, schema_only=True, missing_only=True).kept == ("orders", "v")
