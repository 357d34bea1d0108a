"""The partitions of a table: how rows are laid out by them, the statements that fill them, and what expires.

A copy job cannot change partitioning or clustering; a job changes at most 4,000 partitions, DML too.
https://cloud.google.com/bigquery/quotas#partitioned_tables
https://cloud.google.com/bigquery/docs/partitioned-tables
https://cloud.google.com/bigquery/docs/reference/rest/v2/tables#TimePartitioning
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, NamedTuple

import msgspec

from bqdump.core.formats.types import columns
from bqdump.core.restore.plan import Load
from bqdump.core.sql.statements import identifier
from bqdump.core.tables.catalog import Dataset
from bqdump.core.tables.partitioning import PSEUDO_COLUMN


def fill(dataset: Dataset, table: str, scratch: str, load: Load, where: str = "") -> str:
    """INSERT the rows of a scratch table that meet a condition ("": all of them), with their casts.

    Both tables are in the dataset.
    """
    into = ".".join(map(identifier, (dataset.project, dataset.name, table)))
    names = ", ".join(map(identifier, load.columns))
    rows = f"\nWHERE {where}" if where else ""
    return f"INSERT INTO {into} ({names})\nSELECT {', '.join(load.values)}\n{reading(dataset, scratch, load)}{rows}"


def both(one: str, other: str) -> str:
    """The condition that both of these hold; "" stands for no condition."""
    return f"({one}) AND ({other})" if one and other else one or other


def reading(dataset: Dataset, scratch: str, load: Load) -> str:
    """The FROM clause for a scratch table, under a name that is none of its columns."""
    alias, taken = "source", {name.casefold() for name in load.columns}
    while alias in taken:
        alias += "_"
    source = ".".join(map(identifier, (dataset.project, dataset.name, scratch)))
    return f"FROM {source} AS {alias}"


# With room for the partitions of NULLs and of values outside of a range.
MOST_CHANGED = 3_900
# A table has at most 10,000 partitions.
MOST_RANGES = 10
HOUR_MS = 60 * 60 * 1000
# The longest partition of each unit.
LONGEST_MS = {"HOUR": HOUR_MS, "DAY": 24 * HOUR_MS, "MONTH": 31 * 24 * HOUR_MS, "YEAR": 366 * 24 * HOUR_MS}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Partitioning(NamedTuple):
    """How a table is partitioned: by `unit` of time, or by RANGE of integers.

    column: _PARTITIONTIME for the time at which rows arrive. type: of the column. start, end, interval: of a RANGE.
    expiration: in milliseconds, 0 for none.
    """

    unit: str
    column: str
    type: str
    start: int = 0
    end: int = 0
    interval: int = 1
    expiration: int = 0

    def rows_to_expire(self, dataset: Dataset, table: str) -> str:
        """The query for the number of rows that the expiration may delete now; "" where partitions do not expire.

        It counts a partition from its first instant. Where there are no such rows it reads nothing, and bills nothing.
        """
        if not self.expiration:
            return ""
        kept = max(0, self.expiration - LONGEST_MS[self.unit])
        oldest = f"TIMESTAMP_SUB(CURRENT_TIMESTAMP(), INTERVAL {kept} MILLISECOND)"
        oldest = oldest if self.type == "TIMESTAMP" else f"{self.type}({oldest})"
        source = ".".join(map(identifier, (dataset.project, dataset.name, table)))
        return f"SELECT COUNT(*) FROM {source} WHERE {identifier(self.column)} < {oldest}"  # noqa: S608 (quoted above)

    def boundaries(self, dataset: Dataset, scratch: str, load: Load) -> str:
        """The query for the partitions of a scratch table's rows, one row of integers that `ranges` understands.

        These are the number of partitions, and the first partition of each further range. It reads one column.
        """
        value = load.value_of(self.column)
        inside = f"{value} >= {self.start} AND {value} < {self.end}" if self.unit == "RANGE" else f"{value} IS NOT NULL"
        partitions = f"SELECT DISTINCT {self._number(value)} AS part {reading(dataset, scratch, load)}\nWHERE {inside}"
        numbered = f"SELECT part, ROW_NUMBER() OVER (ORDER BY part) - 1 AS place FROM (\n{partitions}\n)"  # noqa: S608
        steps = (number * MOST_CHANGED for number in range(1, MOST_RANGES))
        firsts = (f"IFNULL(MAX(IF(place = {step}, part, NULL)), 0)" for step in steps)
        return f"SELECT COUNT(*), {', '.join(firsts)} FROM (\n{numbered}\n)"  # noqa: S608 (quoted above)

    def ranges(self, answer: Sequence[int], load: Load) -> list[str]:
        """The conditions of statements that fill at most 4,000 partitions each; every row meets exactly one of them.

        answer: the row of `boundaries`. [""] where one statement fills all partitions.
        """
        count, *firsts = answer
        value = load.value_of(self.column)
        starts = [self._first(part) for part in firsts[: max(0, -(-count // MOST_CHANGED) - 1)]]
        if not starts:
            return [""]
        inner = [f"{value} >= {low} AND {value} < {high}" for low, high in pairwise(starts)]
        return [f"{value} < {starts[0]} OR {value} IS NULL", *inner, f"{value} >= {starts[-1]}"]

    def _number(self, value: str) -> str:
        """The number of a value's partition."""
        if self.unit == "RANGE":
            # sqlglot, which the local stack uses, needs the inner parentheses.
            return f"DIV(({value} - {self.start}), {self.interval})"
        if self.unit == "YEAR":
            return f"EXTRACT(YEAR FROM {value})"
        if self.unit == "MONTH":
            return f"EXTRACT(YEAR FROM {value}) * 12 + EXTRACT(MONTH FROM {value}) - 1"
        if self.unit == "DAY":
            return f"UNIX_DATE({value if self.type == 'DATE' else f'DATE({value})'})"
        time = value if self.type == "TIMESTAMP" else f"TIMESTAMP({value})"
        return f"DIV(UNIX_SECONDS(TIMESTAMP_TRUNC({time}, HOUR)), 3600)"

    def _first(self, part: int) -> str:
        """The least value of the partition with this number."""
        if self.unit == "RANGE":
            return str(self.start + part * self.interval)
        if self.unit in ("DAY", "HOUR"):
            moment = EPOCH + part * timedelta(**{f"{self.unit.lower()}s": 1})
        else:
            year, month = divmod(part, 12) if self.unit == "MONTH" else (part, 0)
            moment = datetime(year, month + 1, 1, tzinfo=UTC)
        if self.type == "DATE":
            return f"DATE '{moment.date().isoformat()}'"
        zone = "+00" if self.type == "TIMESTAMP" else ""
        return f"{self.type} '{moment.replace(tzinfo=None).isoformat(sep=' ')}{zone}'"


