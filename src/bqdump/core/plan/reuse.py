"""Which tables need not be exported again: the files of the published export are those of an unchanged table.

Three readings must be equal: one from before the time at which the files were read, one from after it, and that of this
plan. Between equal readings the table did not change, so the files hold what it has at this plan's snapshot time.

The manifest entries of unchanged tables: taken from the manifest that planning has compared with.

Where files are replaced, another run may have been published since and have replaced those of an unchanged table by
equal ones. Then its entry is taken, if its readings prove the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from msgspec.structs import replace

from bqdump.core.documents.changes import way_of
from bqdump.core.documents.fingerprints import way
from bqdump.core.documents.manifest import File, Manifest, PartitionEntry, TableEntry, TableFiles
from bqdump.core.documents.manifest_index import settings_of
from bqdump.core.documents.run import Plan
from bqdump.core.documents.unchanged import Reading, Reused, ReusedPartitions
from bqdump.core.documents.units import files_by_partition
from bqdump.core.plan.readings import Published, PublishedTable, difference
from bqdump.core.plan.removal import PartitionFiles, carried
from bqdump.core.plan.routes import Routed
from bqdump.core.risks import HIDING
from bqdump.core.settings.settings import Settings
from bqdump.core.sizes import counted
from bqdump.core.tables.catalog import varying
from bqdump.core.version import VERSION

NOTHING_PUBLISHED = "nothing is published yet"
NOT_PUBLISHED = "not in the published export"
NO_EARLIER_READING = "no reading from before its last export"
# Tables that change once a week are among those that changed within this time.
LATELY_MS = 8 * 86_400 * 1000
# Far more than the clocks of BigQuery's servers are apart.
CLOCKS_DIFFER_MS = 60_000
# Other settings that files depend on, by name.
PLACE_SETTINGS = ("path", "prefix", "kms_key")


class Candidate(NamedTuple):
    """A table whose files may be reused.

    routed: the table as a plan would export it.
    reading: of its metadata, after the snapshot time.
    obstacle: why equal readings of it prove nothing; "" where they do.
    """

    routed: Routed
    reading: Reading | None
    obstacle: str = ""


class ReusableFiles(NamedTuple):
    """A table that did not change, and the published entry whose files hold it."""

    reused: Reused
    files: tuple[File, ...]


def decide(
    published: Published | None, candidates: Iterable[Candidate], settings: Settings, snapshot: int
) -> tuple[dict[str, ReusableFiles], dict[str, str]]:
    """The tables whose files may be reused, and for each other one why it is exported; both by table.

    published: the export of the same dataset that is older than the plan. snapshot: the plan's snapshot time (ms).
    Whether the files still exist is up to the caller.
    """
    entries = {table.table: table for table in published.tables} if published else {}
    reuse: dict[str, ReusableFiles] = {}
    reasons: dict[str, str] = {}
    frozen = settings.frozen()
    for candidate in candidates:
        table = candidate.routed.table
        entry = entries.get(table.name)
        if published is None or entry is None:
            left = published and any(item.table == table.name for item in published.left)
            absent = "its last export failed" if left else NOT_PUBLISHED if published else NOTHING_PUBLISHED
            reasons[table.name] = candidate.obstacle or absent
        elif reason := why_exported(published, entry, candidate, frozen, settings.full_after, snapshot):
            reasons[table.name] = reason
        else:
            reuse[table.name] = reusable_files(published, entry, table.rows, table.bytes)
    return reuse, reasons


def reusable_files(published: Published, entry: PublishedTable, rows: int, bytes_: int) -> ReusableFiles:
    """The files of a table of the published export, as reused ones."""
    of, files, partitions = published.origin(entry), len(entry.files), len(entry.partitions)
    return ReusableFiles(Reused(entry.table, *of, rows, bytes_, files, partitions), entry.files)


def why_exported(
    published: Published,
    entry: PublishedTable,
    candidate: Candidate,
    settings: Mapping[str, Any],
    full_every: int,
    snapshot: int,
) -> str:
    """Why a table is exported, in a few words; "" where the published files hold what it has at `snapshot` (ms).

    settings: those of the plan. full_every: in seconds, 0 for never.
    """
    if candidate.obstacle:
        return candidate.obstacle
    if reason := varying(candidate.routed.shape) or varying(entry.shape):
        return reason
    if entry.read_at != "snapshot" or candidate.routed.read_at != "snapshot":
        return "it was read when its job ran"
    if reason := settings_differ(published, entry, candidate.routed, settings):
        return reason
    if any(flag.table == entry.table and flag.risk in HIDING for flag in published.flags):
        return "its last export had restrictions"
    if reason := unproved(entry, candidate.reading):
        return reason
    if candidate.reading and not entry.shape.where and entry.rows not in (None, candidate.reading.rows):
        # Rows that were inserted and deleted again leave no other trace.
        return f"its files have {counted(entry.rows or 0, 'row')}, and the table {candidate.reading.rows:,}"
    age = snapshot - published.origin(entry)[1]
    return f"older than {period(full_every)}" if full_every and age >= full_every * 1000 else ""


def unproved(entry: PublishedTable, now: Reading | None) -> str:
    """Why readings do not prove that a published table is unchanged; "" where they do. now: that of this plan."""
    if now is None or entry.look is None:
        return NO_EARLIER_READING
    if changed := difference(entry.look, now):
        return changed
    if entry.carried and entry.carried.unchanged_at:
        return ""
    if entry.look_before is None:
        return NO_EARLIER_READING
    changed = difference(entry.look_before, entry.look)
    return f"{changed} (around its last export)" if changed else ""


def reading_before(entry: PublishedTable | None, snapshot: int, *, chosen: bool) -> Reading | None:
    """The reading of a published table if it was taken before `snapshot` (ms), the time at which a plan reads it again.

    chosen: the user chose the snapshot time. Otherwise it was taken after the published manifest was read.
    """
    reading = entry.look if entry else None
    return None if reading and chosen and not 0 < reading.by <= snapshot else reading


def settled(reading: Reading | None, snapshot: int) -> Reading | None:
    """The reading that was taken just before `snapshot` (ms), if the table's last change is clearly older than that.

    The times of changes and the snapshot time come from clocks of different servers. A change that is dated close to
    the snapshot time may be in the reading and not in the export.
    """
    return reading if reading and reading.modified + CLOCKS_DIFFER_MS < snapshot else None


def changed_at(entry: PublishedTable | None, now: Reading | None, snapshot: int) -> int:
    """See TableEntry. entry: the table of the published export. now: the reading of this plan.

    snapshot: the snapshot time of the plan, in ms.
    """
    if entry is None:
        return 0
    return snapshot if entry.look and now and difference(entry.look, now) else entry.changed_at


def expected_to_change(published: Published) -> list[str]:
    """The tables that changed lately, so that a reading before the next snapshot time is likely to save an export.

    A table without such a reading is exported twice after each change: the reading after the first export is the one
    before the second.
    """
    recently = published.snapshot - LATELY_MS
    return [entry.table for entry in published.tables if entry.read_at == "snapshot" and entry.changed_at > recently]


def settings_differ(published: Published, entry: PublishedTable, routed: Routed, settings: Mapping[str, Any]) -> str:
    """Which settings differ from those with which a table was exported; "" for none. settings: those of the plan."""
    theirs = published.settings_of(entry)
    tool = entry.carried.tool if entry.carried else published.tool
    was = way(entry.route, entry.format, entry.compression, entry.shape, theirs, tool)
    now = way(routed.route, routed.format, routed.compression, routed.shape, settings, VERSION)
    differ = [name for name in {**was, **now} if was.get(name) != now.get(name)]
    differ += [name for name in PLACE_SETTINGS if theirs.get(name) != settings.get(name)]
    if settings.get("iceberg") and not theirs.get("iceberg"):
        # Its files have no field ids.
        differ.append("iceberg")
    if entry.kind != routed.table.kind:
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


class ReusedEntries(NamedTuple):
    """What a manifest has of tables and partitions that did not change.

    tables: the entries of tables, by name.
    partitions: the unchanged partitions of tables that changed, by table.
    lost: the tables, and tables of partitions, whose files exist no longer.
    """

    tables: tuple[TableEntry, ...]
    partitions: dict[str, tuple[PartitionFiles, ...]]
    lost: tuple[str, ...]


def reused_entries(plan: Plan, base: Manifest, latest: Manifest | None) -> ReusedEntries:
    """The entries of what the plan has found unchanged.

    base: the manifest that the plan was made with.
    latest: the published one, where its run has replaced files since.
    """
    tables = dict(_reused_tables(plan, base, latest))
    partitions = dict(_reused_partitions(plan, base, latest))
    return ReusedEntries(
        tuple(entry for entry in tables.values() if entry),
        {table: files for table, files in partitions.items() if files},
        tuple(table for table, standing in (*tables.items(), *partitions.items()) if not standing),
    )


def _reused_tables(plan: Plan, base: Manifest, latest: Manifest | None) -> Iterator[tuple[str, TableEntry | None]]:
    """Each unchanged table with its entry, or with the equal one of the published run; None where neither stands."""
    entries = {entry.table: entry for entry in base.tables}
    later = {entry.table: entry for entry in latest.tables} if latest else {}
    left = {table.table: table.files for table in latest.left} if latest else {}
    for reused in plan.reused:
        name, entry = reused.table, entries.get(reused.table)
        standing = None
        if entry and (latest is None or left.get(name) == entry.files):
            standing = carried(base, entry, plan.settings, plan.snapshot)
        elif entry and latest and name in later and _holds(base, entry, latest, later[name]):
            standing = carried(latest, later[name], plan.settings, plan.snapshot)
        yield name, standing


def _reused_partitions(
    plan: Plan, base: Manifest, latest: Manifest | None
) -> Iterator[tuple[str, tuple[PartitionFiles, ...]]]:
    """Each table with its unchanged partitions; none where one of them was replaced since, or is gone."""
    entries = {entry.table: entry for entry in base.tables}
    published: Sequence[TableEntry | TableFiles] = (*latest.tables, *latest.left) if latest else ()
    standing = {_key(file) for table in published for file in table.files}
    for reused in plan.reused_partitions:
        entry = entries.get(reused.table)
        by_id = {partition.id: (partition, files) for partition, files in files_by_partition(entry)} if entry else {}
        kept = [by_id[id_] for id_ in reused.partitions if id_ in by_id]
        replaced = latest and any(_key(file) not in standing for _, files in kept for file in files)
        if entry is None or replaced or len(kept) < len(reused.partitions):
            yield reused.table, ()
        else:
            moved = ((_carried(base, entry, partition, plan), files) for partition, files in kept)
            yield reused.table, tuple(PartitionFiles(*pair) for pair in moved)


def _carried(base: Manifest, entry: TableEntry, partition: PartitionEntry, plan: Plan) -> PartitionEntry:
    of = replace(entry, carried=partition.carried or entry.carried)
    return replace(partition, carried=carried(base, of, plan.settings, plan.snapshot).carried)


def _holds(base: Manifest, entry: TableEntry, latest: Manifest, now: TableEntry) -> bool:
    """Whether the files of a later entry hold the same as those of the one that was planned with."""
    if [*map(_key, now.files)] == [*map(_key, entry.files)]:
        return True
    if now.look is None or entry.look is None or now.read_at != "snapshot" or difference(entry.look, now.look):
        return False
    if any(flag.table == now.table and flag.risk in HIDING for flag in latest.flags):
        return False
    proved = now.look_before is not None and not difference(now.look_before, now.look)
    was, is_ = settings_of(base, entry), settings_of(latest, now)
    same = way_of(base, entry) == way_of(latest, now) and all(was.get(name) == is_.get(name) for name in PLACE_SETTINGS)
    return same and (proved or bool(now.carried and now.carried.unchanged_at))


def _key(file: File) -> tuple[str, int]:
    return file.name, file.generation
