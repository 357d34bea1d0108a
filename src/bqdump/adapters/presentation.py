"""Columns as a file format contains them: polars expressions that convert from Arrow.

Values look as in BigQuery's own exports wherever polars supports that; docs/formats.md lists the differences.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import polars as pl

from bqdump.adapters.wide_values import bignumeric_text, interval_text
from bqdump.core.formats.types import Column

DATETIME, TIME = "%Y-%m-%dT%H:%M:%S%.6f", "%H:%M:%S%.6f"
TIMESTAMP = "%Y-%m-%d %H:%M:%S%.6f UTC"
BIGNUMERIC_SCALE = 38


def presented(columns: Sequence[Column], format_: str) -> list[pl.Expr]:
    """The columns of a file of this format, in order."""
    made = []
    for column in columns:
        value = pl.col(column.name)
        shown = _shown(value, column, format_)
        made.append(value if shown is None else shown.alias(column.name))
    return made


def _shown(value: pl.Expr, column: Column, format_: str) -> pl.Expr | None:
    """The value as the file contains it; None if it needs no conversion."""
    if column.repeated:
        element = Column("", column.type, fields=column.fields, parameters=column.parameters, element=column.element)
        shown = _shown(pl.element(), element, format_)
        return None if shown is None else value.list.eval(shown)
    if column.type == "STRUCT":
        return _struct(value, column, format_)
    return _scalar(value, column, format_)


def _struct(value: pl.Expr, column: Column, format_: str) -> pl.Expr | None:
    members, changed = [], False
    for member in column.fields:
        inner = value.struct.field(member.name)
        shown = _shown(inner, member, format_)
        changed = changed or shown is not None
        members.append((inner if shown is None else shown).alias(member.name))
    return pl.when(value.is_not_null()).then(pl.struct(members)) if changed else None


def _scalar(value: pl.Expr, column: Column, format_: str) -> pl.Expr | None:
    match column.type:
        case "BIGNUMERIC":
            scale = _scale(column)
            return _text(value, lambda series: bignumeric_text(series, scale))
        case "INTERVAL":
            return _text(value, interval_text)
        case "RANGE":
            return _range(value, column.element)
        case "BYTES" if format_ != "parquet":
            return value.bin.encode("base64")
        case "TIMESTAMP" if format_ != "parquet":
            return value.dt.to_string(TIMESTAMP)
        case "DATETIME" | "TIME" if format_ == "json":
            return value.dt.to_string(DATETIME if column.type == "DATETIME" else TIME)
        case "INT64" | "FLOAT64" if format_ == "json":
            # JSON has no infinity and no NaN, and many readers limit numbers to 53 bits.
            return value.cast(pl.String)
        case _:
            return None


def _text(value: pl.Expr, made: Callable[[pl.Series], pl.Series]) -> pl.Expr:
    """Apply a function to the values. It is declared elementwise, so that polars does not collect all frames first."""
    return value.map_batches(made, pl.String, is_elementwise=True)


def _scale(column: Column) -> int:
    if not column.parameters:
        return BIGNUMERIC_SCALE
    _, _, scale = column.parameters.strip("()").partition(",")
    return int(scale or 0)


def _range(value: pl.Expr, element: str) -> pl.Expr:
    start, end = (_end(value.struct.field(name), element).fill_null("UNBOUNDED") for name in ("start", "end"))
    text = pl.concat_str(pl.lit("["), start, pl.lit(", "), end, pl.lit(")"))
    return pl.when(value.is_not_null()).then(text)


def _end(value: pl.Expr, element: str) -> pl.Expr:
    """The fraction without trailing zeros, as CAST prints it."""
    if element == "DATE":
        return value.dt.to_string("%Y-%m-%d")
    text = value.dt.to_string("%Y-%m-%dT%H:%M:%S%.6f" if element == "DATETIME" else "%Y-%m-%d %H:%M:%S%.6f")
    short = text.str.strip_chars_end("0").str.strip_chars_end(".")
    return short if element == "DATETIME" else short + "+00"
