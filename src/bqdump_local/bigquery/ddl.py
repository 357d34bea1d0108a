"""CREATE, ALTER and DROP of datasets, tables and views."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from bqdump_local.bigquery.errors import BigQueryError
from bqdump_local.bigquery.parsing import invalid_query, parse
from bqdump_local.bigquery.results import (
    cast_types,
    describe,
    field_from_definition,
    mode_of,
    name_columns,
    stored_select,
)
from bqdump_local.bigquery.sql import Translation
from bqdump_local.bigquery.tables import PARTITION_TIME, Table
from bqdump_local.bigquery.types import Field, duckdb_type, quote

if TYPE_CHECKING:
    import duckdb


def create(statement: exp.Create, translation: Translation) -> str:
    """CREATE TABLE, VIEW, MATERIALIZED VIEW or SCHEMA. Returns the statement's type."""
    properties = _options(statement)
    node = _target(statement)
    if statement.kind == "SCHEMA":
        return _create_schema(statement, node, translation, properties)
    project, dataset, name = translation.reference(node)
    existing = translation.catalog.find_table(project, dataset, name)
    if existing is not None and statement.args.get("exists"):
        return "CREATE_TABLE"
    select = statement.expression
    if existing is not None and not statement.args.get("replace"):
        raise BigQueryError("duplicate", f"Already Exists: Table {existing.name}")
    if statement.kind == "VIEW":
        materialized = statement.find(exp.MaterializedProperty) is not None
        return _create_view(select, translation, properties, (project, dataset, name), existing, materialized)
    fields = _defined(statement)
    stored: str | None = None
    if select is not None:
        stored, fields = materialize(select, translation, fields)

    def build(cursor: duckdb.DuckDBPyConnection, target: str) -> None:
        cursor.execute(f"ALTER TABLE {stored} RENAME TO {target.partition('.')[2]}")

    if keys := _primary_key(statement):
        properties["tableConstraints"] = {"primaryKey": {"columns": keys}}
    if fields:
        properties["schema"] = {"fields": [field.to_json() for field in fields]}
    if existing is not None:
        translation.catalog.delete_table(existing)
    translation.catalog.create_table(project, dataset, name, properties, build if stored else None)
    return "CREATE_TABLE_AS_SELECT" if stored else "CREATE_TABLE"


def materialize(
    select: exp.Expression, translation: Translation, defined: tuple[Field, ...] = ()
) -> tuple[str, tuple[Field, ...]]:
    """Run a query and store its rows in a table. Returns its name and columns."""
    fields, stored = translated(select, translation, defined)
    name = translation.catalog.warehouse.fresh_name()
    with translation.catalog.warehouse.cursor() as cursor:
        cursor.execute(f"CREATE TABLE {name} AS {stored}")
    return name, fields


def translated(
    select: exp.Expression, translation: Translation, defined: tuple[Field, ...] = ()
) -> tuple[tuple[Field, ...], str]:
    """The columns of a query, and DuckDB's SQL for its rows as a table stores them."""
    casts = cast_types(select)
    name_columns(select)
    sql = translation.to_duckdb(select)
    with translation.catalog.warehouse.cursor() as cursor:
        fields = defined or describe(cursor, sql, translation.source_fields, casts)
    return fields, stored_select(fields, sql)


def view_fields(query: str, translation: Translation) -> tuple[Field, ...]:
    """The columns of a view, without running it."""
    select = parse(query)[0]
    casts = cast_types(select)
    name_columns(select)
    sql = translation.to_duckdb(select)
    with translation.catalog.warehouse.cursor() as cursor:
        return describe(cursor, sql, translation.source_fields, casts)


def _create_view(
    select: exp.Expression,
    translation: Translation,
    properties: dict[str, Any],
    reference: tuple[str, str, str],
    existing: Table | None,
    materialized: bool,
) -> str:
    query = select.sql(dialect="bigquery")
    fields = view_fields(query, translation)
    key = "materializedView" if materialized else "view"
    definition = {"query": query} if materialized else {"query": query, "useLegacySql": False}
    properties |= {key: definition, "schema": {"fields": [field.to_json() for field in fields]}}
    if existing is not None:
        translation.catalog.delete_table(existing)
    translation.catalog.create_table(*reference, properties)
    return "CREATE_MATERIALIZED_VIEW" if materialized else "CREATE_VIEW"


def _create_schema(statement: exp.Create, node: exp.Table, translation: Translation, properties: dict[str, Any]) -> str:
    dataset = _schema_name(node)
    known = {d.dataset_id for d in translation.catalog.datasets(translation.project)}
    if not (dataset in known and statement.args.get("exists")):
        location = properties.get("location") or translation.location
        translation.catalog.create_dataset(translation.project, dataset, {**properties, "location": location})
    return "CREATE_SCHEMA"


def _target(statement: exp.Expression) -> exp.Table:
    node = statement.find(exp.Table)
    if node is None:
        raise invalid_query("The statement names no table.")
    return node


def _schema_name(node: exp.Table) -> str:
    return str(node.db or node.name).rpartition(".")[2]


def drop(statement: exp.Drop, translation: Translation) -> str:
    """DROP TABLE, VIEW, MATERIALIZED VIEW or SCHEMA. Returns the statement's type."""
    node = _target(statement)
    if str(statement.args.get("kind")) == "SCHEMA":
        contents = bool(statement.args.get("cascade"))
        translation.catalog.delete_dataset(translation.project, _schema_name(node), contents=contents)
        return "DROP_SCHEMA"
    project, dataset, name = translation.reference(node)
    table = translation.catalog.find_table(project, dataset, name)
    if table is None and not statement.args.get("exists"):
        translation.find(node)
    if table is not None:
        translation.catalog.delete_table(table)
    return f"DROP_{str(statement.args.get('kind') or 'TABLE').replace(' ', '_')}"


