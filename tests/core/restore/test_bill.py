"""What a restore bills is known before its first query."""

from __future__ import annotations

from typing import Any

import pytest

from bqdump.core.documents.manifest import TableEntry
from bqdump.core.restore.bill import LEAST, UNIT, Bill, bill_of, billed, together
from core.restore.exports import column, entry, file, holding, manifest, plan

CAST = column("at", "DATETIME")
EMPTY = column("s", "STRING", mode="REQUIRED")


def of(*tables: TableEntry, done: tuple[int, ...] = (), comparisons: int = 0, **options: Any) -> Bill:
    return bill_of(plan(manifest(*tables), holding(), **options), comparisons=comparisons, done=done)


@pytest.mark.parametrize(
    ("read", "bytes_"), [(0, 0), (1, LEAST), (LEAST, LEAST), (LEAST + 1, LEAST + UNIT), (20 * UNIT - 1, 20 * UNIT)]
)
def test_a_query_bills_complete_mebibytes_and_ten_at_least(read: int, bytes_: int) -> None:
    assert billed(read) == bytes_


def test_files_that_load_directly_bill_nothing() -> None:
    assert of(entry("t", [CAST], format="parquet")) == Bill()


def test_each_table_whose_values_are_cast_is_billed_once() -> None:
    tables = [entry(name, [CAST], format="avro", planned_bytes=size) for name, size in (("a", 9), ("b", 30 * UNIT))]
    assert of(*tables) == Bill(casts=LEAST + 30 * UNIT)
    assert of(*tables, done=(1,)) == Bill(casts=LEAST)


def test_a_table_without_rows_bills_nothing() -> None:
    empty = entry("t", [CAST], format="avro", files=(file(rows=0),), rows=0, planned_rows=0, planned_bytes=0)
    assert of(empty, comparisons=2) == Bill()


def test_what_bigquery_may_refuse_to_load_directly_is_billed_at_most() -> None:
    found = of(entry("t", [EMPTY], format="csv"))
    assert (found.certain, found.most) == (0, LEAST)
    by_day: dict[str, Any] = {"timePartitioning": {"type": "DAY", "field": "d"}}
    assert of(entry("t", [EMPTY, column("d", "DATE")], format="csv", **by_day)).most == 2 * LEAST


def test_a_comparison_is_a_query_for_each_hundred_columns() -> None:
    wide = entry("t", [column(f"c{number}") for number in range(101)], planned_bytes=30 * UNIT)
    assert of(wide, comparisons=1).comparisons == 2 * 15 * UNIT
    assert of(entry("t", [CAST]), comparisons=2).comparisons == 2 * LEAST


def test_rows_are_counted_before_an_expiration_is_set() -> None:
    by_day: dict[str, Any] = {"timePartitioning": {"type": "DAY", "field": "d", "expirationMs": "86400000000"}}
    table = entry("t", [column("d", "DATE")], **by_day)
    assert of(table).counts == LEAST
    assert of(table, done=(0,)).counts == LEAST


def test_bills_add_up_and_say_what_they_are_for() -> None:
    both = together([Bill(casts=LEAST), Bill(comparisons=LEAST, refused=UNIT)])
    assert (both.certain, both.most) == (2 * LEAST, 2 * LEAST + UNIT)
    assert both.words == (
        "10.5 MB to cast or choose values, 10.5 MB to compare values, "
        "1.05 MB to load files that BigQuery may refuse to load directly"
    )
    assert together([]) == Bill()
