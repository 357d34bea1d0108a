"""What an export removes from the published one: tables, and partitions of tables."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from bqdump.core.documents.fields import Count, RunId
from bqdump.core.results import public
from bqdump.core.times import time_in

# Why a table of the published export is not in the next one.
RemovalReason = Literal["excluded", "dropped", "dataset-empty", "skipped"]


@public
class Removed(msgspec.Struct, frozen=True):
    """A table that an export removes from the published one, and why. run, snapshot_time: of its last export.

    rows: of its last export, as exported where that is known, else as planned; None where that export failed.
    """

    table: str
    reason: RemovalReason
    run: RunId
    snapshot_text: str = msgspec.field(name="snapshot_time")
    rows: Count | None

    @property
    def snapshot_time(self) -> datetime | None:
        """The snapshot time of that run."""
        return time_in(self.snapshot_text)


PartitionReason = Literal["expired", "dropped"]


@public
class RemovedPartitions(msgspec.Struct, frozen=True):
    """Partitions that an export removes from a table of the published one, and why. run, snapshot_time: of that table.

    rows: of these partitions, as exported where that is known, else as planned.
    """

    table: str
    reason: PartitionReason
    partitions: tuple[str, ...]
    run: RunId
    snapshot_text: str = msgspec.field(name="snapshot_time")
    rows: Count | None
