"""The partitions of a table: their rows, sizes and times, as tables.get of `t$p` and INFORMATION_SCHEMA show them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bqdump_local.bigquery.tables.decorators import partition_condition, split
from bqdump_local.bigquery.tables.partition_times import UNPARTITIONED, contents, modified, partition_key

if TYPE_CHECKING:
    from bqdump_local.bigquery.tables.catalog import Catalog
    from bqdump_local.bigquery.tables.tables import Table


class Partition(NamedTuple):
    """A partition. modified_ms: of its rows, or of the definition of its table if that is later."""

    id: str
    rows: int
    bytes: int
    modified_ms: int


def partitions(catalog: Catalog, table: Table) -> list[Partition]:
    """The partitions of a table by id; none for a table without partitions.

    Streamed rows are in a partition of their own until they are in the table, so its id may be there twice.
    """
    with catalog.warehouse.cursor() as cursor, table.lock:
        listed = [
            Partition(id_, content.rows, content.bytes, modified(cursor, table, id_))
            for id_, content in sorted(contents(cursor, table, table.current).items())
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
