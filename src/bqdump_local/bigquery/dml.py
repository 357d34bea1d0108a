"""INSERT, UPDATE, DELETE, MERGE and TRUNCATE TABLE."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from bqdump_local.bigquery.sql import Translation
from bqdump_local.bigquery.tables import PARTITION_TIME, Table

if TYPE_CHECKING:
    import duckdb


def truncate(statement: exp.TruncateTable, translation: Translation) -> None:
    """Replace a table by a version without rows."""
    table = translation.find(statement.expressions[0])

    def build(cursor: duckdb.DuckDBPyConnection, name: str) -> None:
        cursor.execute(f"CREATE TABLE {name} AS FROM {table.current.name} WHERE false")

    translation.catalog.new_version(table, build)


def change(statement: exp.Expression, translation: Translation) -> int:
    """Run the statement on a copy, which becomes the newest version. Returns the number of affected rows."""
    target = statement.this
    if isinstance(target, exp.Schema):
        target = target.this
    table = translation.find(target)
    table.require_plain()
    translation.referenced.append(table)
    _name_columns(statement, table)
    affected = 0

    def build(cursor: duckdb.DuckDBPyConnection, name: str) -> None:
        nonlocal affected
        cursor.execute(f"CREATE TABLE {name} AS FROM {table.current.name}")
        affected = int(cursor.execute(translation.to_duckdb(statement, target, name)).fetchall()[0][0])
        if table.ingestion_time and isinstance(statement, (exp.Insert, exp.Merge)):
            hour = translation.now_ms // 3_600_000 * 3600
            arrived = f"{PARTITION_TIME} = to_timestamp({hour})"
            cursor.execute(f"UPDATE {name} SET {arrived} WHERE {PARTITION_TIME} IS NULL")

    translation.catalog.new_version(table, build)
    return affected


def _name_columns(statement: exp.Expression, table: Table) -> None:
    """Name the columns of an INSERT explicitly, so that it does not set hidden columns."""
    if isinstance(statement, exp.Insert) and isinstance(statement.this, exp.Table):
        names = [exp.to_identifier(item.name, quoted=True) for item in table.fields]
        statement.set("this", exp.Schema(this=statement.this, expressions=names))
