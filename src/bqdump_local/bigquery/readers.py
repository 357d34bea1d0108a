"""Readers of data files: CSV, newline-delimited JSON, Avro and Parquet, in BigQuery's text forms."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fastavro

from bqdump_local.bigquery import parquet
from bqdump_local.bigquery.errors import invalid
from bqdump_local.bigquery.formats import select
from bqdump_local.bigquery.results import describe, stored_select
from bqdump_local.bigquery.types import CANONICAL, STORED, Field, duckdb_type, literal, quote, shape

if TYPE_CHECKING:
    import duckdb

AVRO_LOGICAL = {
    "decimal": "NUMERIC",
    "date": "DATE",
    "time-micros": "TIME",
    "timestamp-micros": "TIMESTAMP",
    "datetime": "DATETIME",
}
AVRO_PLAIN = {"string": "STRING", "bytes": "BYTES", "int": "INTEGER", "long": "INTEGER", "boolean": "BOOLEAN"}


def reader(
    cursor: duckdb.DuckDBPyConnection,
    paths: Sequence[Path],
    options: dict[str, Any],
    fields: tuple[Field, ...],
    folder: Path | None = None,
) -> tuple[tuple[Field, ...], str]:
    """The columns of the files, and a query for their rows in the types in which they are stored.

    `options` are those of a load job or an external table; `folder` takes intermediate files.
    """
    if not paths:
        raise invalid("No source file was given.")
    match (options.get("sourceFormat") or "CSV").upper():
        case "CSV":
            return _csv(cursor, paths, options, fields)
        case "NEWLINE_DELIMITED_JSON":
            return _json(cursor, paths, fields)
        case "AVRO":
            target = (folder or paths[0].parent) / "avro.json"
            fields = fields or _avro_fields(paths[0])
            _avro_to_json(paths, target)
            # A JSON column is a string in Avro, whose content is the JSON.
            return _json(cursor, [target], fields, raw_json="VARCHAR")
        case _:
            folder = folder or paths[0].parent
            readable = [parquet.for_duckdb(path, folder / f"{n}.parquet") for n, path in enumerate(paths)]
            return _parquet(cursor, readable, options, fields)


def _parquet(
    cursor: duckdb.DuckDBPyConnection, paths: Sequence[Path], options: dict[str, Any], fields: tuple[Field, ...]
) -> tuple[tuple[Field, ...], str]:
    source = f"SELECT * FROM read_parquet({_list(paths)}, union_by_name = true)"
    listed = (options.get("parquetOptions") or {}).get("enableListInference")
    if not listed and (lists := [field.name for field in fields if field.mode == "REPEATED"]):
        raise invalid(
            f"Provided Schema does not match the file's: field {lists[0]} is a LIST there, "
            "which is a repeated field with enable_list_inference only."
        )
    # Without a schema BigQuery takes every instant in Parquet for a TIMESTAMP.
    fields = fields or _instants(describe(cursor, source, (), {}))
    return fields, f"SELECT {select(fields, _from_parquet)} FROM ({source}) AS source"


def _from_parquet(field: Field, ref: str) -> str:
    if field.type == "GEOGRAPHY":
        # BigQuery writes POINT(1 2) where DuckDB has POINT (1 2).
        return f"regexp_replace(({ref})::GEOMETRY::VARCHAR, '([A-Z]) \\(', '\\1(', 'g')"
    return f"({ref})::{STORED[field.type]}"


def _list(items: Sequence[object]) -> str:
    return f"[{', '.join(literal(item) for item in items)}]"


def _instants(fields: Sequence[Field]) -> tuple[Field, ...]:
    return tuple(
        replace(field, type="TIMESTAMP" if field.type == "DATETIME" else field.type, fields=_instants(field.fields))
        for field in fields
    )


def _compression(path: Path) -> str:
    with path.open("rb") as file:
        return "gzip" if file.read(2) == b"\x1f\x8b" else "none"


def _from_text(field: Field, ref: str) -> str:
    match field.type:
        case "BYTES":
            return f"from_base64({ref})"
        case "STRING" | "BIGNUMERIC" | "GEOGRAPHY" | "INTERVAL" | "RANGE":
            return ref
        case _:
            return f"CAST({ref} AS {STORED[field.type]})"


def _csv(
    cursor: duckdb.DuckDBPyConnection, paths: Sequence[Path], options: dict[str, Any], fields: tuple[Field, ...]
) -> tuple[tuple[Field, ...], str]:
    skip = int(options.get("skipLeadingRows") or 0)
    delimiter = options.get("fieldDelimiter") or ","
    delimiter = {"tab": "\t", "\\t": "\t"}.get(delimiter, delimiter)
    mark = options.get("quote")
    mark = '"' if mark is None else mark
    common = (
        f"{_list(paths)}, delim = {literal(delimiter)}, quote = {literal(mark)}, escape = {literal(mark)}, "
        f"nullstr = {_list([options.get('nullMarker') or ''])}, compression = '{_compression(paths[0])}', "
        f"allow_quoted_nulls = false, null_padding = {str(bool(options.get('allowJaggedRows'))).lower()}"
    )
    if not fields:
        if not options.get("autodetect"):
            raise invalid("No schema specified on job or table.")
        header = f"header = true, skip = {skip - 1}" if skip else "header = true"
        source = f"SELECT * FROM read_csv({common}, auto_detect = true, {header}, sample_size = -1)"
        fields = _instants(describe(cursor, source, (), {}))
        return fields, stored_select(fields, source)
    for field in fields:
        if field.nested:
            raise invalid(f"Cannot load CSV data with a nested schema. Field: {field.name}")
    raw = ", ".join(f"{literal(field.name)}: 'VARCHAR'" for field in fields)
    source = f"read_csv({common}, auto_detect = false, header = false, skip = {skip}, columns = {{{raw}}})"
    return fields, _converted(fields, source)


def _json(
    cursor: duckdb.DuckDBPyConnection, paths: Sequence[Path], fields: tuple[Field, ...], raw_json: str = "JSON"
) -> tuple[tuple[Field, ...], str]:
    common = f"{_list(paths)}, format = 'newline_delimited', compression = '{_compression(paths[0])}'"
    if not fields:
        source = f"SELECT * FROM read_json({common})"
        fields = _instants(describe(cursor, source, (), {}))
        return fields, stored_select(fields, source)

    def raw_type(field: Field) -> str:
        # Scalars are read as text, then converted as those of CSV.
        return raw_json if field.type == "JSON" else "VARCHAR"

    raw = ", ".join(f"{literal(field.name)}: {literal(duckdb_type(field, raw_type))}" for field in fields)
    return fields, _converted(fields, f"read_json({common}, columns = {{{raw}}})")


def _converted(fields: Sequence[Field], source: str) -> str:
    parts = []
    for field in fields:
        ref = quote(field.name)
        whole = f"coalesce({ref}, [])" if field.mode == "REPEATED" else ref
        parts.append(f"{shape(field, whole, _from_text)} AS {ref}")
    return f"SELECT {', '.join(parts)} FROM {source}"


def _avro_fields(path: Path) -> tuple[Field, ...]:
    with path.open("rb") as file:
        schema: Any = fastavro.reader(file).writer_schema
    return tuple(_avro_field(item["name"], item["type"]) for item in schema["fields"])


def _avro_field(name: str, kind: Any) -> Field:
    if isinstance(kind, list):
        return _avro_field(name, next(item for item in kind if item != "null"))
    if not isinstance(kind, dict):
        return Field(name, AVRO_PLAIN.get(kind, "FLOAT"))
    if kind["type"] == "array":
        return replace(_avro_field(name, kind["items"]), mode="REPEATED")
    if kind["type"] == "record":
        members = tuple(_avro_field(item["name"], item["type"]) for item in kind["fields"])
        return Field(name, "RECORD", fields=members)
    logical = AVRO_LOGICAL.get(kind.get("logicalType", ""))
    if logical == "NUMERIC" and kind.get("scale", 0) > 9:
        logical = "BIGNUMERIC"
    sql_type = kind.get("sqlType")
    if logical is None and sql_type and CANONICAL.get(sql_type, sql_type) in STORED:
        logical = CANONICAL.get(sql_type, sql_type)
    return Field(name, logical) if logical else _avro_field(name, kind["type"])


def _avro_to_json(paths: Sequence[Path], target: Path) -> None:
    with target.open("w", encoding="utf-8") as out:
        for path in paths:
            with path.open("rb") as file:
                for record in fastavro.reader(file):
                    json.dump(record, out, default=_plain)
                    out.write("\n")


def _plain(value: Any) -> str:
    match value:
        case bytes():
            return base64.b64encode(value).decode()
        case Decimal():
            return format(value, "f")
        case datetime() | date() | time():
            return value.isoformat()
        case _:
            return str(value)
