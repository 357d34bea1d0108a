"""Partitions by their ids: the values that each one holds, and the query that reads it."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import islice
from typing import Any

import msgspec
import pytest
import sqlglot
from hypothesis import given
from hypothesis import strategies as st

from bqdump.core.sql.partitions import rows_of, shape_of_partition
from bqdump.core.tables.catalog import WHOLE, Shape
from bqdump.core.tables.partitioning import DIGITS, NULL, UNPARTITIONED, Partitioning, partitioning_of

FIELDS = [{"name": "Day", "type": "DATE"}, {"name": "at", "type": "TIMESTAMP"}, {"name": "n", "type": "INTEGER"}]
BY_DAY = {"timePartitioning": {"type": "DAY", "field": "day"}}
BY_NUMBER = {"rangePartitioning": {"field": "n", "range": {"start": "-5", "end": "12", "interval": "10"}}}


NUMBERS = Partitioning("RANGE", "c", "INT64", -5, 12, 10)


def definition(**properties: Any) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode({"schema": {"fields": FIELDS}, **properties}))


def of(unit: str, type_: str) -> Partitioning:
    return Partitioning(unit, "c", type_)


@pytest.mark.parametrize(
    ("partitioning", "partition", "rows"),
    [
        (of("DAY", "DATE"), "20240229", "`c` >= DATE '2024-02-29' AND `c` < DATE '2024-03-01'"),
        (of("MONTH", "DATE"), "202412", "`c` >= DATE '2024-12-01' AND `c` < DATE '2025-01-01'"),
        (
            of("YEAR", "DATETIME"),
            "0001",
            "`c` >= DATETIME '0001-01-01 00:00:00' AND `c` < DATETIME '0002-01-01 00:00:00'",
        ),
        (
            of("HOUR", "TIMESTAMP"),
            "2024123123",
            "`c` >= TIMESTAMP '2024-12-31 23:00:00+00' AND `c` < TIMESTAMP '2025-01-01 00:00:00+00'",
        ),
        # Nothing is later than the last day.
        (of("DAY", "DATE"), "99991231", "`c` >= DATE '9999-12-31'"),
        (of("YEAR", "DATE"), "9999", "`c` >= DATE '9999-01-01'"),
        (of("DAY", "DATE"), "__NULL__", "`c` IS NULL"),
        (NUMBERS, "5", "`c` >= 5 AND `c` < 12"),
        (NUMBERS, "-5", "`c` >= -5 AND `c` < 5"),
        (NUMBERS, "__UNPARTITIONED__", "`c` < -5 OR `c` >= 12"),
    ],
)  # fmt: skip
def test_a_partition_holds_these_rows(partitioning: Partitioning, partition: str, rows: str) -> None:
    assert rows_of(partitioning, partition) == rows
    assert partitioning.problem(partition) == ""
    sqlglot.parse_one(f"SELECT 1 FROM t WHERE {rows}", read="bigquery")


@pytest.mark.parametrize(
    ("partitioning", "partition"),
    [
        (of("DAY", "DATE"), "20240230"), (of("DAY", "DATE"), "2024022"), (of("DAY", "DATE"), "202402290"),
        (of("DAY", "DATE"), ""), (of("DAY", "DATE"), "__UNPARTITIONED__"), (of("HOUR", "TIMESTAMP"), "2024022924"),
        (of("MONTH", "DATE"), "202413"), (of("YEAR", "DATE"), "0000"), (of("DAY", "DATE"), "2024022\u0669"),
        (of("DAY", "DATE"), "' OR '"), (of("DAY", "DATE"), "../../x"),
        (NUMBERS, "6"), (NUMBERS, "15"), (NUMBERS, "-15"), (NUMBERS, "x"),
    ],
)  # fmt: skip
def test_an_id_that_a_table_cannot_have_is_refused(partitioning: Partitioning, partition: str) -> None:
    assert partitioning.problem(partition)
    with pytest.raises(ValueError, match="no partition"):
        rows_of(partitioning, partition)


@given(st.datetimes().filter(lambda time: time.year < 9999), st.sampled_from(["HOUR", "DAY", "MONTH", "YEAR"]))
def test_each_time_is_in_the_partition_of_its_id_and_in_no_other(time: datetime, unit: str) -> None:
    id_ = f"{time.year:04}{time.month:02}{time.day:02}{time.hour:02}"[: DIGITS[unit]]
    first, beyond = (datetime.fromisoformat(text.split("'")[1]) for text in of(unit, "DATETIME").bounds(id_))
    assert first <= time < beyond
    assert beyond - first <= timedelta(days=366)


@given(st.datetimes(), st.datetimes(), st.sampled_from(["HOUR", "DAY", "MONTH", "YEAR"]))
def test_the_partitions_of_a_range_are_in_order_and_a_table_can_have_each(
    one: datetime, other: datetime, unit: str
) -> None:
    partitioning, length = of(unit, "DATETIME"), DIGITS[unit]
    first, last = sorted(f"{time.year:04}{time.month:02}{time.day:02}{time.hour:02}"[:length] for time in (one, other))
    ids = [*islice(partitioning.between(first, last), 5)]
    assert ids == sorted({first, *ids})
    assert not any(partitioning.problem(id_) for id_ in ids)
    assert ids[-1] == last or len(ids) == 5


@given(st.integers(-14, 20), st.sampled_from(["", "0", "00000"]))
def test_the_id_of_a_number_is_written_in_one_way(number: int, zeros: str) -> None:
    partitioning, sign = Partitioning("RANGE", "c", "INT64", -14, 21, 1), "-" if number < 0 else ""
    text = f"{sign}{zeros}{abs(number)}"
    assert (partitioning.problem(text), partitioning.written(text)) == ("", str(number))
    assert partitioning.written("-0") == "0"
    assert [partitioning.written(id_) for id_ in (NULL, UNPARTITIONED)] == [NULL, UNPARTITIONED]
    assert of("YEAR", "DATE").written("0007") == "0007"


def test_the_partitioning_of_a_table_is_that_of_its_definition() -> None:
    assert partitioning_of(definition(**BY_DAY)) == Partitioning("DAY", "Day", "DATE")
    assert partitioning_of(definition(**BY_NUMBER)) == Partitioning("RANGE", "n", "INT64", -5, 12, 10)
    assert partitioning_of(definition(timePartitioning={"type": "HOUR"})) == Partitioning(
        "HOUR", "_PARTITIONTIME", "TIMESTAMP"
    )
    for other in ({}, {"timePartitioning": {"type": "WEEK"}}, {"timePartitioning": {"type": "DAY", "field": "gone"}}):
        assert partitioning_of(definition(**other)) is None
    assert partitioning_of(msgspec.Raw(b"null")) is None


def test_a_filter_of_the_settings_stays_a_condition_of_its_own() -> None:
    shape = shape_of_partition(Shape(where="n > 1 OR n < 0 -- all"), definition(**BY_DAY), "20240101")
    assert shape.where == "(\nn > 1 OR n < 0 -- all\n) AND (`Day` >= DATE '2024-01-01' AND `Day` < DATE '2024-01-02')"
    assert shape_of_partition(WHOLE, definition(**BY_DAY), "") == WHOLE
