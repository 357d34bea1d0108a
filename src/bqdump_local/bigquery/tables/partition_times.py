"""When rows of a partition were last added or changed.

A deletion alone does not change the time of a partition, and neither do rows that leave the streaming buffer late:
https://cloud.google.com/bigquery/docs/information-schema-partitions (last_modified_time)
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise, takewhile
from typing import TYPE_CHECKING, Any, NamedTuple

from bqdump_local.bigquery.files.formats import logical_bytes
from bqdump_local.bigquery.tables.tables import PARTITION_TIME, WEEK_MS, Table, Version
from bqdump_local.bigquery.types import literal, quote

if TYPE_CHECKING:
    import duckdb

PARTITION_ID = {"HOUR": "%Y%m%d%H", "DAY": "%Y%m%d", "MONTH": "%Y%m", "YEAR": "%Y"}
NULL, UNPARTITIONED = "__NULL__", "__UNPARTITIONED__"


class Content(NamedTuple):
    """The rows of a partition in one version of the table. hash: equal for equal rows."""

    rows: int
    bytes: int
    hash: int


def partition_key(properties: dict[str, Any]) -> str | None:
    """An expression for the partition id of a row, by the properties of its table; None without partitions."""
    time, ranges = properties.get("timePartitioning"), properties.get("rangePartitioning")
    if time is not None:
        column = quote(time["field"]) if time.get("field") else PARTITION_TIME
        return f"coalesce(strftime({column}, {literal(PARTITION_ID[time['type']])}), '{NULL}')"
    if ranges is None:
        return None
    column, bounds = quote(ranges["field"]), ranges["range"]
    start, end, interval = int(bounds["start"]), int(bounds["end"]), int(bounds["interval"])
    return (
        f"CASE WHEN {column} IS NULL THEN '{NULL}' "
        f"WHEN {column} < {start} OR {column} >= {end} THEN '{UNPARTITIONED}' "
        f"ELSE ({start} + ({column} - {start}) // {interval} * {interval})::VARCHAR END"
    )


def contents(cursor: duckdb.DuckDBPyConnection, table: Table, version: Version) -> dict[str, Content]:
    """The partitions of one version, by id; computed once."""
    key = partition_key(table.properties)
    if key is None:
        return {}
    if version.partitions is None or version.partitions[0] != key:
        sums = f"count(*), {logical_bytes(version.fields)}, bit_xor(hash(row_values))"
        rows = f"SELECT *, {key} AS partition_of, source AS row_values FROM {version.name} AS source"
        rows_of = cursor.execute(f"SELECT partition_of, {sums} FROM ({rows}) GROUP BY partition_of").fetchall()
        version.partitions = (key, {id_: Content(*content) for id_, *content in rows_of})
    return version.partitions[1]


def modified(cursor: duckdb.DuckDBPyConnection, table: Table, id_: str) -> int:
    """When rows were last added to a partition, or changed, or the definition of the table."""
    if table.modified_ms > table.current.at_ms:
        return table.modified_ms
    return _changed(cursor, table, table.versions, id_)


def without_old_versions(cursor: duckdb.DuckDBPyConnection, table: Table, now_ms: int) -> list[Version]:
    """Remove and return the versions outside of the time travel window; what is left has the times of partitions."""
    cut = sum(1 for _ in takewhile(lambda version: version.at_ms < now_ms - WEEK_MS, table.versions[1:]))
    if cut:
        oldest, known = table.versions[cut], table.versions[: cut + 1]
        oldest.times = {id_: _changed(cursor, table, known, id_) for id_ in contents(cursor, table, oldest)}
    gone, table.versions = table.versions[:cut], table.versions[cut:]
    return gone


def _changed(cursor: duckdb.DuckDBPyConnection, table: Table, known: Sequence[Version], id_: str) -> int:
    versions = list(reversed(known))
    for newer, older in pairwise(versions):
        now, then = contents(cursor, table, newer).get(id_), contents(cursor, table, older).get(id_)
        if now != then and not (then is not None and now is not None and now.rows < then.rows):
            return newer.at_ms
    return versions[-1].times.get(id_, versions[-1].at_ms)
