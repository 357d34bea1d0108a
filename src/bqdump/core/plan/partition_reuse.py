"""Which partitions of a table that changed need not be exported again.

The published manifest has a look at each partition that was equal before the snapshot time at which its files were read
and after that. If the look after the snapshot time of this plan is equal, too, the files are those of this time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from bqdump.core.documents.manifest import PartitionEntry
from bqdump.core.documents.unchanged import Look, ReusedPartitions
from bqdump.core.plan.looks import PARTITIONS_EXPIRE
from bqdump.core.plan.published import Had, Published
from bqdump.core.plan.reuse import Seen, settings_differ, why_exported
from bqdump.core.risks import HIDING
from bqdump.core.settings.settings import Settings
from bqdump.core.tables.catalog import Partition
from bqdump.core.tables.repeatable import varying


def comparable(published: Published | None, seen: Seen, settings: Settings, snapshot: int) -> dict[str, PartitionEntry]:
    """The published partitions of a table that a look may prove unchanged, by id. snapshot: of the plan, in ms."""
    had = _had(published, seen)
    if published is None or had is None or not settings.incremental:
        return {}
    # A partition that expires is gone as a whole, so the others are as they were.
    if seen.obstacle not in ("", PARTITIONS_EXPIRE) or varying(seen.routed.shape) or varying(had.shape):
        return {}
    if had.read_at != "snapshot" or seen.routed.read_at != "snapshot":
        return {}
    if settings_differ(published, had, seen.routed, settings.frozen()):
        return {}
    if any(flag.table in (had.table, "") and flag.risk in HIDING for flag in published.flags):
        return {}
    oldest = snapshot - settings.full_after * 1000 if settings.full_after else None
    return {
        partition.id: partition
        for partition in had.partitions
        if partition.look and (oldest is None or published.origin_of(had, partition)[1] > oldest)
    }


def is_whole(published: Published | None, seen: Seen, settings: Settings, snapshot: int) -> bool:
    """Whether the complete table looks unchanged. snapshot: about that of the plan, in ms."""
    had = _had(published, seen)
    if published is None or had is None or not settings.incremental:
        return False
    return not why_exported(published, had, seen, settings.frozen(), settings.full_after, snapshot)


def seems_unchanged(entry: PartitionEntry | None, listed: Partition) -> bool:
    """Whether a listing, which proves nothing, shows a partition as it was: then it is looked at later."""
    look = entry.look if entry else None
    return look is not None and (look.rows, look.bytes, look.modified) == (listed.rows, listed.bytes, listed.modified)


def unchanged_partitions(
    entries: Mapping[str, PartitionEntry], looks: Mapping[str, Look | None]
) -> dict[str, PartitionEntry]:
    """Those of the partitions that looks after the snapshot time prove unchanged, by id."""
    return {id_: entries[id_] for id_, look in looks.items() if look and (had := entries[id_].look) and had.same(look)}


def reused_partitions(table: str, entries: Iterable[PartitionEntry]) -> ReusedPartitions:
    """The record of unchanged partitions of a table."""
    entries = sorted(entries, key=lambda entry: entry.id)
    return ReusedPartitions(
        table,
        tuple(entry.id for entry in entries),
        sum(entry.look.rows if entry.look else entry.planned_rows for entry in entries),
        sum(entry.look.bytes if entry.look else entry.planned_bytes for entry in entries),
        sum(entry.files for entry in entries),
    )


def _had(published: Published | None, seen: Seen) -> Had | None:
    name = seen.routed.table.name
    return next((table for table in published.tables if table.table == name), None) if published else None
