"""Streaming buffers: rows that are added, and moved to their table."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from bqdump_local.bigquery.tables.tables import PARTITION_TIME, Buffer, Table, stored_columns

if TYPE_CHECKING:
    import duckdb

    from bqdump_local.bigquery.tables.catalog import Catalog


def stream(catalog: Catalog, table: Table, insert: Callable[[duckdb.DuckDBPyConnection, str], int], size: int) -> None:
    """Add rows to the streaming buffer. insert: adds them and returns their number."""
    table.require_plain()
    with table.lock, catalog.warehouse.cursor() as cursor:
        if table.buffer is None:
            # A table that is deleted meanwhile does not get one.
            catalog.keep_table(table)
            name = catalog.warehouse.fresh_name()
            cursor.execute(f"CREATE TABLE {name} ({stored_columns(table, table.fields)})")
            table.buffer = Buffer(name, catalog.settings.now_ms())
        try:
            table.buffer.rows += insert(cursor, table.buffer.name)
        except Exception:
            # The buffer may be gone with the table.
            catalog.require(table)
            raise
        table.buffer.bytes += size
        catalog.keep_table(table)


def flush(catalog: Catalog, table: Table) -> int:
    """Move the streamed rows to the table. Returns their number."""
    with table.lock:
        buffer = table.buffer
        if buffer is None:
            return 0
        began = f"to_timestamp({buffer.since_ms} / 1000.0)"
        arrived = f", {table.partition_of(began)}" if table.ingestion_time else ""
        source = f"SELECT * EXCLUDE ({PARTITION_TIME}){arrived}" if arrived else "SELECT *"

        def build(cursor: duckdb.DuckDBPyConnection, name: str) -> None:
            cursor.execute(f"CREATE TABLE {name} AS FROM {table.current.name}")
            cursor.execute(f"INSERT INTO {name} {source} FROM {buffer.name}")

        table.buffer = None
        try:
            catalog.new_version(table, build)
        except Exception:
            table.buffer = buffer
            raise
    catalog.warehouse.drop([buffer.name])
    return buffer.rows
