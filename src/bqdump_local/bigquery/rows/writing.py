"""How jobs write rows to a destination table, according to their dispositions.

Source: https://cloud.google.com/bigquery/docs/reference/rest/v2/Job#JobConfigurationLoad (writeDisposition)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from bqdump_local.bigquery.errors import BigQueryError, duplicate, invalid
from bqdump_local.bigquery.rows import defaults
from bqdump_local.bigquery.tables import decorators, evolution, partition_times
from bqdump_local.bigquery.tables.tables import PARTITION_TIME, Table, partition_start, reshaped
from bqdump_local.bigquery.types import Field, columns, literal, quote

if TYPE_CHECKING:
    import duckdb

    from bqdump_local.bigquery.tables.catalog import Catalog

INHERITED = ("timePartitioning", "rangePartitioning", "clustering", "labels")
# What WRITE_TRUNCATE replaces of a table's definition, besides the schema, and the option that sets it.
REPLACED = {"tableConstraints": "tableConstraints", "encryptionConfiguration": "destinationEncryptionConfiguration"}


@dataclass
class Written:
    """The rows that a job has written, and by how many bytes the table has grown."""

    rows: int = 0
    bytes: int = 0


def place(
    catalog: Catalog,
    destination: dict[str, Any],
    options: dict[str, Any],
    fields: tuple[Field, ...],
    select: str,
    *,
    arrived: str = "",
) -> Written:
    """Write the rows of a query to a table. The default disposition is WRITE_EMPTY, as for queries.

    arrived: the column of the query with the time at which each row arrived, for ingestion-time partitions; without it,
    rows arrive now, or in the partition that the destination names.
    """
    table_id, partition, _ = decorators.split(destination["tableId"])
    reference = (destination["projectId"], destination["datasetId"], table_id)
    table = catalog.find_table(*reference)
    if table is None:
        if options.get("createDisposition") == "CREATE_NEVER":
            catalog.table(*reference)
        arrival = arrived or _arrival(options.get("timePartitioning"), partition, catalog.settings.now_ms())
        try:
            return _create(catalog, reference, options, fields, select, arrival)
        except BigQueryError as error:
            # If another job has created the table meanwhile, this one writes to it.
            if error.reason != "duplicate" or (table := catalog.find_table(*reference)) is None:
                raise
    return _change(catalog, table, partition, options, fields, select, arrived)


def _change(
    catalog: Catalog,
    table: Table,
    partition: str | None,
    options: dict[str, Any],
    fields: tuple[Field, ...],
    select: str,
    arrived: str,
) -> Written:
    """Write the rows of a query to a table that exists, or to one of its partitions."""
    table.require_plain()
    disposition = options.get("writeDisposition") or "WRITE_EMPTY"
    written = Written()
    with table.lock:
        with catalog.warehouse.cursor() as cursor:
            before = table.current.measure(cursor)
        if disposition == "WRITE_EMPTY" and before[0]:
            raise duplicate("Table", table.name)
        _check_properties(table, options.get("destinationTableProperties") or {})
        arrival = arrived or _arrival(table.properties.get("timePartitioning"), partition, catalog.settings.now_ms())
        after = _columns_after(table, disposition, partition, fields, options)
        build = _rewrite(catalog, table, disposition, partition, fields, after, select, arrival, written)
        hidden = f", {PARTITION_TIME}" if table.ingestion_time else ""
        selected = f"{evolution.converted(after, table.fields)}{hidden}"
        with reshaped(catalog.warehouse, table, selected) if after != table.fields else nullcontext() as show_buffer:

            def change() -> None:
                if show_buffer is not None:
                    show_buffer()
                if disposition == "WRITE_TRUNCATE" and partition is None:
                    table.policies = []
                    kept = {key: value for key, value in table.properties.items() if key not in REPLACED}
                    table.properties = {**kept, **_replaced(options)}

            version = catalog.new_version(table, build, after, change)
    with catalog.warehouse.cursor() as cursor:
        size = version.measure(cursor)[1]
    written.bytes = max(0, size - (0 if disposition.startswith("WRITE_TRUNCATE") else before[1]))
    return written


def _replaced(options: dict[str, Any]) -> dict[str, Any]:
    return {key: options[option] for key, option in REPLACED.items() if options.get(option)}


def _create(
    catalog: Catalog,
    reference: tuple[str, str, str],
    options: dict[str, Any],
    fields: tuple[Field, ...],
    select: str,
    arrival: str | None,
) -> Written:
    properties = {key: options[key] for key in INHERITED if options.get(key)}
    properties |= _replaced(options) | (options.get("destinationTableProperties") or {})
    properties["schema"] = {"fields": [field.to_json() for field in fields]}
    written = Written()

    def create(cursor: duckdb.DuckDBPyConnection, name: str) -> None:
        hidden = f", {PARTITION_TIME} TIMESTAMPTZ" if arrival else ""
        cursor.execute(f"CREATE TABLE {name} ({columns(fields)}{hidden})")
        written.rows = _insert(cursor, name, fields, fields, select, arrival, {})
        check_values(cursor, name, fields)
        check_partitions(cursor, name, 0, properties, catalog.settings.partitions_per_job)

    version = catalog.create_table(*reference, properties, create).current
    with catalog.warehouse.cursor() as cursor:
        written.bytes = version.measure(cursor)[1]
    return written


def _check_properties(table: Table, properties: dict[str, Any]) -> None:
    """Refuse properties for a new table that the table, which exists, does not have.

    https://cloud.google.com/bigquery/docs/reference/rest/v2/Job#DestinationTableProperties
    """
    for key, value in properties.items():
        if value != table.properties.get(key):
            raise invalid(f"Cannot change {key} of the existing table {table.name} with a load job")


def _columns_after(
    table: Table, disposition: str, partition: str | None, fields: tuple[Field, ...], options: dict[str, Any]
) -> tuple[Field, ...]:
    """The columns of a table after a job with these columns."""
    if (disposition == "WRITE_TRUNCATE" and partition is None) or not table.fields:
        return fields
    adding, relaxing = evolution.updates(options)
    known = {field.name.lower() for field in table.fields}
    extra = [field.name for field in fields if field.name.lower() not in known]
    if extra and not adding:
        raise invalid(f"Provided Schema does not match Table {table.name}. Cannot add fields (field: {extra[0]})")
    return evolution.evolved(table.fields, fields) if adding or relaxing else table.fields


def _rewrite(
    catalog: Catalog,
    table: Table,
    disposition: str,
    partition: str | None,
    fields: tuple[Field, ...],
    after: tuple[Field, ...],
    select: str,
    arrival: str | None,
    written: Written,
) -> Callable[[duckdb.DuckDBPyConnection, str], None]:
    """A function that builds the next version of a table, with the columns `after`."""
    kept: str | None = "true"
    if disposition == "WRITE_TRUNCATE" and partition is None:
        kept = None
    elif disposition.startswith("WRITE_TRUNCATE"):
        gone = "true" if partition is None else decorators.partition_condition(table, partition)
        kept = f"NOT coalesce({gone}, false)"
    hidden = f", {PARTITION_TIME}" if table.ingestion_time else ""
    missing = {} if kept is None else defaults.expressions(catalog, table)

    def build(cursor: duckdb.DuckDBPyConnection, name: str) -> None:
        if kept is None or not table.fields:
            cursor.execute(f"CREATE TABLE {name} ({columns(after)}{hidden and f'{hidden} TIMESTAMPTZ'})")
        else:
            rows = f"{evolution.converted(after, table.fields)}{hidden} FROM {table.current.name}"
            cursor.execute(f"CREATE TABLE {name} AS SELECT {rows} WHERE {kept}")
        before = _count(cursor, name)
        written.rows = _insert(cursor, name, after, fields, select, arrival, missing)
        check_values(cursor, name, after)
        check_partitions(cursor, name, before, table.properties, catalog.settings.partitions_per_job)

    return build


def check_partitions(
    cursor: duckdb.DuckDBPyConnection, name: str, before: int, properties: dict[str, Any], limit: int
) -> None:
    """Refuse to change more partitions than one job may. before: the number of rows before the job.

    https://cloud.google.com/bigquery/quotas#partitioned_tables
    """
    if (key := partition_times.partition_key(properties)) is None:
        return
    changed = cursor.execute(f"SELECT count(DISTINCT {key}) FROM {name} WHERE rowid >= {before}").fetchall()[0][0]
    if changed > limit:
        message = (
            f"Too many partitions produced by query, allowed {limit}, query produces at least {changed} partitions"
        )
        raise invalid(message)


def without_protection(fields: Sequence[Field]) -> tuple[Field, ...]:
    """The columns without what only their definition has, such as policy tags."""
    return tuple(replace(field, recorded=(), fields=without_protection(field.fields)) for field in fields)


def _arrival(partitioning: dict[str, Any] | None, partition: str | None, now_ms: int) -> str | None:
    """The value of the hidden column of a table partitioned by ingestion time."""
    if partitioning is None or partitioning.get("field"):
        return None
    if partition is not None:
        pattern = partition_times.PARTITION_ID[partitioning["type"]]
        return f"strptime({literal(partition)}, {literal(pattern)})::TIMESTAMPTZ"
    return partition_start(partitioning, f"to_timestamp({now_ms} / 1000.0)")


def _insert(
    cursor: duckdb.DuckDBPyConnection,
    name: str,
    all_fields: Sequence[Field],
    fields: Sequence[Field],
    select: str,
    arrival: str | None,
    missing: dict[str, str],
) -> int:
    names = ", ".join(quote(field.name) for field in all_fields)
    values = evolution.converted(all_fields, fields, missing)
    hidden, value = (f", {PARTITION_TIME}", f", {arrival}") if arrival else ("", "")
    inserted = cursor.execute(f"INSERT INTO {name} ({names}{hidden}) SELECT {values}{value} FROM ({select}) AS loaded")
    return int(inserted.fetchall()[0][0])


def _count(cursor: duckdb.DuckDBPyConnection, name: str) -> int:
    return int(cursor.execute(f"SELECT count(*) FROM {name}").fetchall()[0][0])


def check_values(cursor: duckdb.DuckDBPyConnection, name: str, fields: Sequence[Field]) -> None:
    """Refuse NULL where it may not be, and values that exceed the length or the precision of their column.

    https://cloud.google.com/bigquery/docs/reference/standard-sql/data-types#parameterized_data_types
    """
    for field in fields:
        ref = quote(field.name)
        for path, is_null in _nulls(field, ref, field.name):
            if _any(cursor, name, is_null):
                raise BigQueryError("invalid", f"Required field {path} cannot be null")
        if (exceeds := _exceeds(field, ref)) and _any(cursor, name, exceeds):
            limit = f"{field.type}({', '.join(str(parameter) for parameter in field.parameters)})"
            raise BigQueryError("invalid", f"A value of the field {field.name} exceeds {limit}")


def _any(cursor: duckdb.DuckDBPyConnection, name: str, condition: str) -> bool:
    return bool(cursor.execute(f"SELECT 1 FROM {name} WHERE {condition} LIMIT 1").fetchall())


def _exceeds(field: Field, ref: str, depth: int = 0) -> str:
    """The condition for a value that its column cannot hold; "" for a column that holds all values of its type."""
    if field.mode == "REPEATED":
        item = f"item{depth}"
        inner = _exceeds(field.element, item, depth + 1)
        return inner and f"len(list_filter({ref}, lambda {item}: coalesce({inner}, false))) > 0"
    if field.type == "RECORD":
        members = (_exceeds(member, f"({ref})[{literal(member.name)}]", depth) for member in field.fields)
        return " OR ".join(f"coalesce({condition}, false)" for condition in members if condition)
    match field.type, field.parameters:
        case "STRING", (length,):
            return f"length({ref}) > {length}"
        case "BYTES", (length,):
            return f"octet_length({ref}) > {length}"
        case "NUMERIC" | "BIGNUMERIC", (precision, *scale):
            whole = precision - (scale[0] if scale else 0)
            return f"length(ltrim(split_part(({ref})::VARCHAR, '.', 1), '-0')) > {whole}"
    return ""


def _nulls(field: Field, ref: str, path: str, depth: int = 0) -> Iterator[tuple[str, str]]:
    """Each column or member that may not be NULL, and the condition for rows in which it is."""
    if field.mode == "REPEATED":
        item = f"item{depth}"
        element = replace(field, mode="REQUIRED")
        for below, is_null in _nulls(element, item, path, depth + 1):
            yield below, f"len(list_filter({ref}, lambda {item}: {is_null})) > 0"
        return
    if field.mode == "REQUIRED":
        yield path, f"{ref} IS NULL"
    for member in field.fields:
        for below, is_null in _nulls(member, f"({ref})[{literal(member.name)}]", f"{path}.{member.name}", depth):
            yield below, f"({ref} IS NOT NULL AND {is_null})"
