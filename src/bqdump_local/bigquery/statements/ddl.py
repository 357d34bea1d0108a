"""CREATE and DROP of datasets, tables and views."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from bqdump_local.bigquery.errors import BigQueryError, invalid_query, unsupported
from bqdump_local.bigquery.rows import writing
from bqdump_local.bigquery.sql.parsing import parse
from bqdump_local.bigquery.sql.results import describe, name_columns, stored_select
from bqdump_local.bigquery.sql.translation import Translation
from bqdump_local.bigquery.statements import columns, options
from bqdump_local.bigquery.types import Field, quote

if TYPE_CHECKING:
    import duckdb


def create(statement: exp.Create, translation: Translation) -> str:
    """CREATE TABLE, VIEW, MATERIALIZED VIEW or SCHEMA. Returns the statement's type."""
    node = _target(statement)
    if statement.kind == "SCHEMA":
        properties = _properties(statement, options.SCHEMA, translation)
        return _create_schema(statement, node, translation, properties)
    project, dataset, name = translation.reference(node)
    existing = translation.catalog.find_table(project, dataset, name)
    if existing is not None and statement.args.get("exists"):
        return "CREATE_TABLE"
    select = statement.expression
    replace = bool(statement.args.get("replace"))
    if existing is not None and not replace:
        raise BigQueryError("duplicate", f"Already Exists: Table {existing.name}")
    if statement.kind == "VIEW":
        return _create_view(statement, translation, (project, dataset, name), replace=replace)
    if statement.kind != "TABLE":
        raise unsupported(f"CREATE {statement.kind}", location="query")
    fields, inherited = _like(statement, translation)
    properties = {**inherited, **_properties(statement, options.TABLE, translation)}
    fields = columns.defined(statement.this, translation) or fields
    stored: str | None = None
    if select is not None:
        stored, fields = materialize(select, translation, fields)
        with translation.catalog.warehouse.cursor() as cursor:
            writing.check_values(cursor, stored, fields)

    def build(cursor: duckdb.DuckDBPyConnection, target: str) -> None:
        cursor.execute(f"ALTER TABLE {stored} RENAME TO {target.partition('.')[2]}")

    if keys := columns.keys(statement.this, translation):
        properties["tableConstraints"] = keys
    if fields:
        properties["schema"] = {"fields": [field.to_json() for field in fields]}
    place = (project, dataset, name)
    translation.catalog.create_table(*place, properties, build if stored else None, replace=replace)
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
    name_columns(select)
    casts = translation.casts(select)
    sql = translation.to_duckdb(select)
    with translation.catalog.warehouse.cursor() as cursor:
        columns = describe(cursor, sql, translation.reads.fields, casts)
    if defined and len(columns) != len(defined):
        raise invalid_query(
            f"The number of columns in the column list is {len(defined)}, and the query has {len(columns)}"
        )
    if defined:
        # The columns of a definition are those of the query by position.
        sql = f"SELECT * FROM ({sql}) AS given({', '.join(quote(field.name) for field in defined)})"
    return defined or columns, stored_select(defined or columns, sql)


def view_fields(query: str, translation: Translation) -> tuple[Field, ...]:
    """The columns of a view, without running it."""
    select = parse(query)[0]
    name_columns(select)
    casts = translation.casts(select)
    sql = translation.to_duckdb(select)
    with translation.catalog.warehouse.cursor() as cursor:
        return describe(cursor, sql, translation.reads.fields, casts)


def _create_view(
    statement: exp.Create, translation: Translation, reference: tuple[str, str, str], *, replace: bool
) -> str:
    materialized = statement.find(exp.MaterializedProperty) is not None
    known = options.MATERIALIZED_VIEW if materialized else options.VIEW
    properties = _properties(statement, known, translation)
    query = statement.expression.sql(dialect="bigquery")
    fields = view_fields(query, translation)
    if isinstance(statement.this, exp.Schema):
        renamed = _view_columns(statement.this, fields, translation)
        if [field.name for field in renamed] != [field.name for field in fields]:
            named = ", ".join(f"`{field.name}`" for field in renamed)
            query = f"WITH `view_query`({named}) AS ({query}) SELECT * FROM `view_query`"
        fields = renamed
    key = "materializedView" if materialized else "view"
    definition = {"query": query, **(properties.get(key) or {})}
    if not materialized:
        definition["useLegacySql"] = False
    properties |= {key: definition, "schema": {"fields": [field.to_json() for field in fields]}}
    translation.catalog.create_table(*reference, properties, replace=replace)
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
        if table.kind == "SNAPSHOT":
            raise invalid_query(f"{table.name} is a SNAPSHOT, which DROP SNAPSHOT TABLE drops")
        translation.catalog.delete_table(table)
    return f"DROP_{str(statement.args.get('kind') or 'TABLE').replace(' ', '_')}"


def _view_columns(
    schema: exp.Expression | None, fields: tuple[Field, ...], translation: Translation
) -> tuple[Field, ...]:
    """The columns of a view with the names and descriptions that its statement lists."""
    if not isinstance(schema, exp.Schema):
        return fields
    listed = schema.expressions
    if len(listed) != len(fields):
        raise invalid_query(f"The view lists {len(listed)} columns, and its query has {len(fields)}")
    columns = []
    for node, field in zip(listed, fields, strict=True):
        listed_options = node.find(exp.Properties) if isinstance(node, exp.ColumnDef) else None
        chosen = options.properties(listed_options.expressions if listed_options else (), options.COLUMN, translation)
        columns.append(replace(field, name=node.name, description=chosen.get("description")))
    return tuple(columns)


def _like(statement: exp.Create, translation: Translation) -> tuple[tuple[Field, ...], dict[str, Any]]:
    """The columns and properties of the table after LIKE."""
    like = statement.find(exp.LikeProperty)
    if like is None:
        return (), {}
    table = translation.find(like.this)
    kept = ("timePartitioning", "rangePartitioning", "clustering", "description", "labels", "requirePartitionFilter")
    return table.fields, {key: table.properties[key] for key in kept if key in table.properties}


def _properties(statement: exp.Create, known: dict[str, Any], translation: Translation) -> dict[str, Any]:
    """Partitioning, clustering and OPTIONS as properties of a resource."""
    resource: dict[str, Any] = {}
    listed = statement.args.get("properties")
    items = listed.expressions if listed else []
    for item in items:
        if isinstance(item, exp.PartitionedByProperty):
            resource |= _partitioning(item.this)
        elif isinstance(item, exp.ClusterProperty):
            resource["clustering"] = {"fields": [column.name for column in item.expressions]}
        elif isinstance(item, exp.ExternalProperty):
            raise unsupported("CREATE EXTERNAL TABLE; create the table through the API", location="query")
        elif isinstance(item, exp.TemporaryProperty):
            raise unsupported("temporary tables", location="query")
    return options.merged(resource, options.properties(items, known, translation))


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
