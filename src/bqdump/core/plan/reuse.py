"""Which tables need not be exported again: the files of the published export are those of an unchanged table.

Three looks must be equal: one from before the time at which the files were read, one from after it, and that of this
plan. Between equal looks the table did not change, so the files hold what it has at this plan's snapshot time.

The manifest entries of unchanged tables: taken from the manifest that planning has compared with.

Where files are replaced, another run may have been published since and have replaced those of an unchanged table by
equal ones. Then its entry is taken, if its looks prove the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from msgspec.structs import replace

from bqdump.core.documents.changes import way_of
from bqdump.core.documents.fingerprints import way
from bqdump.core.documents.manifest import File, Manifest, PartitionEntry, TableEntry
from bqdump.core.documents.manifest_index import settings_of
from bqdump.core.documents.run import Plan
from bqdump.core.documents.unchanged import Look, Reused, ReusedPartitions
from bqdump.core.documents.units import files_by_partition
from bqdump.core.plan.looks import Had, Published, difference
from bqdump.core.plan.removal import PartitionFiles, carried
from bqdump.core.plan.routes import Routed
from bqdump.core.risks import HIDING
from bqdump.core.settings.settings import Settings
from bqdump.core.sizes import counted
from bqdump.core.tables.catalog import varying
from bqdump.core.version import VERSION

NOTHING_PUBLISHED = "nothing is published yet"
NOT_PUBLISHED = "not in the published export"
FIRST_LOOK_MISSING = "no reading from before its last export"
# Tables that change once a week are among those that changed within this time.
LATELY_MS = 8 * 86_400 * 1000
# Far more than the clocks of BigQuery's servers are apart.
CLOCKS_DIFFER_MS = 60_000
# Other settings that files depend on, by name.
OF_FILES = ("path", "prefix", "kms_key")


class Seen(NamedTuple):
    """A table, or a partition of one, as a plan would export it. obstacle: why looks at it prove nothing, else ""."""

    routed: Routed
    look: Look | None
    obstacle: str = ""


class Reuse(NamedTuple):
    """A table that did not change, and the published entry whose files hold it."""

    reused: Reused
    files: tuple[File, ...]


def decide(
    published: Published | None, seen: Iterable[Seen], settings: Settings, snapshot: int
) -> tuple[dict[str, Reuse], dict[str, str]]:
    """The tables whose files may be named again, and for each other one why it is exported; both by table.

    published: the export of the same dataset that is older than the plan. snapshot: the plan's snapshot time (ms).
    Whether the files still exist is up to the caller.
    """
    had = {entry.table: entry for entry in published.tables} if published else {}
    reuse: dict[str, Reuse] = {}
    reasons: dict[str, str] = {}
    frozen = settings.frozen()
    for fingerprint in seen:
        table = fingerprint.routed.table
        before = had.get(table.name)
        if published is None or before is None:
            left = published and any(item.table == table.name for item in published.left)
            absent = "its last export failed" if left else NOT_PUBLISHED if published else NOTHING_PUBLISHED
            reasons[table.name] = fingerprint.obstacle or absent
        elif reason := why_exported(published, before, fingerprint, frozen, settings.full_after, snapshot):
            reasons[table.name] = reason
        else:
            reuse[table.name] = reuse_of(published, before, table.rows, table.bytes)
    return reuse, reasons


def reuse_of(published: Published, had: Had, rows: int, bytes_: int) -> Reuse:
    """The files of a table of the published export, named again."""
    of, files, partitions = published.origin(had), len(had.files), len(had.partitions)
    return Reuse(Reused(had.table, *of, rows, bytes_, files, partitions), had.files)


def why_exported(
    published: Published, had: Had, seen: Seen, settings: Mapping[str, Any], full_every: int, snapshot: int
) -> str:
    """Why a table is exported, in a few words; "" where the published files hold what it has at `snapshot` (ms).

    settings: those of the plan. full_every: in seconds, 0 for never.
    """
    if seen.obstacle:
        return seen.obstacle
    if reason := varying(seen.routed.shape) or varying(had.shape):
        return reason
    if had.read_at != "snapshot" or seen.routed.read_at != "snapshot":
        return "it was read when its job ran"
    if reason := settings_differ(published, had, seen.routed, settings):
        return reason
    if any(flag.table == had.table and flag.risk in HIDING for flag in published.flags):
        return "its last export had restrictions"
    if reason := unproved(had, seen.look):
        return reason
    if seen.look and not had.shape.where and had.rows not in (None, seen.look.rows):
        # Rows that were inserted and deleted again leave no other trace.
        return f"its files have {counted(had.rows or 0, 'row')}, and the table {seen.look.rows:,}"
    age = snapshot - published.origin(had)[1]
    return f"older than {period(full_every)}" if full_every and age >= full_every * 1000 else ""


def unproved(had: Had, now: Look | None) -> str:
    """Why looks do not prove that a published table is unchanged; "" where they do. now: the look of this plan."""
    if now is None or had.look is None:
        return FIRST_LOOK_MISSING
    if changed := difference(had.look, now):
        return changed
    if had.carried and had.carried.unchanged_at:
        return ""
    if had.look_before is None:
        return FIRST_LOOK_MISSING
    changed = difference(had.look_before, had.look)
    return f"{changed} (around its last export)" if changed else ""


def look_before(had: Had | None, snapshot: int, *, chosen: bool) -> Look | None:
    """The look at a published table if it was taken before `snapshot` (ms), the time at which a plan reads it again.

    chosen: the user chose the snapshot time. Otherwise it was taken after the published manifest was read.
    """
    look = had.look if had else None
    return None if look and chosen and not 0 < look.by <= snapshot else look


def settled(look: Look | None, snapshot: int) -> Look | None:
    """The look that was taken just before `snapshot` (ms), if the table's last change is clearly older than that.

    The times of changes and the snapshot time come from clocks of different servers. A change that is dated close to
    the snapshot time may be in the look and not in the export.
    """
    return look if look and look.modified + CLOCKS_DIFFER_MS < snapshot else None


def changed_at(had: Had | None, now: Look | None, snapshot: int) -> int:
    """See TableEntry. had: the table of the published export. now: the look of the plan of this snapshot time (ms)."""
    if had is None:
        return 0
    return snapshot if had.look and now and difference(had.look, now) else had.changed_at


def expected_to_change(published: Published) -> list[str]:
    """The tables that changed lately, so that a look before the next snapshot time is likely to save an export.

    A table without such a look is exported twice after each change: the look after the first export is the one before
    the second.
    """
    recently = published.snapshot - LATELY_MS
    return [had.table for had in published.tables if had.read_at == "snapshot" and had.changed_at > recently]


def settings_differ(published: Published, had: Had, routed: Routed, settings: Mapping[str, Any]) -> str:
    """Which settings differ from those with which a table was exported; "" for none. settings: those of the plan."""
    theirs = published.settings_of(had)
    tool = had.carried.tool if had.carried else published.tool
    was = way(had.route, had.format, had.compression, had.shape, theirs, tool)
    now = way(routed.route, routed.format, routed.compression, routed.shape, settings, VERSION)
    differ = [name for name in {**was, **now} if was.get(name) != now.get(name)]
    differ += [name for name in OF_FILES if theirs.get(name) != settings.get(name)]
    if settings.get("iceberg") and not theirs.get("iceberg"):
        # Its files have no field ids.
        differ.append("iceberg")
    if had.kind != routed.table.kind:
        differ.insert(0, "kind")
    return f"settings differ: {', '.join(name.replace('_', ' ') for name in differ)}" if differ else ""


def period(seconds: int) -> str:
    """A number of seconds as the setting writes it: 30d, 12h."""
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def bytes_saved(reused: Sequence[Reused | ReusedPartitions]) -> int:
    """The bytes of these tables and partitions, by BigQuery's count, that are not exported again."""
    return sum(table.bytes for table in reused)


