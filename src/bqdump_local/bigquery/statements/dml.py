"""INSERT, UPDATE, DELETE, MERGE and TRUNCATE TABLE."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from sqlglot import exp

from bqdump_local.bigquery.errors import invalid_query
from bqdump_local.bigquery.rows import defaults, writing
from bqdump_local.bigquery.sql.translation import Translation, names_pseudo_columns
from bqdump_local.bigquery.statements import by_position
from bqdump_local.bigquery.tables.tables import PARTITION_TIME, Table

if TYPE_CHECKING:
    import duckdb

STATISTICS = {"INSERT": "insertedRowCount", "UPDATE": "updatedRowCount", "DELETE": "deletedRowCount"}


def truncate(statement: exp.TruncateTable, translation: Translation) -> dict[str, str]:
    """Replace a table by a version without rows. Returns the `DmlStats`."""
    table = translation.find(statement.expressions[0])
    table.require_plain()
    gone = 0

    def build(cursor: duckdb.DuckDBPyConnection, name: str) -> None:
        nonlocal gone
        gone = table.current.measure(cursor)[0]
        cursor.execute(f"CREATE TABLE {name} AS FROM {table.current.name} WHERE false")

    translation.catalog.new_version(table, build)
    return {"deletedRowCount": str(gone)}


def change(statement: exp.Expression, translation: Translation) -> tuple[int, dict[str, str]]:
    """Run the statement on a copy, which becomes the newest version. Returns the affected rows and the `DmlStats`."""
    target = statement.this
    if isinstance(target, exp.Schema):
        target = target.this
    table = translation.find(target)
    table.require_plain()
    translation.reads.tables.append(table)
    _name_columns(statement, table)
    if not names_pseudo_columns(statement):
        by_position.match(statement, table.fields)
    counts: Counter[str] = Counter()

    def build(cursor: duckdb.DuckDBPyConnection, name: str) -> None:
        cursor.execute(f"CREATE TABLE {name} AS FROM {table.current.name}")
        defaults.apply(cursor, name, table.fields, translation)
        before = cursor.execute(f"SELECT count(*) FROM {name}").fetchall()[0][0]
        if isinstance(statement, exp.Merge):
            _check_matches(cursor, statement, target, name, translation)
        sql = translation.to_duckdb(statement, target, name)
        if isinstance(statement, exp.Merge):
            counts.update(str(row[0]) for row in cursor.execute(f"{sql} RETURNING merge_action").fetchall())
        else:
            counts[type(statement).__name__.upper()] = int(cursor.execute(sql).fetchall()[0][0])
        if table.ingestion_time:
            _place(cursor, name, table, translation.now_ms)
        writing.check_values(cursor, name, table.fields)
        if isinstance(statement, exp.Insert):
            settings = translation.catalog.settings
            writing.check_partitions(cursor, name, before, table.properties, settings.partitions_per_job)

    translation.catalog.new_version(table, build)
    return counts.total(), {stat: str(counts[action]) for action, stat in STATISTICS.items()}


def _check_matches(
    cursor: duckdb.DuckDBPyConnection, statement: exp.Merge, target: exp.Table, name: str, translation: Translation
) -> None:
    """Refuse a MERGE that matches a row of the table more than once."""
    matched = any(when.args.get("matched") for when in statement.args["whens"].expressions)
    if not matched:
        return
    table = target.copy()
    row = exp.column("rowid", table=table.alias_or_name)
    query = exp.select("1").from_(table).join(statement.args["using"].copy(), on=statement.args["on"].copy())
    query = query.group_by(row).having("COUNT(*) > 1").limit(1)
    changed = query.find(exp.Table, bfs=True)
    if cursor.execute(translation.to_duckdb(query, changed, name)).fetchall():
        raise invalid_query("UPDATE/MERGE must match at most one source row for each target row")


def _place(cursor: duckdb.DuckDBPyConnection, name: str, table: Table, now_ms: int) -> None:
    """Put rows without a partition time into the current partition. All others must have the start of a partition.

    Source: https://cloud.google.com/bigquery/docs/using-dml-with-partitioned-tables
    """
    now = table.partition_of(f"to_timestamp({now_ms} / 1000.0)")
    cursor.execute(f"UPDATE {name} SET {PARTITION_TIME} = {now} WHERE {PARTITION_TIME} IS NULL")
    wrong = (
        f"SELECT {PARTITION_TIME} FROM {name} WHERE {PARTITION_TIME} <> {table.partition_of(PARTITION_TIME)} LIMIT 1"
    )
    for (value,) in cursor.execute(wrong).fetchall():
        raise invalid_query(f"{PARTITION_TIME} must be the start of a partition, and is {value:%Y-%m-%d %H:%M:%S} UTC")


def _name_columns(statement: exp.Expression, table: Table) -> None:
    """Name the columns of an INSERT explicitly, so that it does not set hidden columns."""
    for inserted in statement.find_all(exp.Insert) if isinstance(statement, exp.Merge) else ():
        if isinstance(inserted.this, exp.Var) and inserted.this.name.upper() == "ROW":
            # DuckDB takes the columns of the source without a word for it.
            inserted.set("this", None)
    if isinstance(statement, exp.Insert) and isinstance(statement.this, exp.Table):
        names = [exp.to_identifier(item.name, quoted=True) for item in table.fields]
        statement.set("this", exp.Schema(this=statement.this, expressions=names))
