"""Columns that a format cannot hold.

By default they refuse the run, and the error names them and the formats that can hold them. With --on-unsupported they
are left out, or exported as strings; plan and manifest name them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from bqdump.core.errors import UsageError
from bqdump.core.formats.types import Column
from bqdump.core.formats.unfit import ICEBERG_WIDE, Unfit, formats_that_hold, unfit
from bqdump.core.sizes import named
from bqdump.core.tables.catalog import Shape
from bqdump.core.tables.partitioning import partition_times

SHOWN = 5
POLICIES = ("fail", "skip", "string")


def fitted(
    policy: str, format_: str, route: str, columns: Sequence[Column], shape: Shape, *, iceberg: bool = False
) -> Shape:
    """The shape with which a format can hold a table, by one of POLICIES; "fail" returns the shape unchanged."""
    if policy == "fail":
        return shape
    found = unfit(format_, route, as_they_are(columns, shape), iceberg=iceberg)
    reasons = {unfit.column.name: f"{unfit.path} {unfit.type}: {unfit.reason}" for unfit in found}
    if not reasons:
        return shape
    if policy == "skip":
        return msgspec.structs.replace(shape, left_out=reasons)
    return msgspec.structs.replace(shape, texts=reasons)


def as_they_are(columns: Iterable[Column], shape: Shape) -> list[Column]:
    """The columns that are exported with their own values and types."""
    changed = {*shape.left_out, *shape.texts, *shape.masks}
    chosen = [column for column in columns if not shape.columns or column.name in shape.columns]
    return [column for column in chosen if column.name not in changed]


def exported(columns: Iterable[Column], shape: Shape) -> tuple[Column, ...]:
    """The columns of a table's files, in their order. A masked column has no type."""
    by_name = {column.name: column for column in columns}
    own = (
        Column(name, "") if name in shape.masks else Column(name, "STRING") if name in shape.texts else by_name[name]
        for name in shape.columns or by_name
        if name not in shape.left_out and name in by_name
    )
    return (*own, *([partition_times(shape.partition_times)] if shape.partition_times else []))


class Misfit(NamedTuple):
    """A table and its columns that its format cannot hold with its route."""

    table: str
    route: str
    format: str
    columns: list[Unfit]


def refuse(operation: str, misfits: Sequence[Misfit]) -> None:
    """Raise UsageError where there are any. It names columns, types and reasons, and the formats that hold them."""
    if not misfits:
        return
    tables = named([f"{misfit.table}: {_columns(misfit.columns)}" for misfit in misfits], SHOWN, "table", "; ")
    reasons = dict.fromkeys(found.reason for misfit in misfits for found in misfit.columns)
    columns = [found.column for misfit in misfits for found in misfit.columns]
    able = formats_that_hold(misfits[0].route, columns)
    cause, setting = f"{', '.join(reasons)} ({tables})", "format"
    other = f"Set {{setting:format}} to {_either(able)}"
    if ICEBERG_WIDE in reasons:
        other, setting = "Use the read route, which writes them as strings, or set", "iceberg"
        hint = (
            f"{other} {{setting:on_unsupported}} to skip or string, or leave the tables out with {{setting:exclude}}."
        )
        raise UsageError(operation, "", cause, hint, setting=setting)
    hint = f"{other}, {{setting:on_unsupported}} to skip or string, or leave the tables out with {{setting:exclude}}."
    raise UsageError(operation, misfits[0].format, cause, hint, setting=setting)


def _columns(found: Sequence[Unfit]) -> str:
    return named([f"{unfit.path} {unfit.type}" for unfit in found], SHOWN, "column")


def _either(names: Sequence[str]) -> str:
    return " or ".join(filter(None, (", ".join(names[:-1]), names[-1])))