class NamedAgain(NamedTuple):
    """Entries by table, and the tables that have none any more."""

    entries: tuple[TableEntry, ...]
    lost: tuple[str, ...]


class NamedPartitions(NamedTuple):
    """Unchanged partitions by table, and the tables of which some are lost."""

    partitions: dict[str, tuple[PartitionFiles, ...]]
    lost: tuple[str, ...]


def named_again(plan: Plan, over: Manifest, latest: Manifest | None) -> NamedAgain:
    """The entries of the plan's unchanged tables.

    over: the manifest that the plan was made with. latest: the published one, where its run has replaced files since.
    """
    had = {entry.table: entry for entry in over.tables}
    now = {entry.table: entry for entry in latest.tables} if latest else {}
    left = {table.table: table.files for table in latest.left} if latest else {}
    entries, lost = [], []
    for reused in plan.reused:
        entry = had.get(reused.table)
        if entry is None:
            lost.append(reused.table)
        elif latest is None or left.get(reused.table) == entry.files:
            entries.append(carried(over, entry, plan.settings, plan.snapshot))
        elif reused.table in now and _holds(over, entry, latest, now[reused.table]):
            entries.append(carried(latest, now[reused.table], plan.settings, plan.snapshot))
        else:
            lost.append(reused.table)
    return NamedAgain(tuple(entries), tuple(lost))


