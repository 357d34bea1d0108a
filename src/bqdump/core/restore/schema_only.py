"""Definitions alone: tables are as in the source, and empty."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from bqdump.core.documents.manifest import TableEntry
from bqdump.core.errors import UsageError
from bqdump.core.restore.plan import Load, TableStep
from bqdump.core.restore.values import TODAY, Restored, restored_columns
from bqdump.core.sizes import named
from bqdump.core.tables.catalog import WHOLE, Dataset

PLAN = "plan the restore"
SHOWN = 3
EMPTY = "without its rows"


def without_rows(entry: TableEntry) -> TableEntry:
    """The table as if it had been exported empty, and with all of its columns."""
    return msgspec.structs.replace(
        entry, files=(), partitions=(), rows=0, expected_rows=0, planned_rows=0, planned_bytes=0, shape=WHOLE
    )


def columns_of(entry: TableEntry) -> Restored:
    """The columns of a table without rows."""
    restored = restored_columns(entry)
    return restored._replace(notes=(EMPTY, *(note for note in restored.notes if note != TODAY)))


def unloaded(load: Load) -> Load:
    """The load of a table without rows, for which no query is made."""
    return msgspec.structs.replace(load, casts="", like_null="")


def refuse_emptied(tables: Iterable[TableStep], begun: Iterable[str], into: Dataset) -> None:
    """Raise UsageError for tables that exist: they would lose their rows. begun: those that a restore has left."""
    left = set(begun)
    emptied = [step.name for step in tables if step.action == "replace" and step.name not in left]
    if emptied:
        cause = f"{named(emptied, SHOWN, 'table')} would be replaced by tables without rows"
        hint = "Leave them out with {setting:exclude}, keep them with {setting:missing_only}, or delete them first."
        raise UsageError(PLAN, f"{into.project}.{into.name}", cause, hint, setting="replace")
