"""A restored table has the definition of the source, in an order in which nothing is deleted or refused."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bqdump.core.documents.manifest import TableEntry
from bqdump.core.restore.names import LABEL
from bqdump.core.restore.table_requests import OUTPUT_ONLY
from bqdump.core.tables.catalog import Mask, Shape
from core.restore.exports import DAY, EMPTY, NOW, column, entry, holding, read, step

FULL: dict[str, Any] = {
    "friendlyName": "Orders", "description": "all of them", "labels": {"team": "shop"},
    "timePartitioning": {"type": "DAY", "field": "day"}, "clustering": {"fields": ["id"]},
    "requirePartitionFilter": True, "encryptionConfiguration": {"kmsKeyName": "k"}, "maxStaleness": "0-0 0 4:0:0",
    "defaultCollation": "und:ci",
    "resourceTags": {"1/env": "prod"}, "fieldOfTheFuture": {"a": 1},
    "tableConstraints": {
        "primaryKey": {"columns": ["id"]},
        "foreignKeys": [{
            "name": "fk", "referencedTable": {"projectId": "proj", "datasetId": "shop", "tableId": "customers"},
            "columnReferences": [{"referencingColumn": "customer", "referencedColumn": "id"}],
        }],
    },
}  # fmt: skip
FIELDS = [
    column("id", mode="REQUIRED", description="the key", policyTags={"names": ["t"]}),
    column("day", "DATE"),
    column("customer", defaultValueExpression="0", roundingMode="ROUND_HALF_EVEN"),
]


def test_a_table_is_created_with_all_that_neither_deletes_rows_nor_refuses_the_load() -> None:
    table_step = step(entry("orders", FIELDS, **FULL))
    kept = {"friendlyName", "description", "labels", "timePartitioning", "clustering", "encryptionConfiguration",
            "maxStaleness", "defaultCollation", "resourceTags", "fieldOfTheFuture"}  # fmt: skip
    created = read(table_step.create)
    assert {key: created[key] for key in kept} == {key: FULL[key] for key in kept}
    fields = [{key: value for key, value in field.items() if key != "defaultValueExpression"} for field in FIELDS]
    assert created["schema"] == {"fields": fields}
    assert created["tableConstraints"] == {"primaryKey": {"columns": ["id"]}}
    assert set(created) == {*kept, "schema", "tableConstraints"}


def test_the_rest_is_set_once_the_rows_are_there() -> None:
    table_step = step(entry("orders", FIELDS, **FULL))
    assert read(table_step.finish) == {
        "labels": {"team": "shop", LABEL: None},
        "schema": {"fields": FIELDS},
        "requirePartitionFilter": True,
    }
    assert table_step.as_what == ""


def test_a_primary_key_is_set_last_unless_foreign_keys_come_with_it() -> None:
    key = {"primaryKey": {"columns": ["id"]}}
    table_step = step(entry(tableConstraints=key))
    assert "tableConstraints" not in read(table_step.create)
    assert read(table_step.finish)["tableConstraints"] == key


def test_a_plain_table_only_loses_the_label_of_the_restore_in_the_end() -> None:
    table_step = step(entry())
    assert read(table_step.create) == {"schema": {"fields": [column("id")]}}
    assert read(table_step.finish) == {"labels": {LABEL: None}}
    assert (read(table_step.relate), read(table_step.expire), read(table_step.lasting)) == (None, None, None)


def test_foreign_keys_refer_to_the_target_and_come_with_the_primary_key() -> None:
    elsewhere = {"name": "other", "referencedTable": {"projectId": "proj", "datasetId": "crm", "tableId": "c"},
                 "columnReferences": [{"referencingColumn": "customer", "referencedColumn": "id"}]}  # fmt: skip
    constraints = FULL["tableConstraints"]
    constraints = {**constraints, "foreignKeys": [*constraints["foreignKeys"], elsewhere]}
    related = read(step(entry("orders", FIELDS, tableConstraints=constraints)).relate)["tableConstraints"]
    assert related["primaryKey"] == {"columns": ["id"]}
    assert [key["referencedTable"]["datasetId"] for key in related["foreignKeys"]] == ["back", "crm"]


def test_the_partition_filter_of_older_tables_is_set_in_the_end_too() -> None:
    table_step = step(
        entry("t", [column("d", "DATE")], timePartitioning={"field": "d", "requirePartitionFilter": True})
    )
    assert read(table_step.create)["timePartitioning"] == {"field": "d"}
    assert read(table_step.finish)["requirePartitionFilter"] is True


def test_expirations_are_set_last_and_their_rows_can_be_counted_first() -> None:
    partitioned = {"type": "DAY", "field": "day", "expirationMs": str(30 * DAY)}
    table_step = step(entry("orders", FIELDS, timePartitioning=partitioned, expirationTime=str(NOW + 90 * DAY)))
    assert "expirationMs" not in read(table_step.create)["timePartitioning"]
    assert "expirationTime" not in read(table_step.create)
    assert read(table_step.expire) == {"timePartitioning": partitioned, "expirationTime": str(NOW + 90 * DAY)}
    # A partition counts from its first instant.
    oldest = f"DATE(TIMESTAMP_SUB(CURRENT_TIMESTAMP(), INTERVAL {29 * DAY} MILLISECOND))"
    assert table_step.expired_rows == f"SELECT COUNT(*) FROM `proj`.`back`.`orders` WHERE `day` < {oldest}"


@pytest.mark.parametrize("expires", [1, NOW, NOW + DAY])
def test_an_expiration_that_would_delete_the_table_is_left_out_and_named(expires: int) -> None:
    table_step = step(entry(expirationTime=str(expires)))
    assert read(table_step.expire) is None
    assert table_step.as_what.startswith("without its expiration at ")


def test_default_expirations_of_the_target_are_lifted_before_the_first_row() -> None:
    table_step = step(entry("orders", FIELDS, **FULL), EMPTY._replace(expires=True))
    partitioning = {"type": "DAY", "field": "day", "expirationMs": None}
    assert read(table_step.lasting) == {"expirationTime": None, "timePartitioning": partitioning}


def test_a_replaced_table_gets_all_that_a_copy_does_not_carry() -> None:
    target = EMPTY._replace(tables={"orders": ("TABLE", {"old": "1", "team": "x"})})
    table_step = step(entry("orders", FIELDS, **FULL), target, replace=True)
    finish = read(table_step.finish)
    assert table_step.action == "replace"
    assert finish["labels"] == {"old": None, "team": "shop", LABEL: None}
    assert finish["schema"] == {"fields": FIELDS}
    assert (finish["description"], finish["friendlyName"]) == ("all of them", "Orders")


def test_a_replaced_table_loses_a_description_that_the_export_does_not_have() -> None:
    finish = read(step(entry(), holding(orders="TABLE"), replace=True).finish)
    assert (finish["description"], finish["friendlyName"]) == (None, None)


def test_a_replaced_table_no_longer_requires_a_filter_that_the_export_does_not_have() -> None:
    target = holding(t="TABLE")
    table_step = step(entry("t", [column("d", "DATE")], timePartitioning={"field": "d"}), target, replace=True)
    assert read(table_step.finish)["requirePartitionFilter"] is False


def test_what_refers_to_a_column_that_is_not_in_the_export_is_left_out_and_named() -> None:
    table_step = step(entry("orders", FIELDS, **FULL, shape=Shape(columns=("day", "customer"))))
    created = read(table_step.create)
    assert [field["name"] for field in created["schema"]["fields"]] == ["day", "customer"]
    assert "clustering" not in created
    assert "tableConstraints" not in read(table_step.finish)
    assert table_step.as_what == "column id is not in the export; not clustered; without its primary key"
    without_day = step(entry("orders", FIELDS, **FULL, shape=Shape(columns=("id",))))
    assert "timePartitioning" not in read(without_day.create)
    assert "requirePartitionFilter" not in read(without_day.finish)
    assert "not partitioned, as it has no column day; without some of its foreign keys" in without_day.as_what


def test_a_masked_column_has_the_type_of_its_replacement() -> None:
    fields = [
        column("n", mode="REQUIRED"),
        column("h", "NUMERIC", mode="REQUIRED", precision="10", policyTags={"names": ["t"]}),
        column("c", "STRING", maxLength="2"),
        column("l", "DATE", mode="REPEATED"),
    ]
    masks = {"n": Mask(null=True), "h": Mask(sha256="SALT"), "c": Mask(constant="hidden"), "l": Mask(null=True)}
    table_step = step(entry("t", fields, shape=Shape(masks=masks)))
    assert read(table_step.create)["schema"]["fields"] == [
        column("n", mode="NULLABLE"),
        column("h", "STRING", mode="NULLABLE", policyTags={"names": ["t"]}),
        column("c", "STRING"),
        column("l", "STRING", mode="NULLABLE"),
    ]
    assert table_step.as_what == "columns n, h, c and l are masked"


def test_a_generated_column_is_restored_with_its_values_as_a_plain_one() -> None:
    table_step = step(entry("t", [column("a"), column("b", generatedColumn={"x": 1})]))
    assert read(table_step.create)["schema"]["fields"] == [column("a"), column("b")]
    assert table_step.as_what == "column b is no longer generated"


def test_an_iceberg_table_does_not_share_the_files_of_its_source() -> None:
    table_step = step(entry(biglakeConfiguration={"storageUri": "gs://b/x"}, managedTableType="BIGLAKE"))
    assert set(read(table_step.create)) == {"schema"}
    assert table_step.as_what == "an Iceberg table, restored as a standard table"


KEYS = st.text(st.characters(codec="ascii", categories=("Lu", "Ll")), min_size=1, max_size=12)


@given(st.dictionaries(KEYS, st.integers() | KEYS, max_size=5))
def test_no_field_is_lost_unless_bigquery_computes_it(more: dict[str, Any]) -> None:
    known = {*msgspec.json.decode(entry().definition), *FULL, "biglakeConfiguration", "expirationTime"}
    # `entry` takes the fields of an entry as its own.
    known |= {*TableEntry.__struct_fields__, *OUTPUT_ONLY}
    more = {key: value for key, value in more.items() if key not in known and not key.startswith("num")}
    created = read(step(entry(**{"description": "x", **more})).create)
    assert {key: created[key] for key in more} == more