def partitions_named_again(plan: Plan, over: Manifest, latest: Manifest | None) -> NamedPartitions:
    """The unchanged partitions of tables that the plan exports otherwise. See named_again for over and latest.

    Where another run has replaced files since, only those that it has not replaced can be named again.
    """
    had = {entry.table: entry for entry in over.tables}
    standing = {(file.name, file.generation) for entry in latest.tables for file in entry.files} if latest else set()
    standing |= {(file.name, file.generation) for table in latest.left for file in table.files} if latest else set()
    found: dict[str, tuple[PartitionFiles, ...]] = {}
    lost = []
    for reused in plan.reused_partitions:
        entry = had.get(reused.table)
        known = {partition.id: (partition, files) for partition, files in files_by_partition(entry)} if entry else {}
        some = [known[id_] for id_ in reused.partitions if id_ in known]
        gone = latest and any((file.name, file.generation) not in standing for _, files in some for file in files)
        if entry is None or len(some) < len(reused.partitions) or gone:
            lost.append(reused.table)
        else:
            found[reused.table] = tuple(
                PartitionFiles(_carried(over, entry, partition, plan), files) for partition, files in some
            )
    return NamedPartitions(found, tuple(lost))


def _carried(over: Manifest, entry: TableEntry, partition: PartitionEntry, plan: Plan) -> PartitionEntry:
    of = replace(entry, carried=partition.carried or entry.carried)
    return replace(partition, carried=carried(over, of, plan.settings, plan.snapshot).carried)


def _holds(over: Manifest, entry: TableEntry, latest: Manifest, now: TableEntry) -> bool:
    """Whether the files of a later entry hold the same as those of the one that was planned with."""
    if _files(now) == _files(entry):
        return True
    if now.look is None or entry.look is None or now.read_at != "snapshot" or difference(entry.look, now.look):
        return False
    if any(flag.table == now.table and flag.risk in HIDING for flag in latest.flags):
        return False
    proved = now.look_before is not None and not difference(now.look_before, now.look)
    was, is_ = settings_of(over, entry), settings_of(latest, now)
    same = way_of(over, entry) == way_of(latest, now) and all(was.get(name) == is_.get(name) for name in OF_FILES)
    return same and (proved or bool(now.carried and now.carried.unchanged_at))


def _files(entry: TableEntry) -> list[tuple[str, int]]:
    return [(file.name, file.generation) for file in entry.files]
