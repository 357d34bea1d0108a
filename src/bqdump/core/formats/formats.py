"""The file formats and codecs of an extract job, and what their files are called.

Source: https://cloud.google.com/bigquery/docs/exporting-data#export_formats_and_compression_types

Which columns a format cannot hold, and why.

The values that a format does not bring back as they are, by column: a restore makes other ones of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from msgspec import Struct

from bqdump.core.formats.fidelity import CELLS, SERVER, cell
from bqdump.core.formats.types import Column


class Format(Struct, frozen=True):
    """One file format: BigQuery's name for it, the extension, its codecs."""

    api: str
    extension: str
    codecs: tuple[str, ...]


FORMATS: dict[str, Format] = {
    "csv": Format("CSV", "csv", ("none", "gzip")),
    "json": Format("NEWLINE_DELIMITED_JSON", "json", ("none", "gzip")),
    "avro": Format("AVRO", "avro", ("none", "deflate", "snappy")),
    "parquet": Format("PARQUET", "parquet", ("none", "snappy", "gzip", "zstd")),
}
ALIASES = {"newline_delimited_json": "json", "ndjson": "json", "jsonl": "json"}


def codecs(route: str, format_: str) -> tuple[str, ...]:
    """The codecs of a format by a route: EXPORT DATA has no ZSTD.

    Source: https://cloud.google.com/bigquery/docs/reference/standard-sql/export-statements#gcs_s3_export_option
    """
    return tuple(codec for codec in FORMATS[format_].codecs if (route, codec) != ("query", "zstd"))


def extension(format_: str, codec: str) -> str:
    """The extension of a file, without a leading dot; text files that are compressed say so."""
    text = format_ in ("csv", "json")
    return FORMATS[format_].extension + (".gz" if text and codec == "gzip" else "")


# The widest decimal of Iceberg. BIGNUMERIC without parameters has 76 digits in Parquet.
ICEBERG_DIGITS = 38
ICEBERG_WIDE = f"Iceberg's decimals have up to {ICEBERG_DIGITS} digits"


class Unfit(Struct, frozen=True):
    """Why a format cannot hold a column. path: the member that it cannot hold, such as `shift.span`."""

    column: Column
    path: str
    type: str
    reason: str


def unfit(format_: str, route: str, columns: Iterable[Column], *, iceberg: bool = False) -> list[Unfit]:
    """The columns that a format cannot hold with a route, each with its first reason.

    iceberg: whether the files become Iceberg tables, which lack a type of Parquet.
    """
    misfits = []
    for column in columns:
        for path, type_, reason in _obstacles(format_, route, column, column.name, iceberg=iceberg):
            misfits.append(Unfit(column, path, type_, reason))
            break
    return misfits


def _obstacles(format_: str, route: str, column: Column, path: str, *, iceberg: bool) -> Iterator[tuple[str, str, str]]:
    for type_ in ("ARRAY", column.type) if column.repeated else (column.type,):
        rule = cell(format_, route, type_)
        if rule.holds == "no":
            yield path, column.text, rule.lost
    if iceberg and route != "read" and column.type == "BIGNUMERIC" and _digits(column) > ICEBERG_DIGITS:
        yield path, column.text, ICEBERG_WIDE
    for member in column.fields:
        yield from _obstacles(format_, route, member, f"{path}.{member.name}", iceberg=iceberg)


def _digits(column: Column) -> int:
    """The precision of a BIGNUMERIC."""
    precision = column.parameters.strip("()").partition(",")[0]
    return int(precision) if precision else 76


def formats_that_hold(tables: Sequence[tuple[str, Sequence[Column]]]) -> list[str]:
    """The formats that can hold all columns of all these tables, each of which has a route."""
    return [format_ for format_ in SERVER if not any(unfit(format_, route, columns) for route, columns in tables)]


# What a string of JSON (see statements.as_text) writes alike, by type; of JSON only where NULL is possible.
IN_TEXTS = {"JSON": "a JSON null becomes NULL", "FLOAT64": "-0.0 becomes 0.0"}


class Altered(NamedTuple):
    """A column, or a member of one such as `shift.note`, and what may become of its values."""

    path: str
    type: str
    change: str


def altered_types(format_: str, route: str) -> frozenset[str]:
    """The types of which a format with a route writes two values alike, so that no comparison can tell them apart."""
    return frozenset(type_ for type_, rule in CELLS.get(route, SERVER)[format_].items() if rule.altered)


def altered(format_: str, route: str, columns: Iterable[Column]) -> Iterator[Altered]:
    """The columns that may hold values which a restore from this format brings back as other ones."""
    for column in columns:
        yield from _below(format_, route, column, column.name)


def altered_as_texts(columns: Iterable[Column]) -> Iterator[Altered]:
    """The same for columns that are exported as strings."""
    for column in columns:
        nested = _members(column, column.name) if column.fields else [(column.name, column)] * column.repeated
        for path, member in nested:
            never_null = member.type == "JSON" and (member.required or member.repeated)
            if member.type in IN_TEXTS and not never_null:
                yield Altered(path, member.text, IN_TEXTS[member.type])


def _below(format_: str, route: str, column: Column, path: str) -> Iterator[Altered]:
    rule = cell(format_, route, column.type)
    # Where there is no NULL, what reads like it can be one value only.
    exact = bool(rule.null) and (column.required or column.repeated)
    if rule.altered and not exact:
        yield Altered(path, column.text, rule.altered)
    for member in column.fields:
        yield from _below(format_, route, member, f"{path}.{member.name}")


def _members(column: Column, path: str) -> Iterator[tuple[str, Column]]:
    for member in column.fields:
        yield f"{path}.{member.name}", member
        yield from _members(member, f"{path}.{member.name}")
