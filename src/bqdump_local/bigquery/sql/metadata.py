"""Tables that BigQuery computes: `__TABLES__` and INFORMATION_SCHEMA."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from bqdump_local.bigquery.errors import invalid
from bqdump_local.bigquery.tables.partition_times import partition_key
from bqdump_local.bigquery.tables.partitions import partitions
from bqdump_local.bigquery.tables.tables import Table
from bqdump_local.bigquery.types import Field, literal

if TYPE_CHECKING:
    from bqdump_local.bigquery.tables.catalog import Catalog

TYPE_CODE = {"TABLE": 1, "VIEW": 2, "EXTERNAL": 3, "MATERIALIZED_VIEW": 4}
SCHEMA_TYPE = {"TABLE": "BASE TABLE", "MATERIALIZED_VIEW": "MATERIALIZED VIEW"}
# https://cloud.google.com/bigquery/docs/information-schema-tables#required_permissions
SEES_TABLES = ("bigquery.tables.get", "bigquery.tables.list", "bigquery.routines.get", "bigquery.routines.list")
# https://cloud.google.com/bigquery/docs/information-schema-row-access-policies#required-permissions
SEES_POLICIES = ("bigquery.rowAccessPolicies.get", "bigquery.rowAccessPolicies.list")
# The minimum bytes that a query of these views processes.
# https://cloud.google.com/bigquery/docs/information-schema-intro#pricing
LEAST_BYTES = 10 << 20
STANDARD = {"INTEGER": "INT64", "FLOAT": "FLOAT64", "BOOLEAN": "BOOL"}


def standard_type(field: Field) -> str:
    """The type in GoogleSQL."""
    if field.mode == "REPEATED":
        return f"ARRAY<{standard_type(field.element)}>"
    if field.type == "RECORD":
        return f"STRUCT<{', '.join(f'{member.name} {standard_type(member)}' for member in field.fields)}>"
    if field.type == "RANGE":
        return f"RANGE<{field.range_of or 'DATE'}>"
    if field.precision:
        return f"{field.type}({field.precision}{f', {field.scale}' if field.scale else ''})"
    return STANDARD.get(field.type, field.type)


def has(name: str) -> bool:
    """Whether this is the name of a computed table."""
    return name.upper() in MAKERS


def virtual_table(catalog: Catalog, project: str, dataset: str, name: str) -> str | None:
    """DuckDB SQL for a computed table; None for any other name."""
    maker = MAKERS.get(name.upper())
    if maker is None:
        return None
    if maker is _tables:
        for permission in SEES_TABLES:
            catalog.access.require(project, permission)
    if maker is _row_access_policies:
        for permission in SEES_POLICIES:
            catalog.access.require(project, permission)
    if maker in (_search_indexes, _vector_indexes):
        catalog.access.require(project, "bigquery.tables.list")
    return maker(catalog, catalog.tables(project, dataset))


def _typed(columns: str) -> list[tuple[str, str]]:
    """Names and types of columns, from a list such as "a VARCHAR, b BIGINT"."""
    pairs = (column.split() for column in columns.split(", "))
    return [(name, kind) for name, kind in pairs]


def _values(columns: Sequence[tuple[str, str]], rows: Sequence[Sequence[object]]) -> str:
    """A query whose rows are constants."""

    def constant(value: object) -> str:
        return "NULL" if value is None else str(value) if isinstance(value, int) else literal(value)

    names = ", ".join(name for name, _ in columns)
    typed = ", ".join(f"{name}::{kind} AS {name}" for name, kind in columns)
    lines = [f"({', '.join(constant(value) for value in row)})" for row in rows]
    if lines:
        return f"SELECT {typed} FROM (VALUES {', '.join(lines)}) AS constants({names})"
    return f"SELECT {', '.join(f'NULL::{kind} AS {name}' for name, kind in columns)} WHERE false"


def measured(catalog: Catalog, table: Table) -> tuple[int, int]:
    """The current rows and logical bytes of a table, without its streaming buffer."""
    if not table.has_rows:
        return 0, 0
    with catalog.warehouse.cursor() as cursor:
        return table.current.measure(cursor)


def _tables_meta(catalog: Catalog, tables: list[Table]) -> str:
    columns = _typed(
        "project_id VARCHAR, dataset_id VARCHAR, table_id VARCHAR, creation_time BIGINT, "
        "last_modified_time BIGINT, row_count BIGINT, size_bytes BIGINT, type BIGINT"
    )
    rows = [
        [t.project, t.dataset, t.table_id, t.created_ms, t.modified_ms, *measured(catalog, t), TYPE_CODE.get(t.kind)]
        for t in tables
    ]
    return _values(columns, rows)


def _tables(_: Catalog, tables: list[Table]) -> str:
    columns = _typed(
        "table_catalog VARCHAR, table_schema VARCHAR, table_name VARCHAR, table_type VARCHAR, "
        "creation_time_ms BIGINT, ddl VARCHAR, watermark_ms BIGINT"
    )
    rows = [
        [t.project, t.dataset, t.table_id, SCHEMA_TYPE.get(t.kind, t.kind), t.created_ms, ddl(t), t.watermark_ms]
        for t in tables
    ]
    created = "make_timestamptz(creation_time_ms * 1000) AS creation_time"
    watermark = "make_timestamptz(watermark_ms * 1000) AS upsert_stream_apply_watermark"
    shown = f"table_catalog, table_schema, table_name, table_type, {created}, ddl, {watermark}"
    return f"SELECT {shown} FROM ({_values(columns, rows)})"


def _columns(_: Catalog, tables: list[Table]) -> str:
    columns = _typed(
        "table_catalog VARCHAR, table_schema VARCHAR, table_name VARCHAR, column_name VARCHAR, "
        "ordinal_position BIGINT, is_nullable VARCHAR, data_type VARCHAR, is_partitioning_column VARCHAR, "
        "clustering_ordinal_position BIGINT"
    )
    rows: list[list[object]] = []
    for t in tables:
        partitioned = t.properties.get("timePartitioning") or t.properties.get("rangePartitioning") or {}
        key, clustered = partitioned.get("field"), (t.properties.get("clustering") or {}).get("fields") or []
        for at, f in enumerate(t.fields, 1):
            known = [t.project, t.dataset, t.table_id, f.name, at, _yes(f.mode != "REQUIRED"), standard_type(f)]
            rows.append([*known, _yes(f.name == key), clustered.index(f.name) + 1 if f.name in clustered else None])
    return _values(columns, rows)


def _yes(fact: bool) -> str:
    return "YES" if fact else "NO"


def _field_paths(_: Catalog, tables: list[Table]) -> str:
    columns = _typed(
        "table_catalog VARCHAR, table_schema VARCHAR, table_name VARCHAR, column_name VARCHAR, field_path VARCHAR, "
        "data_type VARCHAR, description VARCHAR"
    )

    def paths(field: Field, before: str) -> Iterator[tuple[str, str, str | None]]:
        yield before + field.name, standard_type(field), field.description or None
        for member in field.fields:
            yield from paths(member, f"{before}{field.name}.")

    rows = [
        [t.project, t.dataset, t.table_id, f.name, *path] for t in tables for f in t.fields for path in paths(f, "")
    ]
    return _values(columns, rows)


def _materialized_views(_: Catalog, tables: list[Table]) -> str:
    columns = _typed("table_catalog VARCHAR, table_schema VARCHAR, table_name VARCHAR, last_refresh_time TIMESTAMPTZ")
    shown = [t for t in tables if t.kind == "MATERIALIZED_VIEW"]
    return _values(columns, [[t.project, t.dataset, t.table_id, None] for t in shown])


def _table_options(_: Catalog, tables: list[Table]) -> str:
    """Descriptions, friendly names and labels."""
    columns = _typed(
        "table_catalog VARCHAR, table_schema VARCHAR, table_name VARCHAR, option_name VARCHAR, option_type VARCHAR, "
        "option_value VARCHAR"
    )
    rows: list[list[object]] = []
    for t in tables:
        for key, name in (("description", "description"), ("friendlyName", "friendly_name")):
            if text := t.properties.get(key):
                rows.append([t.project, t.dataset, t.table_id, name, "STRING", json.dumps(text, ensure_ascii=False)])
        if labels := t.properties.get("labels"):
            pairs = ", ".join(
                f"STRUCT({json.dumps(key)}, {json.dumps(value)})" for key, value in sorted(labels.items())
            )
            kind = "ARRAY<STRUCT<STRING, STRING>>"
            rows.append([t.project, t.dataset, t.table_id, "labels", kind, f"[{pairs}]"])
    return _values(columns, rows)


def _partitions(catalog: Catalog, tables: list[Table]) -> str:
    columns = _typed(
        "table_catalog VARCHAR, table_schema VARCHAR, table_name VARCHAR, partition_id VARCHAR, "
        "total_rows BIGINT, total_logical_bytes BIGINT, modified_ms BIGINT"
    )
    rows: list[list[object]] = []
    for table in (t for t in tables if t.has_rows):
        lines: list[tuple[object, ...]] = [*partitions(catalog, table)]
        if not lines and not {"timePartitioning", "rangePartitioning"} & table.properties.keys():
            lines = [(None, *measured(catalog, table), table.modified_ms)]
        rows += [[table.project, table.dataset, table.table_id, *line] for line in lines]
    shown = "table_catalog, table_schema, table_name, partition_id, total_rows, total_logical_bytes"
    modified = "make_timestamptz(modified_ms * 1000) AS last_modified_time"
    return f"SELECT {shown}, {modified} FROM ({_values(columns, rows)})"


def _row_access_policies(_: Catalog, tables: list[Table]) -> str:
    columns = _typed(
        "table_catalog VARCHAR, table_schema VARCHAR, table_name VARCHAR, row_access_policy_name VARCHAR, "
        "filter_predicate VARCHAR, creation_time TIMESTAMPTZ, last_modified_time TIMESTAMPTZ"
    )
    rows = [
        [
            *(table.project, table.dataset, table.table_id, policy["rowAccessPolicyReference"]["policyId"]),
            *(policy["filterPredicate"], policy["creationTime"], policy["lastModifiedTime"]),
        ]
        for table in tables
        for policy in table.policies
    ]
    return _values(columns, rows)


def partitions_summary(catalog: Catalog, table: Table) -> tuple[tuple[Field, ...], str]:
    """The columns and DuckDB SQL of `t$__PARTITIONS_SUMMARY__`.

    https://cloud.google.com/bigquery/docs/managing-partitioned-tables (partition metadata with legacy SQL)
    """
    if partition_key(table.properties) is None:
        raise invalid(f"Cannot read partition information from a table that is not partitioned: {table.name}")
    columns = _typed(
        "project_id VARCHAR, dataset_id VARCHAR, table_id VARCHAR, partition_id VARCHAR, creation_time BIGINT, "
        "creation_timestamp BIGINT, last_modified_time BIGINT, last_modified_timestamp BIGINT"
    )
    name = (table.project, table.dataset, table.table_id)
    rows = [
        [*name, partition.id, table.created_ms, table.created_ms, partition.modified_ms, partition.modified_ms]
        for partition in partitions(catalog, table)
    ]
    times = [column for column, _ in columns if column.endswith("_timestamp")]
    replaced = ", ".join(f"make_timestamptz({column} * 1000) AS {column}" for column in times)
    kinds = {"VARCHAR": "STRING", "BIGINT": "INTEGER"}
    fields = tuple(Field(column, "TIMESTAMP" if column in times else kinds[kind]) for column, kind in columns)
    return fields, f"SELECT * REPLACE ({replaced}) FROM ({_values(columns, rows)})"


def _search_indexes(_: Catalog, tables: list[Table]) -> str:
    return _indexes(tables, "SEARCH")


def _vector_indexes(_: Catalog, tables: list[Table]) -> str:
    return _indexes(tables, "VECTOR")


def _indexes(tables: list[Table], kind: str) -> str:
    columns = _typed(
        "index_catalog VARCHAR, index_schema VARCHAR, table_name VARCHAR, index_name VARCHAR, "
        "index_status VARCHAR, ddl VARCHAR"
    )
    rows = [
        [table.project, table.dataset, table.table_id, name, "ACTIVE", index["ddl"]]
        for table in tables
        for name, index in sorted(table.indexes.items())
        if index["kind"] == kind
    ]
    return _values(columns, rows)


def ddl(table: Table) -> str:
    """A CREATE statement for the table, as INFORMATION_SCHEMA.TABLES shows it."""
    name = f"`{table.project}.{table.dataset}.{table.table_id}`"
    if table.view_query is not None:
        return f"CREATE {table.kind.replace('_', ' ')} {name} AS {table.view_query};"
    lines = [
        f"  {field.name} {standard_type(field)}{' NOT NULL' if field.mode == 'REQUIRED' else ''}"
        for field in table.fields
    ]
    kind = {"EXTERNAL": "EXTERNAL TABLE", "SNAPSHOT": "SNAPSHOT TABLE"}.get(table.kind, "TABLE")
    return f"CREATE {kind} {name}\n(\n" + ",\n".join(lines) + "\n);"


MAKERS = {
    "__TABLES__": _tables_meta,
    "INFORMATION_SCHEMA.TABLES": _tables,
    "INFORMATION_SCHEMA.COLUMNS": _columns,
    "INFORMATION_SCHEMA.COLUMN_FIELD_PATHS": _field_paths,
    "INFORMATION_SCHEMA.MATERIALIZED_VIEWS": _materialized_views,
    "INFORMATION_SCHEMA.TABLE_OPTIONS": _table_options,
    "INFORMATION_SCHEMA.PARTITIONS": _partitions,
    "INFORMATION_SCHEMA.ROW_ACCESS_POLICIES": _row_access_policies,
    "INFORMATION_SCHEMA.SEARCH_INDEXES": _search_indexes,
    "INFORMATION_SCHEMA.VECTOR_INDEXES": _vector_indexes,
}
