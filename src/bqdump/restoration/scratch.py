"""Scratch tables, in which rows are compared before a table has them, and what counts the rows of a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from bqdump.core.restore.names import LABEL, id_of
from bqdump.core.sizes import counted
from bqdump.restoration.jobs import ROWS, FailedJobError, TableWork, labels_of, taken_over

# A scratch table that was forgotten disappears after so long, in milliseconds.
SCRATCH_MS = 3 * 24 * 60 * 60 * 1000
# Properties of a table that BigQuery may refuse.
REFUSABLE = ("schema", "tableConstraints")


async def create_scratch(work: TableWork, of: str, definition: msgspec.Raw) -> str:
    """Create a scratch table of this attempt, unless an earlier start of it has. Returns its name."""
    restore, name = work.restore, work.scratch(of)
    now = await restore.destination.now(restore.target.location)
    body = msgspec.json.decode(definition) | {"expirationTime": str(now + SCRATCH_MS)}
    body["labels"] = {LABEL: restore.mark}
    work.made.append(name)
    await restore.destination.create_table(restore.target, name, raw(body))
    # The dataset's default would delete old partitions, also of a scratch table.
    lasting = msgspec.json.decode(work.step.lasting) or {}
    if partitioning := "timePartitioning" in body and lasting.get("timePartitioning"):
        await restore.destination.change_table(restore.target, name, raw({"timePartitioning": partitioning}))
    return name


def refusable(work: TableWork) -> dict[str, Any]:
    """Default values and keys, which BigQuery may refuse; {} without any."""
    finish = msgspec.json.decode(work.step.finish) or {}
    return {name: finish[name] for name in REFUSABLE if name in finish}


async def try_properties(work: TableWork, name: str) -> None:
    """Set default values and keys of a scratch table, before there is a table with the name of the export."""
    if properties := refusable(work):
        await work.restore.destination.change_table(work.restore.target, name, raw(properties))


async def counted_rows(work: TableWork, name: str, filled: int | None) -> int:
    """The rows of a table. Raises FailedJobError if they are not those that jobs report, or not the export's.

    filled: None where no job of this start has reported any.
    """
    table = await work.restore.destination.table(work.restore.target, name)
    if table is None:
        raise FailedJobError(work.name, "notFound", f"{name} disappeared from the target while it was restored")
    holder = labels_of(table).get(LABEL, work.restore.mark)
    if holder != work.restore.mark:
        raise taken_over(work.name, id_of(holder))
    filled = table.rows if filled is None else filled
    if table.rows != filled:
        there = f"{counted(table.rows, 'row')} instead of the {filled:,} loaded"
        cause = f"{name} has {there}: it was changed meanwhile, or has expired"
        raise FailedJobError(work.name, ROWS, cause)
    if difference := other_rows(work, filled):
        raise FailedJobError(work.name, ROWS, difference)
    return filled


def other_rows(work: TableWork, loaded: int) -> str:
    """How a number of rows differs from that of the export; "" if it does not, or the export's is not known."""
    entry = work.step.entry
    expected = entry.rows if entry.rows is not None else entry.expected_rows
    if expected is None or loaded == expected:
        return ""
    return f"{counted(loaded, 'row')} {'was' if loaded == 1 else 'were'} loaded, and the export has {expected:,}"


def raw(body: Mapping[str, Any]) -> msgspec.Raw:
    """A resource as JSON."""
    return msgspec.Raw(msgspec.json.encode(body))
