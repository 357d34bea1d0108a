"""The origin of a manifest's tables: when and with which settings each was exported, and phrases about many of them."""

from __future__ import annotations

from itertools import islice
from typing import Any

from bqdump.core.documents.manifest import Head, Manifest, TableEntry
from bqdump.core.sizes import counted


def settings_of(manifest: Head, entry: TableEntry) -> dict[str, Any]:
    """The settings with which a table of a manifest was exported."""
    return manifest.settings | entry.carried.settings if entry.carried else manifest.settings


def snapshot_of(manifest: Manifest, entry: TableEntry) -> int:
    """The time (ms) as of which a table of a manifest is: of an unchanged table, the manifest's snapshot time."""
    return entry.carried.as_of if entry.carried else manifest.snapshot


def read_time_of(manifest: Manifest, entry: TableEntry) -> int:
    """The time (ms) at which the files of a table of a manifest were read: the snapshot time of the run that did."""
    return entry.carried.snapshot if entry.carried else manifest.snapshot


def earlier_bytes(entry: TableEntry) -> int:
    """The bytes of a table's files that earlier runs exported. The manifests of these runs name them as well."""
    sizes = iter([file.size for file in entry.files])
    if entry.carried:
        return sum(sizes)
    parts = [(partition.carried, sum(islice(sizes, partition.files))) for partition in entry.partitions]
    return sum(size for carried, size in parts if carried)


def unchanged_tables(reused: int) -> str:
    """A phrase about tables that were not exported again; "" where there are none."""
    return f"{counted(reused, 'table')} unchanged since earlier runs" if reused else ""


def unchanged_parts(tables: int, partitions: int) -> str:
    """A phrase about tables and partitions that were not exported again; "" where there are none."""
    counts = [counted(count, word) for count, word in ((tables, "table"), (partitions, "partition")) if count]
    return f"{' and '.join(counts)} unchanged since earlier runs" if counts else ""


def mixed_times(carried: int, oldest_snapshot_time: str) -> str:
    """A phrase about tables that are older than their export; "" where none is."""
    if not carried:
        return ""
    return f"{counted(carried, 'table')} carried over from earlier runs, the oldest as of {oldest_snapshot_time}"
