"""Avro files with BigQuery's schema."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import IO, Any

import fastavro

from bqdump_local.bigquery.errors import invalid
from bqdump_local.bigquery.types import Field

PLAIN = {"STRING": "string", "BYTES": "bytes", "INTEGER": "long", "FLOAT": "double", "BOOLEAN": "boolean"}
LOGICAL = {"DATE": ("int", "date"), "TIME": ("long", "time-micros"), "DATETIME": ("string", "datetime")}
CODECS = {"NONE": "null", "DEFLATE": "deflate", "SNAPPY": "snappy"}


def _decimal(precision: int, scale: int) -> dict[str, Any]:
    return {"type": "bytes", "logicalType": "decimal", "precision": precision, "scale": scale}


def _scalar(field: Field, *, logical_types: bool) -> Any:
    match field.type:
        case "TIMESTAMP":
            return {"type": "long", "logicalType": "timestamp-micros"}
        case "NUMERIC":
            return _decimal(field.precision or 38, (field.scale or 0) if field.precision else 9)
        case "BIGNUMERIC":
            return _decimal(field.precision or 77, (field.scale or 0) if field.precision else 38)
        case "RANGE":
            raise invalid(f"Unsupported type RANGE for Avro export. Field: {field.name}")
        case "DATE" | "TIME" | "DATETIME" if logical_types:
            kind, logical = LOGICAL[field.type]
            return {"type": kind, "logicalType": logical}
        case _:
            return PLAIN.get(field.type) or {"type": "string", "sqlType": field.type}


def _kind(field: Field, path: str, *, logical_types: bool) -> Any:
    if field.mode == "REPEATED":
        return {"type": "array", "items": _kind(replace(field, mode="REQUIRED"), path, logical_types=logical_types)}
    if field.type == "RECORD":
        kind: Any = {
            "type": "record",
            "namespace": path.lower(),
            "name": "_".join(part.capitalize() for part in field.name.split("_")),
            "fields": _members(field.fields, f"{path}.{field.name}", logical_types=logical_types),
        }
    else:
        kind = _scalar(field, logical_types=logical_types)
    return kind if field.mode == "REQUIRED" else ["null", kind]


def _members(fields: Iterable[Field], path: str, *, logical_types: bool) -> list[dict[str, Any]]:
    members = []
    for field in fields:
        member = {"name": field.name, "type": _kind(field, path, logical_types=logical_types)}
        described = {"doc": field.description} if field.description else {}
        members.append(member | described | ({"default": None} if field.mode == "NULLABLE" else {}))
    return members


def schema_of(fields: Sequence[Field], *, logical_types: bool) -> dict[str, Any]:
    """The writer's schema: a record `Root`, with unions for nullable columns.

    A nested record has the name of its column in title case and the namespace `root`, as in files of the service.
    Assumed without evidence: the namespace of records inside them is the path of their columns.
    """
    return {"type": "record", "name": "Root", "fields": _members(fields, "root", logical_types=logical_types)}


def _with_decimals(field: Field, value: Any) -> Any:
    if value is None:
        return None
    if field.mode == "REPEATED":
        return [_with_decimals(field.element, item) for item in value]
    if field.type == "RECORD":
        return {member.name: _with_decimals(member, value[member.name]) for member in field.fields}
    return Decimal(value) if field.type == "BIGNUMERIC" else value


def _has_bignumeric(fields: Iterable[Field]) -> bool:
    return any(field.type == "BIGNUMERIC" or _has_bignumeric(field.fields) for field in fields)


def records(fields: Sequence[Field], rows: Iterable[tuple[Any, ...]]) -> Iterator[dict[str, Any]]:
    """Rows as selected by `formats.avro_columns`, for a writer with `schema_of`."""
    names, convert = [field.name for field in fields], _has_bignumeric(fields)
    for row in rows:
        if convert:
            row = tuple(_with_decimals(field, value) for field, value in zip(fields, row, strict=True))
        yield dict(zip(names, row, strict=True))


def write(
    file: IO[bytes],
    fields: Sequence[Field],
    rows: Iterable[tuple[Any, ...]],
    *,
    codec: str,
    logical_types: bool,
) -> None:
    """Write rows as selected by `formats.avro_columns`."""
    fastavro.writer(file, schema_of(fields, logical_types=logical_types), records(fields, rows), codec=CODECS[codec])