def alter(statement: exp.Alter, translation: Translation) -> str:
    """ALTER TABLE that adds, drops, renames or widens columns. Returns the statement's type."""
    table = translation.find(_target(statement))
    actions = statement.args.get("actions") or []
    if not actions:
        raise invalid_query("This ALTER statement is not supported here.")
    # Each column with the SQL that computes it from the present columns.
    columns = {field.name.lower(): (field, quote(field.name)) for field in table.fields}
    for action in actions:
        columns = _altered(columns, action)
    fields = tuple(field for field, _ in columns.values())

    def build(cursor: duckdb.DuckDBPyConnection, name: str) -> None:
        selected = [f"{made} AS {quote(field.name)}" for field, made in columns.values()]
        hidden = [PARTITION_TIME] if table.ingestion_time else []
        cursor.execute(f"CREATE TABLE {name} AS SELECT {', '.join(selected + hidden)} FROM {table.current.name}")

    translation.catalog.new_version(table, build, fields)
    return "ALTER_TABLE"


def _altered(columns: dict[str, tuple[Field, str]], action: exp.Expression) -> dict[str, tuple[Field, str]]:
    node = action.args["tables"][0] if isinstance(action, exp.Drop) else action.this
    name = node.name
    key = name.lower()
    if isinstance(action, exp.ColumnDef):
        added = field_from_definition(name, action.args["kind"])
        return columns if key in columns else {**columns, key: (added, f"NULL::{duckdb_type(added)}")}
    if key not in columns:
        raise invalid_query(f"Column not found: {name}")
    field, made = columns[key]
    match action:
        case exp.Drop():
            return {other: column for other, column in columns.items() if other != key}
        case exp.RenameColumn():
            renamed = action.args["to"].name
            # The column keeps its place.
            names = {other: renamed.lower() if other == key else other for other in columns}
            changed = {**columns, key: (replace(field, name=renamed), made)}
            return {names[other]: column for other, column in changed.items()}
        case exp.AlterColumn() if action.args.get("dtype"):
            wider = field_from_definition(field.name, action.args["dtype"], field.mode)
            return {**columns, key: (wider, f"CAST({made} AS {duckdb_type(wider)})")}
        case exp.AlterColumn() if action.args.get("allow_null"):
            return {**columns, key: (replace(field, mode="NULLABLE"), made)}
        case _:
            raise invalid_query("This ALTER statement is not supported here.")


def _defined(statement: exp.Create) -> tuple[Field, ...]:
    schema = statement.this
    if not isinstance(schema, exp.Schema):
        return ()
    return tuple(
        field_from_definition(column.name, column.args["kind"], mode_of(column))
        for column in schema.expressions
        if isinstance(column, exp.ColumnDef)
    )


def _primary_key(statement: exp.Create) -> list[str]:
    """The columns of a definition's primary key."""
    schema = statement.this
    if not isinstance(schema, exp.Schema):
        return []
    declared = schema.find(exp.PrimaryKey)
    of_columns = [c.name for c in schema.expressions if c.find(exp.PrimaryKeyColumnConstraint)]
    return [column.name for column in declared.expressions] if declared else of_columns


def _options(statement: exp.Create) -> dict[str, Any]:
    """Partitioning, clustering and OPTIONS as properties of a resource."""
    found: dict[str, Any] = {}
    properties = statement.args.get("properties")
    for item in properties.expressions if properties else ():
        if isinstance(item, exp.PartitionedByProperty):
            found |= _partitioning(item.this)
        elif isinstance(item, exp.ClusterProperty):
            found["clustering"] = {"fields": [column.name for column in item.expressions]}
        elif isinstance(item, exp.LocationProperty):
            found["location"] = item.this.name
        elif isinstance(item, exp.Property) and item.name in {"description", "friendly_name"}:
            key = "friendlyName" if item.name == "friendly_name" else "description"
            found[key] = item.args["value"].name
        elif isinstance(item, exp.Property) and item.name == "labels":
            pairs = item.args["value"].expressions
            found["labels"] = {pair.expressions[0].name: pair.expressions[1].name for pair in pairs}
    if statement.find(exp.ExternalProperty):
        raise invalid_query(
            "This local stand-in does not support CREATE EXTERNAL TABLE. Create the table through the API."
        )
    return found


def _partitioning(by: exp.Expression) -> dict[str, Any]:
    if isinstance(by, exp.RangeBucket):
        start, end, step = (by.expression.args.get(key) for key in ("start", "end", "step"))
        bounds = {"start": _number(start), "end": _number(end), "interval": _number(step)}
        return {"rangePartitioning": {"field": by.this.name, "range": bounds}}
    unit = by.args.get("unit")
    column = by.name if isinstance(by, exp.Identifier) else by.this.name
    kind = unit.name.upper() if unit is not None else "DAY"
    if column.upper() in {"_PARTITIONDATE", "_PARTITIONTIME"}:
        return {"timePartitioning": {"type": kind}}
    return {"timePartitioning": {"type": kind, "field": column}}


def _number(node: exp.Expression | None) -> str:
    return "1" if node is None else node.sql()
