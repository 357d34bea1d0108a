"""What a value looks like in a file of each format: what docs/formats.md says, spelt out for the tests."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import datetime, time
from decimal import Decimal
from typing import Any

from formats.exports import Way
from formats.values import Kind, plain, wkb

Form = Callable[[Kind, Any], Any]


def text(value: Any) -> Any:
    """The text that CSV and JSON share; None stays what it is."""
    match value:
        case None | str():
            return value
        case bool():
            return str(value).lower()
        case bytes():
            return base64.b64encode(value).decode()
        case Decimal():
            return plain(value)
        case datetime() if value.tzinfo:
            return f"{_short(value.replace(tzinfo=None).isoformat(' '))} UTC"
        case int():
            return str(value)
        case float():
            return value
        case _:
            return _short(value.isoformat())


def in_csv(kind: Kind, value: Any) -> Any:
    """A field; NULL is an empty one."""
    return "" if value is None else text(value)


def in_json(kind: Kind, value: Any) -> Any:
    """A value of JSON; a member that is NULL is not there."""
    if kind.type == "JSON":
        return None if value is None else json.loads(value)
    return _in_json(value)


def _in_json(value: Any) -> Any:
    match value:
        case list():
            return [_in_json(item) for item in value]
        case dict():
            return {key: _in_json(item) for key, item in value.items() if item is not None}
        case bool():
            return value
        case float():
            words = {"inf": "Infinity", "-inf": "-Infinity", "nan": "NaN"}
            return words.get(repr(value), value)
        case _:
            return text(value)


def in_avro(kind: Kind, value: Any) -> Any:
    """A value as fastavro gives it by the logical types; DATETIME is text."""
    return _short(value.isoformat()) if kind.type == "DATETIME" and value is not None else value


def in_parquet(kind: Kind, value: Any) -> Any:
    """A value as pyarrow gives it: a TIMESTAMP has lost its zone, GEOGRAPHY is WKB."""
    if kind.type == "GEOGRAPHY" and value is not None:
        return wkb(value)
    return _without_zone(value)


def _without_zone(value: Any) -> Any:
    match value:
        case list():
            return [_without_zone(item) for item in value]
        case dict():
            return {key: _without_zone(item) for key, item in value.items()}
        case datetime():
            return value.replace(tzinfo=None)
        case _:
            return value


def _short(moment: str) -> str:
    """Without trailing zeros of the fraction."""
    return moment.rstrip("0").rstrip(".") if "." in moment else moment


def read_csv(kind: Kind, value: Any) -> Any:
    """A field that bqdump has written; NULL is an empty one, as far as these readers tell."""
    return "" if value is None else read_text(kind, value)


def read_json(kind: Kind, value: Any) -> Any:
    """A value of JSON that bqdump has written: numbers are text, and NULL is null."""
    match value:
        case list():
            return [read_json(kind, item) for item in value]
        case dict():
            return {key: read_json(kind, item) for key, item in value.items()}
        case bool():
            return value
        case _:
            return read_text(kind, value)


def read_text(kind: Kind, value: Any) -> Any:
    """The text that bqdump makes: fractions of seconds and NUMERIC have all their decimal places."""
    match value:
        case Decimal() if kind.type != "BIGNUMERIC":
            return f"{value:.{2 if '(' in kind.ddl else 9}f}"
        case datetime():
            moment = value.replace(tzinfo=None).isoformat(" " if value.tzinfo else "T", "microseconds")
            return f"{moment} UTC" if value.tzinfo else moment
        case time():
            return value.isoformat("microseconds")
        case _:
            return text(value)


def read_parquet(kind: Kind, value: Any) -> Any:
    """A value that bqdump has written: what Parquet has no type for is text."""
    return plain(value) if kind.type == "BIGNUMERIC" and value is not None else value


FORMS: dict[str, Form] = {"csv": in_csv, "json": in_json, "avro": in_avro, "parquet": in_parquet}
READ_FORMS: dict[str, Form] = {"csv": read_csv, "json": read_json, "parquet": read_parquet}


def form(way: Way) -> Form:
    """What a value looks like in files that are made this way."""
    return (READ_FORMS if way.route == "read" else FORMS)[way.format]


def read(way: Way, reader: str, kind: Kind, value: Any) -> Any:
    """A value as a reader gave it, where readers of one format differ.

    DuckDB sees a TIME's isAdjustedToUTC, and gives -0 of JSON, which has no point, no sign.
    """
    if (way.format, reader, kind.type) == ("parquet", "duckdb", "TIME") and value is not None:
        return value.replace(tzinfo=None)
    texts = way.format == "csv" or (way.route, way.format) == ("read", "json")
    # A whole number of JSON has no point.
    if kind.type == "FLOAT64" and (isinstance(value, int) or (texts and value)):
        return -0.0 if (reader, value) == ("duckdb", 0) else float(value)
    return value


def same(actual: Any, expected: Any) -> bool:
    """Equal in type and value, NaN to NaN, and -0.0 to no other zero; numbers of equal value are equal."""
    match expected:
        case float():
            return isinstance(actual, float) and repr(actual) == repr(expected)
        case list():
            return isinstance(actual, list) and len(actual) == len(expected) and all(map(same, actual, expected))
        case dict():
            return isinstance(actual, dict) and actual.keys() == expected.keys() and all(
                same(actual[key], expected[key]) for key in expected
            )  # fmt: skip
        case _:
            return type(actual) is type(expected) and bool(actual == expected)
