"""The part of the published manifest that planning compares with: its tables, and what their files were made from."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec

from bqdump.core.documents.fields import FORMAT_VERSION, Count, Mode, ReadAt, RunId, Time
from bqdump.core.documents.manifest import Carried, File, PartitionEntry
from bqdump.core.documents.removed import RemovalReason, Removed
from bqdump.core.documents.run import Flag
from bqdump.core.documents.unchanged import Look
from bqdump.core.tables.shape import WHOLE, Shape


class Had(msgspec.Struct, frozen=True):
    """A table of the published export; see TableEntry. An entry of `left` has a name and files only."""

    table: str
    kind: str = ""
    route: str = ""
    planned_rows: Count | None = None
    planned_bytes: Count = 0
    rows: Count | None = None
    files: tuple[File, ...] = ()
    read_at: ReadAt = "snapshot"
    format: str = ""
    compression: str = ""
    shape: Shape = WHOLE
    carried: Carried | None = None
    look: Look | None = None
    look_before: Look | None = None
    partitions: tuple[PartitionEntry, ...] = ()


class Published(msgspec.Struct, frozen=True):
    """The published manifest, without definitions."""

    run: RunId
    snapshot: Time
    snapshot_time: str
    mode: Mode
    tables: tuple[Had, ...]
    left: tuple[Had, ...]
    format_version: int = FORMAT_VERSION
    project: str = ""
    dataset: str = ""
    tool: str = ""
    settings: dict[str, Any] = {}
    flags: tuple[Flag, ...] = ()

    @property
    def age(self) -> tuple[int, str]:
        """Orders runs: the later snapshot time wins, the run id breaks a tie."""
        return (self.snapshot, self.run)

    def without(self, tables: Collection[str]) -> dict[str, Had]:
        """Its tables by name, except these."""
        return {had.table: had for had in (*self.left, *self.tables) if had.table not in tables}

    def removed(self, had: Had, reason: RemovalReason) -> Removed:
        """The record of one of its tables that the next export does not have."""
        of = had.carried or self
        return Removed(had.table, reason, of.run, of.snapshot_time, had.planned_rows if had.rows is None else had.rows)

    def origin(self, had: Had) -> tuple[str, int]:
        """The run that exported a table, and its snapshot time: when the content was read."""
        of = had.carried or self
        return of.run, of.snapshot

    def origin_of(self, had: Had, partition: PartitionEntry) -> tuple[str, int]:
        """The run that exported a partition, and its snapshot time."""
        return (partition.carried.run, partition.carried.snapshot) if partition.carried else self.origin(had)

    def settings_of(self, had: Had) -> dict[str, Any]:
        """The settings with which a table was exported."""
        return self.settings | had.carried.settings if had.carried else self.settings
