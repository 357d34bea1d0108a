"""Readings of a table, by which it is found unchanged, and what a plan reuses because of them.

What an export removes from the published one: tables, and partitions of tables.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from bqdump.core.documents.document import Count, RunId, Time
from bqdump.core.results import public
from bqdump.core.times import time_in


class Reading(msgspec.Struct, frozen=True, omit_defaults=True):
    """One reading of a table's metadata: what must be equal in two readings between which nothing changed.

    created, modified, rows, bytes: BigQuery's creationTime, lastModifiedTime, numRows and numBytes.
    schema, properties: fingerprints of its columns and of all other properties.
    by: a time of BigQuery's clock that is not before the reading, 0 where none was recorded.
    """

    created: Time
    modified: Time
    rows: Count
    bytes: Count
    schema: str
    properties: str
    by: Time = 0

    def same(self, other: Reading) -> bool:
        """Whether the two readings are equal, whenever they were taken."""
        return msgspec.structs.replace(self, by=0) == msgspec.structs.replace(other, by=0)


class Reused(msgspec.Struct, frozen=True, array_like=True):
    """A table that did not change: the export names the files of an earlier run again.

    run, snapshot: the run that exported them, and its snapshot time.
    rows, bytes: BigQuery's numbers.
    files: how many.
    partitions: the number that were exported by themselves.
    """

    table: str
    run: RunId
    snapshot: Time
    rows: Count
    bytes: Count
    files: Count
    partitions: Count = 0


class ReusedPartitions(msgspec.Struct, frozen=True, array_like=True):
    """Partitions of a table that did not change: the export names the files of earlier runs again.

    rows, bytes: BigQuery's numbers.
    files: how many.
    """

    table: str
    partitions: tuple[str, ...]
    rows: Count
    bytes: Count
    files: Count


# Why a table of the published export is not in the next one.
RemovalReason = Literal["excluded", "relabelled", "dropped", "dataset-empty", "skipped"]


@public
class Removed(msgspec.Struct, frozen=True):
    """A table that an export removes from the published one, and why.

    run, snapshot_time: of its last export.
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
