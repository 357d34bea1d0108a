"""What is in a file: fields of CSV and JSON as they are written, types of Avro and Parquet. No library for data."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec

from bqdump.core.formats.avro_blocks import read_header
from bqdump.core.formats.parquet_footer import TRAILER_BYTES, Fields, Value, footer_bytes
from bqdump.core.iceberg import parquet as thrift

_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])
PHYSICAL = {
    thrift.BOOLEAN: "BOOLEAN",
    thrift.INT32: "INT32",
    thrift.INT64: "INT64",
    thrift.INT96: "INT96",
    thrift.FLOAT: "FLOAT",
    thrift.DOUBLE: "DOUBLE",
    thrift.BYTE_ARRAY: "BYTE_ARRAY",
    thrift.FIXED: "FIXED_LEN_BYTE_ARRAY",
}
LOGICAL = {thrift.STRING: "STRING", thrift.DATE: "DATE", thrift.JSON: "JSON", thrift.ENUM: "ENUM", thrift.UUID: "UUID"}
UNITS = {1: "MILLIS", 2: "MICROS", 3: "NANOS"}
REQUIRED = 0
KEY_VALUES = 5


def csv_fields(data: bytes) -> list[list[str]]:
    """The records of a CSV file, its header included: each field as it is written, quotes included."""
    records: list[list[str]] = [[""]]
    quoted = False
    for character in data.decode():
        quoted ^= character == '"'
        if character == "," and not quoted:
            records[-1].append("")
        elif character == "\n" and not quoted:
            records.append([""])
        else:
            records[-1][-1] += character
    return records[:-1] if records[-1] == [""] else records


def json_members(data: bytes) -> list[dict[str, str]]:
    """The rows of newline-delimited JSON: each member as it is written."""
    return [
        {name: bytes(value).decode() for name, value in _MEMBERS.decode(line).items()}
        for line in data.split(b"\n")
        if line
    ]


def avro_schema(data: bytes) -> dict[str, Any]:
    """The schema of an Avro file. Raises DocumentError."""
    header = read_header(data, "the file")
    if header is None:
        raise ValueError("the file ends within its header")
    schema: dict[str, Any] = json.loads(header.metadata["avro.schema"])
    return schema


def without_details(schema: Any) -> Any:
    """An Avro schema without descriptions and defaults."""
    if isinstance(schema, dict):
        return {key: without_details(value) for key, value in schema.items() if key not in ("doc", "default")}
    return [without_details(field) for field in schema] if isinstance(schema, list) else schema


def written(schema: Any) -> str:
    """A part of an Avro schema in one form."""
    return json.dumps(schema, sort_keys=True)


def footer(data: bytes) -> bytes:
    """The footer of a Parquet file, without its trailer. Raises DocumentError."""
    length = footer_bytes(data[-TRAILER_BYTES:], len(data), "the file")
    return data[-TRAILER_BYTES - length : -TRAILER_BYTES]


def parquet_metadata(data: bytes) -> dict[str, str]:
    """The keys and values in the footer of a Parquet file. Raises DocumentError."""
    key_values = thrift.decoded(footer(data), "the file").get(KEY_VALUES)
    pairs = key_values.value.values if key_values else []
    return {pair[1].value.decode(): pair[2].value.decode() if 2 in pair else "" for pair in pairs}


def parquet_types(data: bytes) -> dict[str, str]:
    """The type of each column of a Parquet file, in the words of docs/formats.md. Raises DocumentError."""
    elements = iter(thrift.decoded(footer(data), "the file")[thrift.SCHEMA].value.values)
    root = next(elements)
    return dict(_column(elements) for _ in range(root[thrift.CHILDREN].value))


def _column(elements: Iterator[Fields]) -> tuple[str, str]:
    element = next(elements)
    name = element[thrift.NAME].value.decode()
    children = _value(element, thrift.CHILDREN)
    if children is None:
        return name, _scalar(element)
    if _logical(element)[0] == thrift.LIST:
        # The middle of the three levels of a list, and what it holds.
        next(elements)
        inner = next(elements)
        required = "required" if _value(inner, thrift.REPETITION) == REQUIRED else "optional"
        return name, f"LIST of {required} {_scalar(inner)}"
    for _ in range(children):
        _column(elements)
    return name, "group"


def _scalar(element: Fields) -> str:
    number, parameters = _logical(element)
    physical = PHYSICAL[element[thrift.TYPE].value]
    logical = LOGICAL.get(number, "")
    if number == thrift.DECIMAL:
        logical = f"DECIMAL({_value(element, thrift.PRECISION)}, {_value(element, thrift.SCALE) or 0})"
    elif number in (thrift.TIME, thrift.TIMESTAMP):
        unit = next((UNITS[key] for key in parameters[2].value), "") if 2 in parameters else ""
        utc = str(bool(parameters[1].value)).lower() if 1 in parameters else "?"
        logical = f"{'TIME' if number == thrift.TIME else 'TIMESTAMP'}({unit}, isAdjustedToUTC = {utc})"
    return f"{physical}, {logical}" if logical else physical


def _logical(element: Fields) -> tuple[int, Fields]:
    union = _value(element, thrift.LOGICAL)
    if union:
        ((number, value),) = union.items()
        return number, value.value
    converted = _value(element, thrift.CONVERTED)
    return (thrift.LIST, {}) if converted == 3 else (thrift.CONVERTED_TO.get(converted, 0), {})


def _value(fields: Fields, number: int) -> Any:
    field: Value | None = fields.get(number)
    return field.value if field else None


def decoded(data: msgspec.Raw) -> Any:
    """A part of an answer."""
    return msgspec.json.decode(data)
