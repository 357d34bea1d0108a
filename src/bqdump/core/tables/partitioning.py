"""How a table is partitioned, and the values that each of its partitions holds, by the partition's id.

Source: https://cloud.google.com/bigquery/docs/partitioned-tables,
https://cloud.google.com/bigquery/docs/managing-partitioned-table-data#select_a_partition_to_read

Ingestion-time partitioned tables: the time of a row's partition is in no column, only in a pseudo-column.

A query can select the pseudo-column under another name, and a read session can select it. The files then have one more
column, of type TIMESTAMP, and `INSERT` of `_PARTITIONTIME` puts each row back into its partition.
Sources: https://cloud.google.com/bigquery/docs/querying-partitioned-tables#query_an_ingestion-time_partitioned_table,
https://cloud.google.com/bigquery/docs/using-dml-with-partitioned-tables. Of read sessions it is not documented; the
connector for Spark does it: https://github.com/GoogleCloudDataproc/spark-bigquery-connector/pull/375
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from bqdump.core.formats.types import Column, columns

PSEUDO_COLUMN = "_PARTITIONTIME"
# Files by partition go back into their partitions by one load job each. A table takes 1,500 a day, those that failed
# included: https://cloud.google.com/bigquery/quotas#load_jobs
MOST_LOADS = 1_000
# What it is called in files. BigQuery refuses columns whose names begin with _PARTITION.
COLUMN = "bqdump_partition_time"


class _Partitioning(msgspec.Struct):
    field: str | None = None


class _Definition(msgspec.Struct, rename="camel"):
    time_partitioning: _Partitioning | None = None


def has_partition_times(definition: msgspec.Raw) -> bool:
    """Whether a table is partitioned by the time at which its rows arrived, not by a column."""
    partitioned = b'"timePartitioning"' in bytes(definition)
    decoded = msgspec.json.decode(definition, type=_Definition | None) if partitioned else None
    return bool(decoded and decoded.time_partitioning and not decoded.time_partitioning.field)


def column_name(columns: Iterable[Column]) -> str:
    """The name of the column with the partition times in files of a table with these columns: one that is free."""
    taken = {column.name.lower() for column in columns}
    name = COLUMN
    while name in taken:
        name += "_"
    return name


def partition_times(name: str) -> Column:
    """The column with the partition times. Rows in the streaming buffer have NULL there."""
    return Column(name, "TIMESTAMP")


# Rows without a value in the column; rows outside of an integer range, or streamed ones without a partition yet.
NULL, UNPARTITIONED = "__NULL__", "__UNPARTITIONED__"
EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 (of any zone)
# The length of the ids.
DIGITS = {"HOUR": 10, "DAY": 8, "MONTH": 6, "YEAR": 4}
RANGE = "RANGE"
TYPES = ("DATE", "DATETIME", "TIMESTAMP")


class Partitioning(Struct, frozen=True):
    """By `unit` of time, or by RANGE of integers.

    column: _PARTITIONTIME for the time at which rows arrive.
    type: of the column.
    start, end, interval: of a RANGE.
    """

    unit: str
    column: str
    type: str
    start: int = 0
    end: int = 0
    interval: int = 1

    @property
    def by_arrival(self) -> bool:
        """Whether no column says in which partition a row is."""
        return self.column == PSEUDO_COLUMN

    @property
    def streamed(self) -> str:
        """The id of streamed rows that have no partition yet, "" where that is the id of other rows, too."""
        return "" if self.unit == RANGE else UNPARTITIONED

    def problem(self, partition: str) -> str:
        """Why the partition of this id cannot be exported by itself; "" where it can."""
        if partition == NULL or (partition == UNPARTITIONED and self.unit == RANGE):
            return ""
        if self.unit == RANGE:
            number = int(partition) if re.fullmatch(r"-?[0-9]{1,19}", partition) else self.start - 1
            known = self.start <= number < self.end and (number - self.start) % self.interval == 0
            return "" if known else f"its range has no partition {partition[:50]!r}"
        return (
            "" if self._begins(partition) else f"a table partitioned by {self.unit} has no partition {partition[:50]!r}"
        )

    def is_that_of(self, other: Partitioning | None) -> bool:
        """Whether another table has this partitioning. Names of columns have no case."""
        lower = other and replace(other, column=other.column.lower())
        return lower == replace(self, column=self.column.lower())

    def written(self, partition: str) -> str:
        """The id as BigQuery writes it, of a partition that the table can have: 7 for 007."""
        return str(int(partition)) if self.unit == RANGE and partition not in (NULL, UNPARTITIONED) else partition

    def bounds(self, partition: str) -> tuple[str, str]:
        """The least value of a partition, and the first beyond it, in GoogleSQL; "" where there is none beyond it."""
        if self.unit == RANGE:
            return partition, str(min(int(partition) + self.interval, self.end))
        begins = self._begins(partition)
        if begins is None:
            raise ValueError(self.problem(partition))
        after = _next_beginning(begins, self.unit)
        return self.value(begins), self.value(after) if after else ""

    def order(self, partition: str) -> int:
        """A number that grows with the values of a partition, which has some."""
        return int(partition)

    def between(self, first: str, last: str) -> Iterator[str]:
        """The ids of the partitions from one to another one, both included, whether they exist or not."""
        if first == last:
            yield first
        elif self.unit == RANGE:
            yield from map(str, range(int(first), int(last) + 1, self.interval))
        else:
            time, end = self._begins(first), self._begins(last)
            while time and end and time <= end:
                yield f"{time.year:04}{time.month:02}{time.day:02}{time.hour:02}"[: DIGITS[self.unit]]
                time = _next_beginning(time, self.unit)

    def begins_ms(self, partition: str) -> int | None:
        """The first time of a partition in ms since 1970 UTC; None for one that is not of a time."""
        begins = None if self.unit == RANGE else self._begins(partition)
        return int((begins - EPOCH) / timedelta(milliseconds=1)) if begins else None

    def _begins(self, partition: str) -> datetime | None:
        if not re.fullmatch(rf"[0-9]{{{DIGITS[self.unit]}}}", partition):
            return None
        # What a shorter id leaves out is the first month, day or hour.
        full = partition + "0000010100"[len(partition) :]
        try:
            return datetime(int(full[:4]), int(full[4:6]), int(full[6:8]), int(full[8:]))  # noqa: DTZ001 (of any zone)
        except ValueError:
            return None

    def value(self, time: datetime) -> str:
        """A time as a value of the column, in GoogleSQL."""
        if self.type == "DATE":
            return f"DATE '{time.date().isoformat()}'"
        zone = "+00" if self.type == "TIMESTAMP" else ""
        return f"{self.type} '{time.isoformat(sep=' ')}{zone}'"


def partitioning_of(definition: msgspec.Raw) -> Partitioning | None:
    """The partitioning of a table; None where it has none, or one that this release does not know."""
    body: dict[str, Any] = msgspec.json.decode(definition) or {}
    types = {column.name.lower(): (column.name, column.type) for column in columns(definition)}
    if by_time := body.get("timePartitioning"):
        unit, field = by_time.get("type") or "DAY", by_time.get("field")
        name, type_ = types.get(field.lower(), ("", "")) if field else (PSEUDO_COLUMN, "TIMESTAMP")
        return Partitioning(unit, name, type_) if unit in DIGITS and type_ in TYPES else None
    if by_range := body.get("rangePartitioning"):
        name, type_ = types.get(by_range["field"].lower(), ("", ""))
        of = by_range["range"]
        numbers = (int(of[key]) for key in ("start", "end", "interval"))
        return Partitioning(RANGE, name, type_, *numbers) if name else None
    return None


def _next_beginning(time: datetime, unit: str) -> datetime | None:
    """The beginning of the next partition; None after the last year."""
    try:
        if unit in ("HOUR", "DAY"):
            return time + timedelta(**{f"{unit.lower()}s": 1})
        months = time.year * 12 + time.month - 1 + (1 if unit == "MONTH" else 12)
        return time.replace(year=months // 12, month=months % 12 + 1)
    except (OverflowError, ValueError):
        return None
