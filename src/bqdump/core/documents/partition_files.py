"""The files of each partition of a table that was exported by partition."""

from __future__ import annotations

from collections.abc import Iterator

from bqdump.core.documents.manifest import File, PartitionEntry, TableEntry


def files_by_partition(entry: TableEntry) -> Iterator[tuple[PartitionEntry, tuple[File, ...]]]:
    """Each partition of an entry with its files, in their order; nothing for a table that was exported as one."""
    first = 0
    for partition in entry.partitions:
        yield partition, entry.files[first : first + partition.files]
        first += partition.files
