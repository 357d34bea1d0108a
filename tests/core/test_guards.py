"""The risks of an export: found in definitions, in what may be seen of policies, in the bucket; refused by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import msgspec
import pytest

from bqdump.core.documents.definitions import RowPolicy
from bqdump.core.documents.run import Flag, Skipped
from bqdump.core.documents.units import Unit
from bqdump.core.errors import UsageError
from bqdump.core.plan.guards import (
    job_risks,
    judge,
    location_flags,
    objection,
    policy_flags,
    refuse,
    refuse_snapshot,
    sentence,
    skipped_flags,
    table_flags,
    with_jobs,
)
from bqdump.core.plan.hidden_data import buffered_rows, protected_columns
from bqdump.core.risks import REFUSED, REPORTED, Risk
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target
from bqdump.core.tables.catalog import Dataset, Mask, Shape

HOUR = 3_600_000
NOW = 1_800_000_000_000


def settings(**values: Any) -> Settings:
    return Settings(project="proj", dataset="data", target=Target("gs", "bucket"), **values)


def raw(**definition: Any) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(definition))


def schema(*columns: dict[str, Any]) -> msgspec.Raw:
    return raw(schema={"fields": list(columns)})


def unit(table: str, definition: msgspec.Raw, read_at: Literal["snapshot", "job"] = "snapshot") -> Unit:
    return Unit("00000-00000", table, "TABLE", "extract", 1, 1, f"{table}/*", definition, read_at=read_at)


def told(flags: Sequence[Flag], allowed: Settings | None = None) -> str:
    with pytest.raises(UsageError) as caught:
        refuse(judge(flags, allowed or settings()), "proj.data")
    return str(caught.value)


TAGGED = {
    "name": "ssn",
    "type": "STRING",
    "policyTags": {"names": ["projects/p/locations/eu/taxonomies/1/policyTags/2"]},
}


@pytest.mark.parametrize(
    ("columns", "found"),
    [
        ([{"name": "id", "type": "INT64"}], ()),
        ([{"name": "id", "type": "INT64"}, TAGGED], ("ssn",)),
        ([{"name": "id", "type": "INT64", "policyTags": {"names": []}}], ()),
        ([{"name": "id", "type": "INT64", "policyTags": {}}], ()),
        ([{"name": "mail", "type": "STRING", "dataPolicies": [{"name": "projects/p/locations/eu/dataPolicies/m"}]}],
         ("mail",)),
        ([{"name": "mail", "type": "STRING", "dataPolicyList": {"dataPolicies": [{"name": "m"}]}}], ("mail",)),
        ([{"name": "a", "type": "RECORD", "fields": [{"name": "b", "type": "RECORD", "fields": [TAGGED]}]}],
         ("a.b.ssn",)),
        ([{"name": "x", "type": "STRING", "description": 'says "policyTags"'}], ()),
    ],
)  # fmt: skip
def test_protected_columns_are_found_at_every_depth(columns: list[dict[str, Any]], found: tuple[str, ...]) -> None:
    assert protected_columns(schema(*columns)) == found


def test_a_streaming_buffer_has_a_number_of_rows_and_none_has_none() -> None:
    assert buffered_rows(raw(streamingBuffer={"estimatedRows": "12", "oldestEntryTime": "1"})) == 12
    assert buffered_rows(raw(streamingBuffer={})) == 0
    assert buffered_rows(raw(description="streamingBuffer")) is None
    assert buffered_rows(msgspec.Raw(b"null")) is None


def test_units_record_masks_and_buffers_and_what_is_read_as_it_is_now_has_no_buffer() -> None:
    buffered = raw(schema={"fields": [TAGGED]}, streamingBuffer={"estimatedRows": "7"})
    flags = list(table_flags([unit("plain", schema()), unit("live", buffered), unit("now", buffered, "job")]))
    assert [(flag.risk, flag.table, flag.columns) for flag in flags] == [
        (Risk.MASKED_COLUMNS, "live", ("ssn",)),
        (Risk.STREAMING_BUFFER, "live", ()),
        (Risk.MASKED_COLUMNS, "now", ("ssn",)),
    ]


def test_units_tell_of_columns_that_do_not_fit() -> None:
    out, text = Shape(left_out={"a": "a RANGE: no"}), Shape(texts={"b": "b RANGE: no", "c": "c RANGE: no"})
    units = [msgspec.structs.replace(unit("t", schema()), shape=shape) for shape in (out, text)]
    assert [(flag.risk, flag.columns, flag.detail) for flag in table_flags(units)] == [
        (Risk.LEFT_OUT_COLUMNS, ("a",), "a RANGE: no"),
        (Risk.COLUMNS_AS_TEXT, ("b", "c"), "b RANGE: no; c RANGE: no"),
    ]


def test_a_protected_column_that_is_left_out_or_masked_by_the_export_is_no_risk() -> None:
    definition = schema({"name": "id", "type": "INT64"}, TAGGED)
    mask = Mask(null=True)
    for shape in (Shape(columns=("id",)), Shape(masks={"ssn": mask}), Shape(left_out={"ssn": "no"})):
        flags = table_flags([msgspec.structs.replace(unit("people", definition), shape=shape)])
        assert [flag for flag in flags if flag.risk is Risk.MASKED_COLUMNS] == []
    (flag,) = table_flags([msgspec.structs.replace(unit("people", definition), shape=Shape(columns=("ssn",)))])
    assert flag.columns == ("ssn",)


def test_policies_are_named_and_no_right_to_see_them_is_a_risk_of_its_own() -> None:
    (found,) = policy_flags({"a": [], "orders": [RowPolicy("orders", name, "TRUE") for name in ("eu_only", "us_only")]})
    assert (found.risk, found.table, found.detail) == (Risk.ROW_POLICIES, "orders", "eu_only, us_only")
    (unseen,) = policy_flags({"a": None, "b": None})
    assert (unseen.risk, unseen.table, unseen.detail) == (Risk.UNSEEN_ROW_POLICIES, "", "2 tables")
    (one,) = policy_flags({"a": [], "b": None})
    assert (one.risk, one.table) == (Risk.UNSEEN_ROW_POLICIES, "b")
    assert list(policy_flags({})) == []


def test_what_is_skipped_is_a_risk_and_what_came_later_is_another() -> None:
    skipped = [Skipped("model", "MODEL", "of the unknown kind MODEL"), Skipped("late", "TABLE", "created after")]
    assert [(flag.risk, flag.table) for flag in skipped_flags(skipped, {"late"})] == [
        (Risk.SKIPPED, "model"),
        (Risk.CREATED_LATER, "late"),
    ]


@pytest.mark.parametrize(
    ("dataset", "bucket", "near"),
    [
        ("EU", "EU", True), ("europe-west1", "EUROPE-WEST1", True), ("EU", "EUROPE-WEST4", True),
        ("europe-west4", "EU", True), ("europe-west4", "EUR4", True), ("US", "US-CENTRAL1", True),
        ("us-central1", "NAM4", True), ("US", "EU", False), ("EU", "EUROPE-WEST2", False),
        ("europe-west1", "EUROPE-WEST4", False), ("US", "NORTHAMERICA-NORTHEAST1", False),
        ("asia-northeast1", "ASIA1", True), ("australia-southeast1", "US", False), ("EU", "", True),
    ],
)  # fmt: skip
def test_a_bucket_elsewhere_is_flagged_and_never_refused(dataset: str, bucket: str, near: bool) -> None:
    flags = judge(location_flags(dataset, bucket), settings())
    assert [flag.risk for flag in flags] == ([] if near else [Risk.OTHER_LOCATION])
    assert all(flag.allowed for flag in flags)
    refuse(flags, "proj.data")


@pytest.mark.parametrize("risk", Risk)
def test_each_risk_is_allowed_by_its_own_name_and_by_no_other(risk: Risk) -> None:
    flag = Flag(risk, "orders", (), "why", allowed=False)
    if risk in REPORTED:
        assert judge([flag], settings())[0].allowed
    else:
        text = told([flag], settings(strict=True, allow=tuple(other for other in REFUSED if other != risk)))
        assert "orders (why)" in text
        assert f"allow='{risk}'." in text
        refuse(judge([flag], settings(allow=(risk,))), "proj.data")


def test_one_error_names_every_table_of_every_risk_and_counts_the_many() -> None:
    flags = [Flag(Risk.STREAMING_BUFFER, f"t{number:02}", (), "", allowed=False) for number in range(13)]
    text = told([*flags, Flag(Risk.MASKED_COLUMNS, "people", ("ssn",), "ssn", allowed=False)])
    assert text.startswith("proj.data: the export would be incomplete")
    assert "t00, t01" in text
    assert "t09 and 3 more" in text
    assert "t10" not in text
    assert "people (ssn)" in text
    assert "allow='streaming-buffer,masked-columns'." in text


def test_a_moment_outside_time_travel_is_refused_and_nothing_allows_it() -> None:
    dataset = Dataset("proj", "data", "EU", 48)
    for good in (NOW, NOW - 48 * HOUR):
        refuse_snapshot(settings(), good, NOW, dataset)
    with pytest.raises(UsageError, match="in the future"):
        refuse_snapshot(settings(), NOW + 1, NOW, dataset)
    with pytest.raises(UsageError, match=r"data can be read back to 2027-01-13T08:00:00\.000Z only \(48 hours\)"):
        refuse_snapshot(settings(), NOW - 48 * HOUR - 1, NOW, dataset)


def test_a_job_that_reports_policies_is_refused_unless_they_are_allowed() -> None:
    assert job_risks(row_policies=False, masking=False) == ()
    told = job_risks(row_policies=True, masking=True)
    assert told == (Risk.ROW_POLICIES, Risk.MASKED_COLUMNS)
    rows = objection(told, settings(allow=(Risk.MASKED_COLUMNS,)), "reported by its job:")
    assert rows
    assert (rows[0], "--allow row-policies" in rows[1]) == (Risk.ROW_POLICIES, True)
    assert rows[1].startswith("reported by its job: row access policies may hide rows")
    masks = objection(told, settings(allow=(Risk.ROW_POLICIES,)), "reported by its job:")
    assert masks
    assert masks[0] is Risk.MASKED_COLUMNS
    assert objection(told, settings(allow=(Risk.ROW_POLICIES, Risk.MASKED_COLUMNS)), "") is None


def test_what_jobs_tell_is_added_to_the_flags_of_the_plan_once() -> None:
    planned = (Flag(Risk.ROW_POLICIES, "a", (), "eu", allowed=True),)
    made = with_jobs(planned, [("a", Risk.ROW_POLICIES), *[("b", Risk.ROW_POLICIES)] * 2])
    assert made == (*planned, Flag(Risk.ROW_POLICIES, "b", (), "found while exporting", allowed=True))


def test_a_flag_is_described_in_a_sentence() -> None:
    assert sentence(Flag(Risk.ROW_POLICIES, "a", (), "eu", allowed=True)) == (
        "a: row access policies may hide rows from this account (eu)"
    )
    assert sentence(Flag(Risk.OTHER_LOCATION, "", (), "the dataset in US", allowed=True)) == (
        "bucket and dataset are in different locations (the dataset in US)"
    )
