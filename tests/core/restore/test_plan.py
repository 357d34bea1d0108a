"""Which tables a restore creates, replaces and keeps, what it refuses, and what it names as not restored."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from bqdump.core.documents.definitions import Definitions, Unread
from bqdump.core.documents.manifest import Carried
from bqdump.core.documents.run import Failure, Owner, Skipped
from bqdump.core.errors import UsageError
from bqdump.core.restore.names import LABEL, scratch_name
from bqdump.core.restore.partitions import layout_of
from bqdump.core.restore.plan import NotRestored
from bqdump.core.tables.catalog import Shape
from core.restore.exports import EMPTY, SETTINGS, column, entry, file, holding, manifest, plan, raw, read, step

TWO = (entry("orders"), entry("customers"))


def test_a_new_dataset_is_like_the_source_and_gets_its_expirations_last() -> None:
    resource = {
        "kind": "x", "etag": "x", "id": "x", "selfLink": "x", "datasetReference": {}, "creationTime": "1",
        "location": "EU", "labels": {"a": "b"}, "maxTimeTravelHours": "48", "access": [{"role": "OWNER"}],
        "defaultTableExpirationMs": "3600000", "defaultEncryptionConfiguration": {"kmsKeyName": "k"}, "newField": 1,
    }  # fmt: skip
    restore_plan = plan(manifest(*TWO, definitions=Definitions(dataset=raw(resource))))
    kept = ("location", "labels", "maxTimeTravelHours", "defaultEncryptionConfiguration", "newField")
    assert read(restore_plan.create_dataset) == {key: resource[key] for key in kept}
    assert read(restore_plan.finish_dataset) == {"defaultTableExpirationMs": "3600000"}
    assert [(one.kind, one.name) for one in restore_plan.not_restored] == [("ACCESS", "shop")]
    assert [(one.entry.table, one.action) for one in restore_plan.tables] == [
        ("orders", "create"),
        ("customers", "create"),
    ]


def test_a_dataset_of_unknown_properties_is_created_in_the_location_of_the_export() -> None:
    assert read(plan(manifest(*TWO)).create_dataset) == {"location": "EU"}


def test_a_dataset_that_exists_keeps_its_properties_and_its_location() -> None:
    restore_plan = plan(manifest(*TWO), EMPTY._replace(location="US"))
    assert (read(restore_plan.create_dataset), read(restore_plan.finish_dataset), restore_plan.target.location) == (
        None,
        None,
        "US",
    )
    assert NotRestored("back", "DATASET", "it exists, so its properties stay as they are") in restore_plan.not_restored


def test_a_target_that_is_not_empty_is_refused_with_some_of_what_is_there() -> None:
    there = holding(a="VIEW", **{f"t{number}": "TABLE" for number in range(5)})
    with pytest.raises(UsageError) as caught:
        plan(manifest(*TWO), there._replace(routines=frozenset({"f"})))
    cause = "the dataset is not empty (view a, routine f, table t0 and 4 more objects)"
    assert (caught.value.subject, caught.value.cause) == ("proj.back", cause)
    assert str(caught.value).endswith("use replace=True to replace what the export also has, or missing_only=True "
                                      "to restore only what is missing.")  # fmt: skip


def test_replace_replaces_what_the_export_has_and_touches_nothing_else() -> None:
    there = holding(orders="TABLE", mine="TABLE")
    restore_plan = plan(manifest(*TWO), there, replace=True)
    assert [(one.entry.table, one.action) for one in restore_plan.tables] == [
        ("orders", "replace"),
        ("customers", "create"),
    ]


def test_replacing_a_table_with_other_partitioning_or_clustering_is_refused_by_name() -> None:
    days = {"type": "DAY", "field": "at"}
    parts = entry("parts", (column("at", "DATE"), column("id")), timePartitioning=days, clustering={"fields": ["id"]})
    there = holding(parts="TABLE", orders="TABLE")
    same = "partitioned by day of at and clustered by id"
    plan(manifest(parts), there._replace(layouts={"parts": same}), replace=True)
    layouts = {"parts": "partitioned by month of at", "orders": "neither partitioned nor clustered"}
    expected = rf"\(parts is partitioned by month of at there, and {same} in the export\)"
    with pytest.raises(UsageError, match=expected):
        plan(manifest(*TWO, parts), there._replace(layouts=layouts), replace=True)


@pytest.mark.parametrize(
    ("properties", "layout"),
    [
        ({}, "neither partitioned nor clustered"),
        ({"timePartitioning": {"type": "HOUR", "expirationMs": "9"}}, "partitioned by hour of ingestion time"),
        ({"timePartitioning": {"field": "At"}}, "partitioned by day of at"),
        ({"clustering": {"fields": ["A", "b"]}}, "clustered by a, b"),
        (
            {"rangePartitioning": {"field": "id", "range": {"start": "0", "end": "100", "interval": "10"}}},
            "partitioned by id from 0 to 100 in steps of 10",
        ),
    ],
)
def test_the_layout_of_a_table_is_what_a_copy_job_cannot_change(properties: dict[str, Any], layout: str) -> None:
    assert layout_of(raw(properties)) == layout


def test_a_unit_of_partitions_that_is_none_is_named_and_reaches_no_statement() -> None:
    hostile = entry("parts", timePartitioning={"type": "DAY), DROP", "expirationMs": "9"})
    restore_plan = plan(manifest(*TWO, hostile))
    assert [one.entry.table for one in restore_plan.tables] == ["orders", "customers"]
    assert any(one.name == "parts" and "DAY), DROP" in one.reason for one in restore_plan.not_restored)


def test_missing_only_keeps_what_is_there() -> None:
    restore_plan = plan(manifest(*TWO), holding(orders="TABLE"), missing_only=True)
    assert [(one.entry.table, one.action) for one in restore_plan.tables] == [("customers", "create")]
    assert restore_plan.kept == ("orders",)


@pytest.mark.parametrize("how", ["replace", "missing_only"])
def test_another_kind_of_object_under_the_name_of_a_table_is_refused_by_name(how: str) -> None:
    with pytest.raises(UsageError, match="orders is a view there, and a table in the export"):
        plan(manifest(*TWO), holding(orders="VIEW"), replace=how == "replace", missing_only=how == "missing_only")


@pytest.mark.parametrize(
    "options", [{"replace": True}, {"missing_only": True}, {"as_": "{table}_old"}], ids=["replace", "missing", "as"]
)
def test_a_routine_under_the_name_of_a_table_is_not_in_its_way(options: dict[str, Any]) -> None:
    name = "orders_old" if "as_" in options else "orders"
    restore_plan = plan(manifest(*TWO), EMPTY._replace(routines=frozenset({name})), **options)
    assert [one.action for one in restore_plan.tables] == ["create", "create"]


def test_replace_and_missing_only_exclude_each_other() -> None:
    with pytest.raises(UsageError, match="cannot be used together with missing_only"):
        plan(manifest(*TWO), replace=True, missing_only=True)


def test_what_this_restore_has_begun_is_resumed_and_what_another_has_begun_is_in_the_way() -> None:
    there = EMPTY._replace(tables={"orders": ("TABLE", {LABEL: "0123456789ab-1"})})
    restore_plan = plan(manifest(*TWO), there, restore="0123456789ab-1")
    assert [one.action for one in restore_plan.tables] == ["resume", "create"]
    with pytest.raises(UsageError, match="not empty"):
        plan(manifest(*TWO), there, restore="0123456789ab-2")


def test_scratch_tables_are_not_in_the_way() -> None:
    plan(manifest(*TWO), holding(**{scratch_name("0123456789ab-1", 3): "TABLE"}))


def test_patterns_choose_tables() -> None:
    restore_plan = plan(manifest(*TWO), include=("c*",))
    assert ([one.entry.table for one in restore_plan.tables], restore_plan.excluded) == (["customers"], 1)
    assert [one.entry.table for one in plan(manifest(*TWO), exclude=("c*",)).tables] == ["orders"]


@pytest.mark.parametrize("setting", ["include", "exclude"])
def test_a_pattern_that_matches_nothing_is_refused_with_a_guess(setting: str) -> None:
    patterns: dict[str, Any] = {setting: ("ordrs",)}
    with pytest.raises(UsageError, match="'ordrs': matches no object of the export; did you mean 'orders'") as caught:
        plan(manifest(*TWO), **patterns)
    assert caught.value.setting == setting


def test_what_the_export_lacks_is_named_with_the_reason() -> None:
    failure = Failure("00000-00000", "broken", "j", 1, "invalid", "no such thing", Owner("e", 0))
    unread = Unread("the members of row access policy p of table t", "permission missing")
    export = manifest(
        *TWO, skipped=(Skipped("m", "MODEL", "of the unknown kind MODEL"),), failed=(failure,),
        definitions=Definitions(unread=(unread,)),
    )  # fmt: skip
    assert plan(export).not_restored == (
        NotRestored("m", "MODEL", "not in the export: of the unknown kind MODEL"),
        NotRestored("broken", "TABLE", "its export failed: no such thing"),
        NotRestored(unread.what, "DEFINITION", "not in the export: permission missing"),
    )


def test_a_table_without_a_definition_is_named_and_not_restored() -> None:
    restore_plan = plan(manifest(entry("gone", definition=raw(None))))
    (lost,) = restore_plan.not_restored
    assert (restore_plan.tables, lost.name) == ((), "gone")
    assert "no definition" in lost.reason


def test_files_that_no_load_job_takes_are_named() -> None:
    large = file("t.csv", 5 * 10**9)
    restore_plan = plan(manifest(entry("t", [column("s", "STRING")], format="csv", files=(large,))))
    (lost,) = restore_plan.not_restored
    assert lost.reason == "load jobs take CSV files with line breaks in quoted values up to 4 GB, and t.csv has 5 GB"
    assert plan(manifest(entry("t", [column("i")], format="csv", files=(large,)))).not_restored == ()


def test_a_table_snapshot_is_restored_as_a_table_and_a_filter_is_named() -> None:
    table_step = step(entry(kind="SNAPSHOT", shape=Shape(where="id > 1")))
    assert table_step.as_what == "a table snapshot, restored as a table; rows are filtered"


def test_a_carried_table_is_loaded_with_the_settings_of_its_own_export() -> None:
    carried = Carried("r0", 1, "2025-01-01T00:00:00Z", "1.0", {"delimiter": ";", "format": "csv"})
    options = read(step(entry(carried=carried)).load.options)
    assert (options["sourceFormat"], options["fieldDelimiter"]) == ("CSV", ";")


def test_the_totals_are_those_of_the_steps() -> None:
    casts = entry("c", [column("at", "DATETIME")], format="avro", files=(file("a", 30), file("b", 40)), rows=14)
    totals = plan(manifest(entry(), casts)).totals
    assert (totals.tables, totals.files, totals.bytes, totals.rows, totals.jobs) == (2, 3, 170, 21, 5)


def test_a_plan_is_the_same_whoever_makes_it_and_can_be_stored() -> None:
    export = manifest(*TWO, settings=dict(reversed(SETTINGS.items())))
    assert msgspec.json.encode(plan(export)) == msgspec.json.encode(plan(export))
