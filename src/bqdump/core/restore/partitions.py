"""The partitions of a table: how rows are laid out by them, the statements that fill them, and what expires.

A copy job cannot change partitioning or clustering; a job changes at most 4,000 partitions, DML too.
https://cloud.google.com/bigquery/quotas#partitioned_tables
https://cloud.google.com/bigquery/docs/partitioned-tables
https://cloud.google.com/bigquery/docs/reference/rest/v2/tables#TimePartitioning
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from itertools import pairwise
from typing import Any

import msgspec

from bqdump.core.restore.plan import Load
from bqdump.core.sql.statements import identifier
from bqdump.core.tables.catalog import Dataset
from bqdump.core.tables.partitioning import EPOCH, RANGE, Partitioning, partitioning_of


def fill(dataset: Dataset, table: str, scratch: str, load: Load, where: str = "") -> str:
    """INSERT the rows of a scratch table that meet a condition ("": all of them), with their casts.

    Both tables are in the dataset.
    """
    into = ".".join(map(identifier, (dataset.project, dataset.name, table)))
    names = ", ".join(map(identifier, load.columns))
    rows = f"\nWHERE {where}" if where else ""
    return f"INSERT INTO {into} ({names})\nSELECT {', '.join(load.values)}\n{reading(dataset, scratch, load)}{rows}"


def both(first: str, second: str) -> str:
    """The condition that both of these hold; "" stands for no condition."""
    return f"({first}) AND ({second})" if first and second else first or second


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


def rows_to_expire(dataset: Dataset, table: str, create: msgspec.Raw, expire: msgspec.Raw) -> str:
    """The query for the number of rows that the expiration may delete now; "" where partitions do not expire.

    It counts a partition from its first instant. Where there are no such rows it reads nothing, and bills nothing.
    create, expire: the requests that create the table and set its expiration.
    """
    body = (msgspec.json.decode(expire) or {}).get("timePartitioning") or {}
    if not (expiration := int(body.get("expirationMs", 0))):
        return ""
    how = partitioning_of(create)
    if how is None:
        raise ValueError(f"the partitions of table {table} expire, and are none that this release knows")
    kept = max(0, expiration - LONGEST_MS[how.unit])
    oldest = f"TIMESTAMP_SUB(CURRENT_TIMESTAMP(), INTERVAL {kept} MILLISECOND)"
    oldest = oldest if how.type == "TIMESTAMP" else f"{how.type}({oldest})"
    source = ".".join(map(identifier, (dataset.project, dataset.name, table)))
    return f"SELECT COUNT(*) FROM {source} WHERE {identifier(how.column)} < {oldest}"  # noqa: S608 (quoted above)


def boundaries(how: Partitioning, dataset: Dataset, scratch: str, load: Load) -> str:
    """The query for the partitions of a scratch table's rows, one row of integers that `ranges` understands.

    These are the number of partitions, and the first partition of each further range. It reads one column.
    """
    value = load.value_of(how.column)
    inside = f"{value} >= {how.start} AND {value} < {how.end}" if how.unit == RANGE else f"{value} IS NOT NULL"
    partitions = f"SELECT DISTINCT {_number(how, value)} AS part {reading(dataset, scratch, load)}\nWHERE {inside}"
    numbered = f"SELECT part, ROW_NUMBER() OVER (ORDER BY part) - 1 AS place FROM (\n{partitions}\n)"  # noqa: S608
    steps = (number * MOST_CHANGED for number in range(1, MOST_RANGES))
    firsts = (f"IFNULL(MAX(IF(place = {step}, part, NULL)), 0)" for step in steps)
    return f"SELECT COUNT(*), {', '.join(firsts)} FROM (\n{numbered}\n)"  # noqa: S608 (quoted above)


def ranges(how: Partitioning, answer: Sequence[int], load: Load) -> list[str]:
    """The conditions of statements that fill at most 4,000 partitions each; every row meets exactly one of them.

    answer: the row of `boundaries`. [""] where one statement fills all partitions.
    """
    count, *firsts = answer
    value = load.value_of(how.column)
    starts = [_first(how, part) for part in firsts[: max(0, -(-count // MOST_CHANGED) - 1)]]
    if not starts:
        return [""]
    inner = [f"{value} >= {low} AND {value} < {high}" for low, high in pairwise(starts)]
    return [f"{value} < {starts[0]} OR {value} IS NULL", *inner, f"{value} >= {starts[-1]}"]


def _number(how: Partitioning, value: str) -> str:
    """The number of a value's partition."""
    if how.unit == RANGE:
        # sqlglot, which the local stack uses, needs the inner parentheses.
        return f"DIV(({value} - {how.start}), {how.interval})"
    if how.unit == "YEAR":
        return f"EXTRACT(YEAR FROM {value})"
    if how.unit == "MONTH":
        return f"EXTRACT(YEAR FROM {value}) * 12 + EXTRACT(MONTH FROM {value}) - 1"
    if how.unit == "DAY":
        return f"UNIX_DATE({value if how.type == 'DATE' else f'DATE({value})'})"
    time = value if how.type == "TIMESTAMP" else f"TIMESTAMP({value})"
    return f"DIV(UNIX_SECONDS(TIMESTAMP_TRUNC({time}, HOUR)), 3600)"


def _first(how: Partitioning, part: int) -> str:
    """The least value of the partition with this number."""
    if how.unit == RANGE:
        return str(how.start + part * how.interval)
    if how.unit in ("DAY", "HOUR"):
        return how.value(EPOCH + part * timedelta(**{f"{how.unit.lower()}s": 1}))
    year, month = divmod(part, 12) if how.unit == "MONTH" else (part, 0)
    return how.value(EPOCH.replace(year=year, month=month + 1))


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
