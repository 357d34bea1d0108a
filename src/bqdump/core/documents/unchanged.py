"""Looks at a table, by which it is found unchanged, and what a plan reuses because of them."""

from __future__ import annotations

import msgspec

from bqdump.core.documents.fields import Count, RunId, Time


class Look(msgspec.Struct, frozen=True, omit_defaults=True):
    """One reading of a table's metadata: what must be equal in two readings between which nothing changed.

    created, modified, rows, bytes: BigQuery's creationTime, lastModifiedTime, numRows and numBytes. schema, properties:
    fingerprints of its columns and of all other properties. by: a time of BigQuery's clock that is not before the
    reading, 0 where none was recorded.
    """

    created: Time
    modified: Time
    rows: Count
    bytes: Count
    schema: str
    properties: str
    by: Time = 0

    def same(self, other: Look) -> bool:
        """Whether the two readings are equal, whenever they were taken."""
        return msgspec.structs.replace(self, by=0) == msgspec.structs.replace(other, by=0)


class Reused(msgspec.Struct, frozen=True, array_like=True):
    """A table that did not change: the export names the files of an earlier run again.

    run, snapshot: the run that exported them, and its snapshot time. rows, bytes: BigQuery's numbers. files: how many.
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

    rows, bytes: BigQuery's numbers. files: how many.
    """

    table: str
    partitions: tuple[str, ...]
    rows: Count
    bytes: Count
    files: Count
