"""The files of each partition of a table that was exported by partition."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from bqdump.core.documents.manifest import File, PartitionEntry


class HasPartitions(Protocol):
    """An entry of a manifest, or the part of it that planning reads."""

    @property
    def files(self) -> tuple[File, ...]:
        """All files, partition by partition."""

    @property
    def partitions(self) -> tuple[PartitionEntry, ...]:
        """The partitions, in the order of their files."""


def files_by_partition(entry: HasPartitions) -> Iterator[tuple[PartitionEntry, tuple[File, ...]]]:
    """Each partition of an entry with its files, in their order; nothing for a table that was exported as one."""
    first = 0
    for partition in entry.partitions:
        yield partition, entry.files[first : first + partition.files]
        first += partition.files