def partitioning_of(create: msgspec.Raw, expire: msgspec.Raw) -> Partitioning | None:
    """The partitioning of a table from the requests that create it and set its expiration; None where it has none."""
    body: dict[str, Any] = msgspec.json.decode(create)
    types = {column.name.lower(): (column.name, column.type) for column in columns(create)}
    if by_time := body.get("timePartitioning"):
        field = by_time.get("field")
        name, type_ = types[field.lower()] if field else (PSEUDO_COLUMN, "TIMESTAMP")
        expiration = ((msgspec.json.decode(expire) or {}).get("timePartitioning") or {}).get("expirationMs", 0)
        return Partitioning(by_time.get("type") or "DAY", name, type_, expiration=int(expiration))
    if by_range := body.get("rangePartitioning"):
        name, type_ = types[by_range["field"].lower()]
        numbers = (int(by_range["range"][name]) for name in ("start", "end", "interval"))
        return Partitioning("RANGE", name, type_, *numbers)
    return None


def layout_of(definition: msgspec.Raw) -> str:
    """The partitioning and clustering of a table in words, the same for all tables between which a copy job works.

    definition: a table's resource, or a request that creates one.
    """
    table: Mapping[str, Any] = msgspec.json.decode(definition) or {}
    columns = (table.get("clustering") or {}).get("fields") or []
    clustering = f"clustered by {', '.join(map(str.lower, columns))}" if columns else ""
    return " and ".join(filter(None, (_partitioning(table), clustering))) or "neither partitioned nor clustered"


def _partitioning(table: Mapping[str, Any]) -> str:
    if time := table.get("timePartitioning"):
        by = str(time.get("field") or "").lower() or "ingestion time"
        return f"partitioned by {str(time.get('type') or 'DAY').lower()} of {by}"
    if whole := table.get("rangePartitioning"):
        bounds = whole.get("range") or {}
        start, end, interval = (bounds.get(name, 0) for name in ("start", "end", "interval"))
        return f"partitioned by {str(whole.get('field') or '').lower()} from {start} to {end} in steps of {interval}"
    return ""
