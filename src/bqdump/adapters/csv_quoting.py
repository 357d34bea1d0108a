"""CSV values in quotes where they contain the delimiter or could be read as NULL.

Polars quotes strings that contain the delimiter, but not numbers, dates and times that do, nor strings that equal the
NULL marker. Where that can happen, all quotes are written here, and polars adds none.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from bqdump.adapters.presentation import DATETIME, TIME, presented
from bqdump.core.formats.types import Column
from bqdump.ports.encoder import FileShape

DIGITS = "0123456789"
# The characters of values that polars never quotes, by type. Values of other types are strings.
CHARACTERS: dict[str, frozenset[str]] = {
    "INT64": frozenset(f"{DIGITS}-"),
    "FLOAT64": frozenset(f"{DIGITS}+-.einfNa"),
    "NUMERIC": frozenset(f"{DIGITS}-."),
    "BOOL": frozenset("truefals"),
    "DATE": frozenset(f"{DIGITS}-"),
    "TIME": frozenset(f"{DIGITS}:."),
    "DATETIME": frozenset(f"{DIGITS}-:.T"),
}
BARE = frozenset[str]().union(*CHARACTERS.values())


def by_polars(shape: FileShape) -> bool:
    """Whether polars quotes every value that needs quotes."""
    return not shape.null_marker and shape.delimiter not in BARE


def quoted(shape: FileShape) -> list[pl.Expr]:
    """The columns of a CSV file, with quotes around the names and values that need them."""
    names = [column.name for column in shape.columns]
    values = zip(shape.columns, presented(shape.columns, shape.format), strict=True)
    made = [_quoted(_text(value, column), shape) if _needs(column, shape) else value for column, value in values]
    return [value.alias(name) for value, name in zip(made, _header(names, shape), strict=True)]


def _needs(column: Column, shape: FileShape) -> bool:
    """Whether a value of this column may need quotes."""
    characters = CHARACTERS.get(column.type)
    if characters is None or shape.delimiter in characters:
        return True
    return bool(shape.null_marker) and characters.issuperset(shape.null_marker)


def _text(value: pl.Expr, column: Column) -> pl.Expr:
    """The value as polars writes it to CSV."""
    match column.type:
        case "DATETIME":
            return value.dt.to_string(DATETIME)
        case "TIME":
            return value.dt.to_string(TIME)
        case _:
            return value.cast(pl.String)


def _quoted(text: pl.Expr, shape: FileShape) -> pl.Expr:
    # Without quotes an empty string would be an empty field, which is NULL by default.
    special = text.str.contains_any([shape.delimiter, '"', "\n", "\r"]) | text.is_in(["", shape.null_marker])
    inner = text.str.replace_all('"', '""', literal=True)
    return pl.when(special).then(pl.concat_str(pl.lit('"'), inner, pl.lit('"'))).otherwise(text)


def _header(names: Sequence[str], shape: FileShape) -> list[str]:
    return [
        '"' + name.replace('"', '""') + '"' if any(mark in name for mark in (shape.delimiter, '"')) else name
        for name in names
    ]
