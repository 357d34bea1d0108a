"""Readers of data files: CSV, newline-delimited JSON, Avro and Parquet, with BigQuery's text formats."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bqdump_local.bigquery.errors import invalid
from bqdump_local.bigquery.files import avro_files, decimals, parquet
from bqdump_local.bigquery.files.formats import plain_digits, select
from bqdump_local.bigquery.sql.results import describe, stored_select
from bqdump_local.bigquery.types import STORED, Field, duckdb_type, failing, literal

if TYPE_CHECKING:
    import duckdb

# https://cloud.google.com/bigquery/quotas#load_jobs
LARGEST_ROW_BYTES = 100 << 20
NUMBER = r"[-+]?\d+(\.\d*)?([eE][-+]?\d+)?"


def reader(
    cursor: duckdb.DuckDBPyConnection,
    paths: Sequence[Path],
    options: dict[str, Any],
    fields: tuple[Field, ...],
    folder: Path | None = None,
) -> tuple[tuple[Field, ...], str]:
    """The columns of the files, and a query for their rows with the types in which they are stored.

    options: those of a load job or an external table.
    folder: for intermediate files.
    """
    if not paths:
        raise invalid("No source file was given.")
    # Files of 0 bytes have no rows and no compression.
    paths = [path for path in paths if path.stat().st_size] or paths[:1]
    match (options.get("sourceFormat") or "CSV").upper():
        case "CSV":
            return _csv(cursor, paths, options, fields)
        case "NEWLINE_DELIMITED_JSON":
            if fields and "ignoreUnknownValues" in options and not options["ignoreUnknownValues"]:
                _check_names(cursor, paths, fields)
            return _json(cursor, paths, fields, leaf=_from_json)
        case "AVRO":
            target = (folder or paths[0].parent) / "avro.json"
            logical = bool(options.get("useAvroLogicalTypes"))
            columns = avro_files.fields_of(paths[0], logical=logical, types=decimals.allowed(options))
            avro_files.check(fields, columns)
            fields = fields or columns
            avro_files.to_json(paths, target, logical=logical)
            # A JSON column is a string in Avro that contains the JSON.
            return _json(cursor, [target], fields, leaf=_from_avro, raw_json="VARCHAR")
        case _:
            folder = folder or paths[0].parent
            readable = [parquet.for_duckdb(path, folder / f"{n}.parquet") for n, path in enumerate(paths)]
            return _parquet(cursor, readable, options, fields, parquet.decimals(paths[0]))


def _check_names(cursor: duckdb.DuckDBPyConnection, paths: Sequence[Path], fields: Sequence[Field]) -> None:
    """Refuse JSON in which an object has a key that is no column."""
    source = f"read_json_objects({_json_options(paths)})"
    (structure,) = cursor.execute(f"SELECT json_group_structure(json)::VARCHAR FROM {source}").fetchall()[0]
    if unknown := next(_unknown(json.loads(structure or "{}"), fields), ""):
        raise invalid(f"Error while reading data, error message: JSON parsing error: No such field: {unknown}.")


def _unknown(structure: Any, fields: Sequence[Field], path: str = "") -> Iterator[str]:
    """The paths of keys in the structure of objects that no field has."""
    known = {field.name.lower(): field for field in fields}
    for name, inner in structure.items() if isinstance(structure, dict) else ():
        field = known.get(name.lower())
        if field is None:
            yield f"{path}{name}"
        elif field.type == "RECORD":
            yield from _unknown(inner[0] if isinstance(inner, list) else inner, field.fields, f"{path}{name}.")


def _parquet(
    cursor: duckdb.DuckDBPyConnection,
    paths: Sequence[Path],
    options: dict[str, Any],
    fields: tuple[Field, ...],
    of_file: dict[tuple[str, ...], decimals.Decimals],
) -> tuple[tuple[Field, ...], str]:
    source = f"SELECT * FROM read_parquet({_files(paths)}, union_by_name = true)"
    listed = (options.get("parquetOptions") or {}).get("enableListInference")
    if not listed and (lists := [field.name for field in fields if field.mode == "REPEATED"]):
        raise invalid(
            f"Provided Schema does not match the file's: field {lists[0]} is a LIST there, "
            "which is a repeated field with enable_list_inference only."
        )
    # Without a schema, every instant in Parquet is a TIMESTAMP in BigQuery.
    types = decimals.allowed(options)
    fields = fields or decimals.resolved(_instants(describe(cursor, source, (), {})), of_file, types)
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
        text = f"({ref})::VARCHAR"
        return f"CASE WHEN typeof({ref}) LIKE 'DECIMAL%' THEN {plain_digits(text)} ELSE {text} END"
    return f"({ref})::{STORED[field.type]}"


def _list(items: Sequence[object]) -> str:
    return f"[{', '.join(literal(item) for item in items)}]"


def _files(paths: Sequence[Path]) -> str:
    """The files, whose names are neither patterns nor values of columns."""
    names = (
        "".join(f"[{character}]" if character in "*?[" else character for character in str(path)) for path in paths
    )
    return f"{_list(list(names))}, hive_partitioning = false"


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
    failed = failing("'Bad character (line break or ASCII 0) encountered.'")
    return f"CASE WHEN {bad} THEN {failed} ELSE {ref} END"


def _from_json(field: Field, ref: str) -> str:
    """INTERVAL is in ISO 8601 format in JSON, unlike in CSV."""
    if field.type != "INTERVAL":
        return _from_text(field, ref)
    parts = [
        f"coalesce(nullif(regexp_extract({ref}, {literal(pattern)}, 1), ''), '0')"
        for pattern in (r"P(-?\d+)Y", r"(-?\d+)M.*T", r"(-?\d+)D", r"T.*?(-?\d+)H", r"T.*?(\d+)M", r"T.*?([\d.]+)S")
    ]
    year, month, day, hour, minute, second = parts
    failed = failing(f"'Invalid INTERVAL value, expected ISO 8601: ' || {ref}")
    return (
        f"CASE WHEN {ref} IS NULL THEN NULL "
        f"WHEN {ref} NOT LIKE 'P%' THEN {failed} "
        f"ELSE concat({year}, '-', {month}, ' ', {day}, ' ', {hour}, ':', {minute}, ':', {second}) END"
    )


def _from_avro(field: Field, ref: str) -> str:
    """A decimal must fit exactly."""
    if field.type == "BIGNUMERIC":
        return decimals.exact(field, plain_digits(ref))
    return decimals.exact(field, ref) if field.type == "NUMERIC" else _from_text(field, ref)


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
        f"{_files(paths)}, delim = {literal(delimiter)}, quote = {literal(mark)}, escape = {literal(mark)}, "
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
    common = _json_options(paths)
    if not fields:
        source = f"SELECT * FROM read_json({common})"
        fields = _instants(describe(cursor, source, (), {}))
        return fields, stored_select(fields, source)

    def raw_type(field: Field) -> str:
        # Scalars are read as strings, then converted like those of CSV.
        return raw_json if field.type == "JSON" else "VARCHAR"

    raw = ", ".join(f"{literal(field.name)}: {literal(duckdb_type(field, raw_type))}" for field in fields)
    return fields, _converted(fields, f"read_json({common}, columns = {{{raw}}})", leaf)


def _json_options(paths: Sequence[Path]) -> str:
    return (
        f"{_files(paths)}, format = 'newline_delimited', compression = '{compression(paths[0])}', "
        f"maximum_object_size = {LARGEST_ROW_BYTES}"
    )


def _converted(fields: Sequence[Field], source: str, leaf: Callable[[Field, str], str]) -> str:
    return f"SELECT {select(fields, leaf)} FROM {source}"
