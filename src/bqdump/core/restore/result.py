"""The result of a restore: stored when it is complete, printed as JSON, returned by the Python API.

Sizes are bytes, counts are rows or files.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import msgspec

from bqdump.core.restore.plan import Action, NotRestored
from bqdump.core.results import Result, public, rows_of


@public
class RestoredTable(msgspec.Struct, frozen=True, kw_only=True):
    """A table that is restored.

    action: "create", "replace", or "keep" for one that was there already. expected_rows: the export's rows, None where
    the manifest does not have them. bytes, files: of its files. how: how its rows were loaded. as_what: how it differs
    from the exported table, such as "columns are masked"; "" where it does not. seconds: of its jobs.
    """

    table: str
    action: Action
    rows: int | None
    expected_rows: int | None
    files: int
    bytes: int
    bytes_billed: int = 0
    seconds: float = 0.0
    how: str = ""
    as_what: str = ""


@public
class RestoredObject(msgspec.Struct, frozen=True):
    """A view, routine, index or row access policy that is restored."""

    name: str
    kind: str


@public
class NotCreated(msgspec.Struct, frozen=True):
    """A table or object that could not be restored, and BigQuery's reason and message."""

    name: str
    kind: str
    reason: str
    message: str


@public
class Restoration(Result, frozen=True, kw_only=True):
    """How a task of a restore ended.

    state: `restored`; `incomplete`: some tables or objects failed, and the same command tries them again; `running`:
    other tasks are still at work, so the numbers are not complete. not_restored: what the export cannot restore, or
    was not asked for. verified: the tables whose checksums were compared with the files; None unless requested.
    """

    restore: str
    run: str
    state: Literal["restored", "incomplete", "running"]
    snapshot_time: datetime
    project: str
    dataset: str
    location: str
    tables: tuple[RestoredTable, ...]
    objects: tuple[RestoredObject, ...]
    failed: tuple[NotCreated, ...]
    not_restored: tuple[NotRestored, ...]
    rows: int
    bytes: int
    bytes_billed: int
    verified: int | None = None

    def to_dicts(self) -> list[dict[str, Any]]:
        """The tables as dictionaries, for `pandas.DataFrame` or `polars.DataFrame`."""
        return rows_of(self.tables)
