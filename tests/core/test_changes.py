"""What two manifests prove about a table's content, and what they do not."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from bqdump.core.documents.changes import TableChange, compare
from bqdump.core.documents.manifest import File, Manifest, TableEntry, Totals
from bqdump.core.documents.run import Failure, Owner
from bqdump.core.plan.shape import Shape

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
    found = change(manifest(), manifest("r2", crcs=(OTHER,), modified=2000))
    assert (found.what, found.content, found.why) == ("content changed", "changed", "its files have other checksums")


def test_the_same_bytes_in_other_files_are_no_change() -> None:
    assert compare(manifest(crcs=(ONE, OTHER)), manifest("r2", crcs=(OTHER, ONE), modified=2000)) == []


def test_the_same_bytes_twice_are_not_the_same_bytes_once() -> None:
    assert compare(manifest(crcs=(ONE,)), manifest("r2", crcs=(ONE, ONE), modified=2000))


def test_other_checksums_of_a_table_that_was_not_modified_may_be_the_order_of_its_rows() -> None:
    found = change(manifest(), manifest("r2", crcs=(OTHER,)))
    assert (found.what, found.content) == ("unclear", "unclear")
    assert "order of rows" in found.why


def test_other_checksums_of_a_view_prove_nothing_whatever_the_time_of_its_definition() -> None:
    found = change(manifest(kind="VIEW"), manifest("r2", crcs=(OTHER,), modified=2000, kind="VIEW"))
    assert found.change == "unclear"


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
    found = change(manifest(), manifest("r2", crcs=(OTHER,), modified=2000, **changed))
    assert (found.what, found.content) == ("unclear", "unclear")
    assert named in found.why


def test_another_number_of_rows_is_a_change_whatever_the_way() -> None:
    found = change(manifest(), manifest("r2", crcs=(OTHER,), format="json", planned_rows=ROWS + 1))
    assert (found.what, found.content) == ("changed", "changed")


def test_a_table_that_failed_is_not_called_removed_without_the_reason() -> None:
    failure = Failure("00000-00000", "t", "", 0, "invalid", "no", Owner("e", 0))
    failed = replace(manifest("r2"), tables=(), failed=(failure,))
    assert change(manifest(), failed).why == "it failed in run r2"
