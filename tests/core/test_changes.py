"""What two manifests prove about a table's content, and what they do not."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from bqdump.core.documents.changes import TableChange, compare
from bqdump.core.documents.manifest import Erased, File, Manifest, TableEntry, Totals
from bqdump.core.documents.run import Failure, Flag, Owner
from bqdump.core.documents.unchanged import Reading
from bqdump.core.risks import Risk
from bqdump.core.tables.catalog import Shape

ROWS, ONE, OTHER = 10, "AAAAAA==", "BBBBBB=="
SETTINGS = {"format": "csv", "compression": "none", "header": True, "delimiter": ",", "null_marker": ""}


def manifest(run: str = "r1", *, crcs: tuple[str, ...] = (ONE,), modified: int = 1000, **changed: Any) -> Manifest:
    settings = {name: changed.pop(name) for name in ("header", "delimiter") if name in changed}
    files = tuple(File(f"{run}/t_{number}.csv", 100, crc, 1) for number, crc in enumerate(crcs))
    definition = {"schema": {"fields": [{"name": "id", "type": "INTEGER"}]}, "lastModifiedTime": str(modified)}
    entry = TableEntry(
        table="t", kind="TABLE", route="extract", unit="00000-00000", jobs=(), planned_rows=ROWS, planned_bytes=80,
        created=1, started=1, ended=1, task=0, files=files, definition=msgspec.Raw(msgspec.json.encode(definition)),
        format="csv", compression="none",
    )  # fmt: skip
    return Manifest(
        run=run, tool="1.0", status="complete", project="p", dataset="d", location="EU", snapshot=5, mode="replace",
        snapshot_time="2026-01-01T00:00:00Z", settings=SETTINGS | settings, digest="", totals=Totals(1, 1, 1, 1, 1),
        tables=(replace(entry, **changed),), skipped=(), failed=(), left=(), found=(),
    )  # fmt: skip


def change(before: Manifest, after: Manifest) -> TableChange:
    (only,) = compare(before, after)
    return only


def test_the_same_number_of_rows_with_other_checksums_is_other_content_where_the_table_was_modified() -> None:
    table_change = change(manifest(), manifest("r2", crcs=(OTHER,), modified=2000))
    assert (table_change.what, table_change.content, table_change.why) == (
        "content changed",
        "changed",
        "its files have other checksums",
    )


@pytest.mark.parametrize("earlier", [True, False])
def test_a_table_that_was_erased_from_one_of_the_runs_is_said_to_be(*, earlier: bool) -> None:
    note = Erased("t", 1_796_000_000_000, "dana", "request 4711")
    erased = replace(manifest("r0" if earlier else "r2"), tables=(), erased=(note,))
    found = change(erased, manifest("r1")) if earlier else change(manifest("r1"), erased)
    assert found.what == ("added" if earlier else "removed")
    assert found.why == f"it was erased from run {erased.run} on 2026-11-30 by dana: request 4711"


def test_the_same_bytes_in_other_files_are_no_change() -> None:
    assert compare(manifest(crcs=(ONE, OTHER)), manifest("r2", crcs=(OTHER, ONE), modified=2000)) == []


def test_the_same_bytes_twice_are_not_the_same_bytes_once() -> None:
    assert compare(manifest(crcs=(ONE,)), manifest("r2", crcs=(ONE, ONE), modified=2000))


def test_other_checksums_of_a_table_that_was_not_modified_may_be_the_order_of_its_rows() -> None:
    table_change = change(manifest(), manifest("r2", crcs=(OTHER,)))
    assert (table_change.what, table_change.content) == ("unclear", "unclear")
    assert "order of rows" in table_change.why


def test_other_checksums_of_a_view_prove_nothing_whatever_the_time_of_its_definition() -> None:
    table_change = change(manifest(kind="VIEW"), manifest("r2", crcs=(OTHER,), modified=2000, kind="VIEW"))
    assert table_change.change == "unclear"


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"format": "json"}, "format csv, then json"),
        ({"compression": "gzip"}, "compression none, then gzip"),
        ({"route": "read"}, "route extract, then read"),
        ({"route": "query"}, "route extract, then query"),
        ({"delimiter": ";"}, "delimiter ,, then ;"),
        ({"header": False}, "header True, then False"),
        ({"shape": Shape(where="id > 1")}, "other columns, masks or filter"),
    ],
)
def test_files_made_in_another_way_are_not_compared_and_the_way_is_named(changed: dict[str, Any], named: str) -> None:
    table_change = change(manifest(), manifest("r2", crcs=(OTHER,), modified=2000, **changed))
    assert (table_change.what, table_change.content) == ("unclear", "unclear")
    assert named in table_change.why


def test_another_number_of_rows_is_a_change_whatever_the_way() -> None:
    table_change = change(manifest(), manifest("r2", crcs=(OTHER,), format="json", planned_rows=ROWS + 1))
    assert (table_change.what, table_change.content) == ("changed", "changed")


def test_a_table_that_failed_is_not_called_removed_without_the_reason() -> None:
    failure = Failure("00000-00000", "t", "", 0, "invalid", "no", Owner("e", 0))
    failed = replace(manifest("r2"), tables=(), failed=(failure,))
    assert change(manifest(), failed).why == "it failed in run r2"


LOOK = Reading(created=1, modified=2, rows=ROWS, bytes=80, schema="s", properties="p")
AVRO: dict[str, Any] = {"format": "avro", "compression": "deflate"}


def avro(run: str, crc: str, **changed: Any) -> Manifest:
    """An export of the same table at a later time than the first one."""
    made = manifest(run, crcs=(crc,), **({"look": LOOK} | AVRO | changed))
    return replace(made, snapshot=1000 * int(run[1:]))


@pytest.mark.parametrize("way", [AVRO, {"format": "csv", "compression": "gzip"}])
def test_files_that_never_have_the_same_bytes_are_no_change_where_the_table_was_not_modified(
    way: dict[str, Any],
) -> None:
    before, after = (avro(run, crc, look_before=LOOK, **way) for run, crc in (("r1", ONE), ("r2", OTHER)))
    assert compare(before, after) == compare(after, before) == []


def test_the_first_export_needs_no_earlier_reading_where_its_rows_were_counted() -> None:
    assert compare(avro("r1", ONE, rows=ROWS), avro("r2", OTHER, rows=ROWS)) == []
    assert compare(avro("r1", ONE, expected_rows=ROWS), avro("r2", OTHER)) == []
    assert change(avro("r1", ONE), avro("r2", OTHER)).what == "unclear"
    late = replace(LOOK, modified=1001)
    around = replace(avro("r1", ONE, rows=ROWS), tables=(replace(avro("r1", ONE, rows=ROWS).tables[0], look=late),))
    after = replace(avro("r2", OTHER, rows=ROWS), tables=(replace(avro("r2", OTHER, rows=ROWS).tables[0], look=late),))
    assert change(around, after).what == "unclear"


@pytest.mark.parametrize(
    "changed",
    [
        {"look": replace(LOOK, modified=3)}, {"look": replace(LOOK, bytes=79)}, {"look": None}, {"read_at": "job"},
        {"shape": Shape(where="d > CURRENT_DATE()")},
    ],
)  # fmt: skip
def test_readings_that_prove_nothing_leave_it_unclear(changed: dict[str, Any]) -> None:
    before, after = avro("r1", ONE, look_before=LOOK), avro("r2", OTHER, look_before=LOOK)
    after = replace(after, tables=(replace(after.tables[0], **changed),))
    assert change(before, after).content == "unclear"


def test_hidden_rows_leave_it_unclear() -> None:
    before, after = avro("r1", ONE, look_before=LOOK), avro("r2", OTHER, look_before=LOOK)
    for table in ("t", ""):
        flag = Flag(Risk.UNSEEN_ROW_POLICIES, table, (), "", allowed=True)
        assert change(before, replace(after, flags=(flag,))).content == "unclear"


def test_a_table_without_rows_is_unchanged_whatever_its_files() -> None:
    before, after = (manifest(run, crcs=(crc,), rows=0, **AVRO) for run, crc in (("r1", ONE), ("r2", OTHER)))
    assert compare(before, after) == []
    assert compare(before, manifest("r2", crcs=(OTHER,), rows=0)) == []
    unknown = manifest("r2", crcs=(OTHER,), planned_rows=0, **AVRO)
    assert change(replace(unknown, run="r1", tables=(replace(unknown.tables[0], files=()),)), unknown).what == "unclear"
