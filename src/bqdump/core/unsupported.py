"""Columns that a format cannot hold: told by name, before anything starts, with the formats that can."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from bqdump.core.errors import UsageError
from bqdump.core.fidelity import Unfit, formats_that_hold

SHOWN = 5


class Misfit(NamedTuple):
    """A table with the columns of it that its format cannot hold by its route."""

    table: str
    route: str
    format: str
    columns: list[Unfit]


def refuse(operation: str, misfits: Sequence[Misfit]) -> None:
    """Raise UsageError when there are any, naming columns, types and reasons, and the formats that hold them."""
    if not misfits:
        return
    named = "; ".join(f"{misfit.table}: {_columns(misfit.columns)}" for misfit in misfits[:SHOWN])
    more = f" and {len(misfits) - SHOWN} more tables" if len(misfits) > SHOWN else ""
    reasons = dict.fromkeys(found.reason for misfit in misfits for found in misfit.columns)
    columns = [found.column for misfit in misfits for found in misfit.columns]
    able = formats_that_hold(misfits[0].route, columns)
    hint = f"Use --format {_either(able)}, or leave the tables out with --exclude."
    raise UsageError(operation, f"format {misfits[0].format}", f"{', '.join(reasons)} ({named}{more})", hint)


def _columns(found: Sequence[Unfit]) -> str:
    more = f" and {len(found) - SHOWN} more columns" if len(found) > SHOWN else ""
    return ", ".join(f"{unfit.path} {unfit.type}" for unfit in found[:SHOWN]) + more


def _either(names: Sequence[str]) -> str:
    return " or ".join(filter(None, (", ".join(names[:-1]), names[-1])))
