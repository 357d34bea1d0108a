"""Readers of data files: CSV, newline-delimited JSON, Avro and Parquet, with BigQuery's text formats."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fastavro

from bqdump_local.bigquery import decimals, parquet
from bqdump_local.bigquery.errors import invalid
from bqdump_local.bigquery.formats import plain_digits, select
from bqdump_local.bigquery.results import describe, stored_select
from bqdump_local.bigquery.types import STORED, Field, duckdb_type, literal

if TYPE_CHECKING:
    import duckdb

# BigQuery's load jobs read its own logical type of DATETIME as a string:
# https://cloud.google.com/bigquery/docs/loading-data-cloud-storage-avro#logical_types
# https://cloud.google.com/bigquery/quotas#load_jobs
LARGEST_ROW_BYTES = 100 << 20
AVRO_LOGICAL = {"date": "DATE", "time-micros": "TIME", "timestamp-micros": "TIMESTAMP"}
NUMBER = r"[-+]?\d+(\.\d*)?([eE][-+]?\d+)?"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
AVRO_PLAIN = {"string": "STRING", "bytes": "BYTES", "int": "INTEGER", "long": "INTEGER", "boolean": "BOOLEAN"}


def reader(
    cursor: duckdb.DuckDBPyConnection,
    paths: Sequence[Path],
    options: dict[str, Any],
    fields: tuple[Field, ...],
    folder: Path | None = None,
) -> tuple[tuple[Field, ...], str]:
    """The columns of the files, and a query for their rows with the types in which they are stored.

    options: those of a load job or an external table. folder: for intermediate files.
    """
    if not paths:
        raise invalid("No source file was given.")
    # Files of 0 bytes have no rows and no compression.
    paths = [path for path in paths if path.stat().st_size] or paths[:1]
    match (options.get("sourceFormat") or "CSV").upper():
        case "CSV":
            return _csv(cursor, paths, options, fields)
        case "NEWLINE_DELIMITED_JSON":
            return _json(cursor, paths, fields, leaf=_from_json)
        case "AVRO":
            target = (folder or paths[0].parent) / "avro.json"
            logical = bool(options.get("useAvroLogicalTypes"))
            found = _avro_fields(paths[0], logical=logical, types=decimals.allowed(options))
            _check_avro(fields, found)
            fields = fields or found
            _avro_to_json(paths, target, _plain if logical else _raw)
            # A JSON column is a string in Avro that contains the JSON.
            return _json(cursor, [target], fields, leaf=_from_avro, raw_json="VARCHAR")
        case _:
            folder = folder or paths[0].parent
            readable = [parquet.for_duckdb(path, folder / f"{n}.parquet") for n, path in enumerate(paths)]
            return _parquet(cursor, readable, options, fields, parquet.decimals(paths[0]))


def _parquet(
    cursor: duckdb.DuckDBPyConnection,
    paths: Sequence[Path],
    options: dict[str, Any],
    fields: tuple[Field, ...],
    found: dict[tuple[str, ...], decimals.Decimals],
) -> tuple[tuple[Field, ...], str]:
    source = f"SELECT * FROM read_parquet({_list(paths)}, union_by_name = true)"
    listed = (options.get("parquetOptions") or {}).get("enableListInference")
    if not listed and (lists := [field.name for field in fields if field.mode == "REPEATED"]):
        raise invalid(
            f"Provided Schema does not match the file's: field {lists[0]} is a LIST there, "
            "which is a repeated field with enable_list_inference only."
        )
    # Without a schema, every instant in Parquet is a TIMESTAMP in BigQuery.
    types = decimals.allowed(options)
    fields = fields or decimals.resolved(_instants(describe(cursor, source, (), {})), found, types)
    return fields, f"SELECT {select(fields, _from_parquet)} FROM ({source}) AS source"


def _from_parquet(field: Field, ref: str) -> str:
    if field.type == "GEOGRAPHY":
        # BigQuery writes POINT(1 2), and DuckDB POINT (1 2).
        return f"regexp_replace(({ref})::GEOMETRY::VARCHAR, '([A-Z]) \\(', '\\1(', 'g')"
    if field.type == "NUMERIC":
        return decimals.exact(field, f"({ref})::VARCHAR")
    if field.type == "BIGNUMERIC":
        return decimals.exact(field, plain_digits(f"({ref})::VARCHAR"))
    if field.type == "STRING":
        return f"CASE WHEN typeof({ref}) LIKE 'DECIMAL%' THEN {plain_digits(f'({ref})::VARCHAR')} ELSE ({ref})::VARCHAR END"
    return f"({ref})::{STORED[field.type]}"


def _list(items: Sequence[object]) -> str:
    return f"[{', '.join(literal(item) for item in items)}]"


def _instants(fields: Sequence[Field]) -> tuple[Field, ...]:
    return tuple(
        replace(field, type="TIMESTAMP" if field.type == "DATETIME" else field.type, fields=_instants(field.fields))
        for field in fields
    )


def compression(path: Path) -> str:
    """The compression of a file: gzip or none."""
    with path.open("rb") as file:
        return "gzip" if file.read(2) == b"\x1f\x8b" else "none"


def _from_csv(field: Field, ref: str, refused: Sequence[str]) -> str:
    """Line breaks and NUL in strings are errors unless the options allow them."""
    if field.type != "STRING" or not refused:
        return _from_text(field, ref)
    bad = " OR ".join(f"contains({ref}, {character})" for character in refused)
    return f"CASE WHEN {bad} THEN error('Bad character (line break or ASCII 0) encountered.') ELSE {ref} END"


def _from_json(field: Field, ref: str) -> str:
    """INTERVAL is in ISO 8601 format in JSON, unlike in CSV."""
    if field.type != "INTERVAL":
        return _from_text(field, ref)
    parts = [
        f"coalesce(nullif(regexp_extract({ref}, {literal(pattern)}, 1), ''), '0')"
        for pattern in (r"P(-?\d+)Y", r"(-?\d+)M.*T", r"(-?\d+)D", r"T.*?(-?\d+)H", r"T.*?(\d+)M", r"T.*?([\d.]+)S")
    ]
    year, month, day, hour, minute, second = parts
    return (
        f"CASE WHEN {ref} IS NULL THEN NULL "
        f"WHEN {ref} NOT LIKE 'P%' THEN error('Invalid INTERVAL value, expected ISO 8601: ' || {ref}) "
        f"ELSE concat({year}, '-', {month}, ' ', {day}, ' ', {hour}, ':', {minute}, ':', {second}) END"
    )


def _from_avro(field: Field, ref: str) -> str:
    """A decimal must fit exactly."""
    return decimals.exact(field, ref) if field.type in decimals.DIGITS else _from_text(field, ref)


def _from_text(field: Field, ref: str) -> str:
    match field.type:
        case "BYTES":
            # Base64 may have line breaks, and no padding.
            digits = f"regexp_replace({ref}, '\\s', '', 'g')"
            return f"from_base64(rpad({digits}, ((length({digits}) + 3) // 4 * 4)::INTEGER, '='))"
        case "TIMESTAMP":
            # A number is seconds since 1970.
            seconds = f"make_timestamptz(round(({ref})::DECIMAL(38,6) * 1000000)::BIGINT)"
            return f"CASE WHEN regexp_full_match({ref}, {literal(NUMBER)}) THEN {seconds} ELSE ({ref})::TIMESTAMPTZ END"
        case "BIGNUMERIC":
            return plain_digits(ref)
        case "STRING" | "GEOGRAPHY" | "INTERVAL" | "RANGE":
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
        f"nullstr = {_list([options.get('nullMarker') or ''])}, compression = '{compression(paths[0])}', "
        f"max_line_size = {LARGEST_ROW_BYTES}, buffer_size = {LARGEST_ROW_BYTES + 1}, "
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
    allowed = {"chr(10)": "allowQuotedNewlines", "chr(0)": "preserveAsciiControlCharacters"}
    refused = [character for character, option in allowed.items() if not options.get(option)]
    return fields, _converted(fields, source, partial(_from_csv, refused=refused))


def _json(
    cursor: duckdb.DuckDBPyConnection,
    paths: Sequence[Path],
    fields: tuple[Field, ...],
    *,
    leaf: Callable[[Field, str], str],
    raw_json: str = "JSON",
) -> tuple[tuple[Field, ...], str]:
    common = (
        f"{_list(paths)}, format = 'newline_delimited', compression = '{compression(paths[0])}', "
        f"maximum_object_size = {LARGEST_ROW_BYTES}"
    )
    if not fields:
        source = f"SELECT * FROM read_json({common})"
        fields = _instants(describe(cursor, source, (), {}))
        return fields, stored_select(fields, source)

    def raw_type(field: Field) -> str:
        # Scalars are read as strings, then converted like those of CSV.
        return raw_json if field.type == "JSON" else "VARCHAR"

    raw = ", ".join(f"{literal(field.name)}: {literal(duckdb_type(field, raw_type))}" for field in fields)
    return fields, _converted(fields, f"read_json({common}, columns = {{{raw}}})", leaf)


def _converted(fields: Sequence[Field], source: str, leaf: Callable[[Field, str], str]) -> str:
    return f"SELECT {select(fields, leaf)} FROM {source}"


def _avro_fields(path: Path, *, logical: bool, types: Sequence[str]) -> tuple[Field, ...]:
    with path.open("rb") as file:
        schema: Any = fastavro.reader(file).writer_schema
    return tuple(_avro_field(item["name"], item["type"], logical, types) for item in schema["fields"])


def _check_avro(expected: Sequence[Field], found: Sequence[Field]) -> None:
    """Refuse a schema that does not match the files. A string column can become a type that is stored as a string."""
    known = {field.name.lower(): field for field in found}
    for field in expected:
        have = known.get(field.name.lower())
        if have is None:
            continue
        of_text = have.type == "STRING" and field.type in {"JSON", "GEOGRAPHY"}
        of_decimal = {have.type, field.type} <= {*decimals.TYPES} and have.type != "STRING"
        if have.type != field.type and not of_text and not of_decimal:
            raise invalid(
                f"Provided Schema does not match. Field {field.name} has changed type from {field.type} to {have.type}"
            )
        _check_avro(field.fields, have.fields)


def _avro_field(name: str, kind: Any, logical: bool, types: Sequence[str]) -> Field:
    if isinstance(kind, list):
        return _avro_field(name, next(item for item in kind if item != "null"), logical, types)
    if not isinstance(kind, dict):
        return Field(name, AVRO_PLAIN.get(kind, "FLOAT"))
    if kind["type"] == "array":
        return replace(_avro_field(name, kind["items"], logical, types), mode="REPEATED")
    if kind["type"] == "record":
        members = tuple(_avro_field(item["name"], item["type"], logical, types) for item in kind["fields"])
        return Field(name, "RECORD", fields=members)
    named = kind.get("logicalType", "")
    if named == "decimal":
        return Field(name, decimals.target(decimals.Decimals(kind["precision"], kind.get("scale", 0)), types))
    if logical and named in AVRO_LOGICAL:
        return Field(name, AVRO_LOGICAL[named])
    return Field(name, "JSON") if kind.get("sqlType") == "JSON" else _avro_field(name, kind["type"], logical, types)


def _avro_to_json(paths: Sequence[Path], target: Path, plain: Callable[[Any], Any]) -> None:
    with target.open("w", encoding="utf-8") as out:
        for path in paths:
            with path.open("rb") as file:
                for record in fastavro.reader(file):
                    json.dump(record, out, default=plain)
                    out.write("\n")


def _raw(value: Any) -> Any:
    """The number of a logical type."""
    match value:
        case datetime():
            return (value - EPOCH) // timedelta(microseconds=1)
        case date():
            return (value - EPOCH.date()).days
        case time():
            return (datetime.combine(EPOCH, value, UTC) - EPOCH) // timedelta(microseconds=1)
        case _:
            return _plain(value)


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
