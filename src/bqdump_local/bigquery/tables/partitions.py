"""The partitions of a table: their rows, sizes and times, as tables.get of `t$p` and INFORMATION_SCHEMA show them.

A deletion alone does not change the time of a partition, and neither do rows that leave the streaming buffer late:
https://cloud.google.com/bigquery/docs/information-schema-partitions (last_modified_time)
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from bqdump_local.bigquery.files.formats import logical_bytes
from bqdump_local.bigquery.tables.decorators import UNPARTITIONED, partition_condition, partition_key, split

if TYPE_CHECKING:
    import duckdb

    from bqdump_local.bigquery.tables.catalog import Catalog
    from bqdump_local.bigquery.tables.tables import Table, Version


class Partition(NamedTuple):
    """A partition. modified_ms: of its rows, or of the definition of its table if that is later."""

    id: str
    rows: int
    bytes: int
    modified_ms: int


class Content(NamedTuple):
    """The rows of a partition in one version of the table. hash: equal for equal rows."""

    rows: int
    bytes: int
    hash: int


def partitions(catalog: Catalog, table: Table) -> list[Partition]:
    """The partitions of a table by id; none for a table without partitions.

    Streamed rows are in a partition of their own until they are in the table, so its id may be there twice.
    """
    with catalog.warehouse.cursor() as cursor, table.lock:
        listed = [
            Partition(id_, content.rows, content.bytes, _modified(cursor, table, id_))
            for id_, content in sorted(_contents(cursor, table, table.current).items())
        ]
        if table.buffer is not None and partition_key(table.properties) is not None:
            listed.append(Partition(UNPARTITIONED, table.buffer.rows, table.buffer.bytes, table.buffer.since_ms))
    return listed


def partition(catalog: Catalog, table: Table, partition_id: str) -> Partition:
    """One partition, without rows where the table has no such partition. Refuses ids that it cannot have."""
    partition_condition(table, partition_id)
    known = {part.id: part for part in partitions(catalog, table)}
    return known.get(partition_id) or Partition(partition_id, 0, 0, table.created_ms)


def decorated(table_id: str) -> tuple[str, str | None]:
    """The table and the partition of an id such as `t$20260131`."""
    table, partition_id, _ = split(table_id)
    return table, partition_id


def _contents(cursor: duckdb.DuckDBPyConnection, table: Table, version: Version) -> dict[str, Content]:
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


def _modified(cursor: duckdb.DuckDBPyConnection, table: Table, id_: str) -> int:
    """When rows were last added to a partition, or changed, or the definition of the table."""
    if table.modified_ms > table.current.at_ms:
        return table.modified_ms
    versions = list(reversed(table.versions))
    for newer, older in pairwise(versions):
        now, then = _contents(cursor, table, newer).get(id_), _contents(cursor, table, older).get(id_)
        if now != then and not (then is not None and now is not None and now.rows < then.rows):
            return newer.at_ms
    return versions[-1].at_ms
