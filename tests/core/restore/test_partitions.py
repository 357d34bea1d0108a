"""A table of many partitions is filled range by range: no job changes too many, and every row is in one statement."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any

import duckdb
import msgspec
import pytest
import sqlglot
from hypothesis import given, settings
from hypothesis import strategies as st

from bqdump.core.documents.definitions import NOTHING
from bqdump.core.restore import partitions
from bqdump.core.restore.partitions import boundaries, fill, ranges, rows_to_expire
from bqdump.core.tables.catalog import Dataset, Shape
from bqdump.core.tables.partitioning import Partitioning, partitioning_of
from core.restore.exports import DAY, column, entry, read, step

MOST = 3
MOMENTS = st.datetimes(datetime.fromisoformat("0001-01-02"), datetime.fromisoformat("9999-12-30"))
DATES = st.dates(date(1, 1, 1), date(9999, 12, 30))
NEAR = st.integers(-40_000, 40_000)
TIMES = st.one_of(MOMENTS, NEAR.map(lambda hours: datetime.fromisoformat("2000-01-01") + timedelta(hours=hours)))
DAYS = st.one_of(DATES, NEAR.map(lambda days: date(2000, 1, 1) + timedelta(days=days)))
DATABASE = duckdb.connect(config={"threads": 1})
DATABASE.execute("LOAD icu; SET TimeZone = 'UTC'")
FEW = settings(max_examples=12, deadline=None)
HERE = Dataset("p", "d", "EU")


def partition_of(how: Partitioning, value: Any) -> object:
    """The partition that BigQuery puts a value into."""
    if value is None:
        return None
    if how.unit == "RANGE":
        return (value - how.start) // how.interval if how.start <= value < how.end else "outside"
    parts = {"YEAR": 1, "MONTH": 2, "DAY": 3, "HOUR": 4}[how.unit]
    return tuple(value.timetuple())[:parts]


class Scratch:
    """A scratch table in DuckDB, which runs the statements of a Partitioning."""

    def __init__(self, how: Partitioning, values: Sequence[object]) -> None:
        limits = {"start": str(how.start), "end": str(how.end), "interval": str(how.interval)}
        definition: dict[str, Any] = {"rangePartitioning": {"field": "v", "range": limits}}
        if how.unit != "RANGE":
            definition = {"timePartitioning": {"type": how.unit, "field": "v"}}
        type_ = {"INT64": "INTEGER"}.get(how.type, how.type)
        self.made = step(entry("t", [column("v", type_)], **definition))
        stored = {"INT64": "BIGINT", "DATETIME": "TIMESTAMP", "TIMESTAMP": "TIMESTAMPTZ"}.get(how.type, how.type)
        DATABASE.execute(f"CREATE OR REPLACE TABLE s (v {stored})")
        if values:
            texts = [None if value is None else str(value) for value in values]
            DATABASE.execute(f"INSERT INTO s SELECT CAST(UNNEST(?) AS {stored})", [texts])

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        made = sqlglot.transpile(query.replace("`p`.`d`.`s`", "s"), read="bigquery", write="duckdb")[0]
        rows: list[tuple[Any, ...]] = DATABASE.execute(made).fetchall()
        return rows

    def answer(self, how: Partitioning) -> list[int]:
        (row,) = self.rows(boundaries(how, HERE, "s", self.made.load))
        return [int(number) for number in row]


def check(how: Partitioning, values: Sequence[Any]) -> None:
    scratch = Scratch(how, values)
    found = partitioning_of(scratch.made.create)
    assert found == how
    conditions = ranges(how, scratch.answer(how), scratch.made.load)
    filled = []
    for where in conditions:
        statement = fill(HERE, "t", "s", scratch.made.load, where)
        rows = [row for (row,) in scratch.rows(statement.partition("\n")[2])]
        rows = [row.replace(tzinfo=None) if isinstance(row, datetime) else row for row in rows]
        # Those of NULLs and of values outside of a range come in addition.
        own = {partition_of(how, row) for row in rows} - {None, "outside"}
        assert len(own) <= MOST
        filled += rows
    assert Counter(filled) == Counter(values)
    expected = {partition_of(how, value) for value in values} - {None, "outside"}
    assert len(conditions) == max(1, -(-len(expected) // MOST))


@pytest.fixture(autouse=True, scope="module")
def few() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(partitions, "MOST_CHANGED", MOST)
        yield


@pytest.mark.parametrize("unit", ["DAY", "MONTH", "YEAR"])
@FEW
@given(values=st.lists(st.none() | DAYS, max_size=25))
def test_ranges_of_dates_fill_every_partition_once(unit: str, values: list[Any]) -> None:
    check(Partitioning(unit, "v", "DATE"), values)


@pytest.mark.parametrize("unit", ["HOUR", "DAY", "MONTH", "YEAR"])
@pytest.mark.parametrize("type_", ["DATETIME", "TIMESTAMP"])
@FEW
@given(values=st.lists(st.none() | TIMES, max_size=25))
def test_ranges_of_times_fill_every_partition_once(unit: str, type_: str, values: list[Any]) -> None:
    check(Partitioning(unit, "v", type_), values)


@FEW
@given(
    values=st.lists(st.none() | st.integers(-200, 200) | st.integers(-(2**63), 2**63 - 1), max_size=25),
    start=st.integers(-100, 100),
    interval=st.integers(1, 20),
    size=st.integers(1, 200),
)
def test_ranges_of_integers_fill_every_partition_once(values: list[Any], start: int, interval: int, size: int) -> None:
    check(Partitioning("RANGE", "v", "INT64", start, start + size, interval), values)


def test_the_statement_quotes_every_name() -> None:
    fields = [column("a`b\\"), column("source"), column("at", "DATETIME")]
    table_step = step(entry("t", fields, format="avro"))
    assert fill(HERE, "t`x", "s", table_step.load, "TRUE") == (
        "INSERT INTO `p`.`d`.`t\\`x` (`a\\`b\\\\`, `source`, `at`)\n"
        "SELECT `a\\`b\\\\`, `source`, CAST(`at` AS DATETIME)\n"
        "FROM `p`.`d`.`s` AS source_\nWHERE TRUE"
    )


def test_partition_times_come_back_from_their_column() -> None:
    shape = Shape(partition_times="bqdump_partition_time")
    table_step = step(entry("t", [column("a")], timePartitioning={"type": "HOUR"}, shape=shape, format="json"))
    assert read(table_step.create)["schema"]["fields"] == [column("a")]
    assert read(table_step.load.scratch)["schema"]["fields"] == [
        column("a"),
        column("bqdump_partition_time", "TIMESTAMP"),
    ]
    assert table_step.load.casts == "a column of the files has the partition times"
    value = "IFNULL(`bqdump_partition_time`, TIMESTAMP_TRUNC(TIMESTAMP_MILLIS(5), HOUR))"
    assert fill(HERE, "t", "s", table_step.load) == (
        f"INSERT INTO `p`.`d`.`t` (`a`, `_PARTITIONTIME`)\nSELECT `a`, {value}\nFROM `p`.`d`.`s` AS source"
    )
    how = partitioning_of(table_step.create)
    assert how == Partitioning("HOUR", "_PARTITIONTIME", "TIMESTAMP")
    assert ranges(how, [MOST + 1, 24, *[0] * 8], table_step.load) == [
        f"{value} < TIMESTAMP '1970-01-02 00:00:00+00' OR {value} IS NULL",
        f"{value} >= TIMESTAMP '1970-01-02 00:00:00+00'",
    ]
    assert table_step.as_what == ""


def test_without_partition_times_the_partition_of_all_rows_is_named() -> None:
    table_step = step(entry(timePartitioning={"type": "DAY"}))
    assert table_step.as_what == "all rows are in the partition of the restore, as the export has no partition times"


def test_a_scratch_table_is_clustered_by_what_its_statements_filter() -> None:
    table_step = step(
        entry("t", [column("a"), column("D", "DATE")], timePartitioning={"field": "d", "expirationMs": "5"})
    )
    assert read(table_step.load.scratch)["clustering"] == {"fields": ["D"]}


def test_an_expiration_shorter_than_a_partition_may_delete_any_row() -> None:
    table_step = step(entry("t", [column("d", "DATETIME")], timePartitioning={"type": "YEAR", "field": "d"}))
    expire = msgspec.Raw(msgspec.json.encode({"timePartitioning": {"expirationMs": str(DAY)}}))
    assert rows_to_expire(HERE, "t", table_step.create, expire).endswith(
        "`d` < DATETIME(TIMESTAMP_SUB(CURRENT_TIMESTAMP(), INTERVAL 0 MILLISECOND))"
    )
    assert rows_to_expire(HERE, "t", table_step.create, NOTHING) == ""
