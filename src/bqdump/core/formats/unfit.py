"""Which columns a format cannot hold, and why."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from bqdump.core.formats.fidelity import SERVER, cell
from bqdump.core.formats.types import Column

# The widest decimal of Iceberg. BIGNUMERIC without parameters has 76 digits in Parquet.
ICEBERG_DIGITS = 38
ICEBERG_WIDE = f"Iceberg's decimals have up to {ICEBERG_DIGITS} digits"


class Unfit(NamedTuple):
    """Why a format cannot hold a column. path: the member that it cannot hold, such as `shift.span`."""

    column: Column
    path: str
    type: str
    reason: str


def unfit(format_: str, route: str, columns: Iterable[Column], *, iceberg: bool = False) -> list[Unfit]:
    """The columns that a format cannot hold with a route, each with its first reason.

    iceberg: whether the files become Iceberg tables, which lack a type of Parquet.
    """
    found = []
    for column in columns:
        for path, type_, reason in _obstacles(format_, route, column, column.name, iceberg=iceberg):
            found.append(Unfit(column, path, type_, reason))
            break
    return found


def _obstacles(format_: str, route: str, column: Column, path: str, *, iceberg: bool) -> Iterator[tuple[str, str, str]]:
    for type_ in ("ARRAY", column.type) if column.repeated else (column.type,):
        found = cell(format_, route, type_)
        if found.holds == "no":
            yield path, column.text, found.lost
    if iceberg and route != "read" and column.type == "BIGNUMERIC" and _digits(column) > ICEBERG_DIGITS:
        yield path, column.text, ICEBERG_WIDE
    for member in column.fields:
        yield from _obstacles(format_, route, member, f"{path}.{member.name}", iceberg=iceberg)


def _digits(column: Column) -> int:
    """The precision of a BIGNUMERIC."""
    given = column.parameters.strip("()").partition(",")[0]
    return int(given) if given else 76


def formats_that_hold(route: str, columns: Sequence[Column]) -> list[str]:
    """The formats that can hold all of these columns."""
    return [format_ for format_ in SERVER if not unfit(format_, route, columns)]
