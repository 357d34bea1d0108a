"""Avro files that load jobs read: their columns, and their rows as JSON."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import fastavro

from bqdump_local.bigquery.errors import invalid
from bqdump_local.bigquery.files import decimals
from bqdump_local.bigquery.types import Field

# BigQuery's load jobs read its own logical type of DATETIME as a string:
# https://cloud.google.com/bigquery/docs/loading-data-cloud-storage-avro#logical_types
AVRO_LOGICAL = {"date": "DATE", "time-micros": "TIME", "timestamp-micros": "TIMESTAMP"}
AVRO_PLAIN = {"string": "STRING", "bytes": "BYTES", "int": "INTEGER", "long": "INTEGER", "boolean": "BOOLEAN"}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def fields_of(path: Path, *, logical: bool, types: Sequence[str]) -> tuple[Field, ...]:
    """The columns of a file.

    logical: use logical types.
    types: those that decimals can become.
    """
    with path.open("rb") as file:
        schema: Any = fastavro.reader(file).writer_schema
    return tuple(_avro_field(item["name"], item["type"], logical, types) for item in schema["fields"])


def check(expected: Sequence[Field], actual: Sequence[Field]) -> None:
    """Refuse a schema that does not match the files. A string column can become a type that is stored as a string."""
    known = {field.name.lower(): field for field in actual}
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
        check(field.fields, have.fields)


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


def to_json(paths: Sequence[Path], target: Path, *, logical: bool) -> None:
    """Write the rows of files as newline-delimited JSON. logical: instants as text, otherwise as numbers."""
    plain = _plain if logical else _raw
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
