"""What need not be exported again, as the published files hold it already: tables, and partitions of other tables.

Three readings must be equal: one from before the time at which the files were read, one from after it, and that of this
plan. Between equal readings nothing changed, so the files hold what the table has at this plan's snapshot time.

Of a partition the manifest has one reading, which was equal before and after the snapshot time of its files. If the one
after the snapshot time of this plan is equal, too, the files are those of this time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from bqdump.core.documents.fingerprints import way
from bqdump.core.documents.manifest import PartitionEntry
from bqdump.core.documents.unchanged import Reading, Reused, ReusedPartitions
from bqdump.core.errors import UsageError
from bqdump.core.plan.readings import PARTITIONS_EXPIRE, Published, PublishedTable, difference
from bqdump.core.plan.routes import Routed, route_tables
from bqdump.core.settings.settings import Settings
from bqdump.core.sizes import counted
from bqdump.core.tables.catalog import Partition, Table, varying
from bqdump.core.version import VERSION

NOTHING_PUBLISHED = "nothing is published yet"
NOT_PUBLISHED = "not in the published export"
NO_EARLIER_READING = "no reading from before its last export"
# Tables that change once a week are among those that changed within this time.
LATELY_MS = 8 * 86_400 * 1000
# Far more than the clocks of BigQuery's servers are apart.
CLOCKS_DIFFER_MS = 60_000
# A partition that will be this old soon is not expected to be reused.
MARGIN_MS = 60 * 60 * 1000
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


class Comparison:
    """What a plan is compared with.

    published: an export of the same dataset that is older than the plan; None where nothing can be reused.
    snapshot: the plan's snapshot time, in ms.
    """

    def __init__(self, published: Published | None, settings: Settings, snapshot: int) -> None:
        self._published, self._settings, self._snapshot = published, settings, snapshot
        self._tables = {table.table: table for table in published.tables} if published else {}
        self._frozen = settings.frozen()

    def decide(self, candidates: Iterable[Candidate]) -> tuple[dict[str, PublishedTable], dict[str, str]]:
        """The published entry of each table that did not change, and for each other one why it is exported; by table.

        Whether the files still exist is up to the caller.
        """
        reasons = {table.routed.table.name: self.why_exported(table) for table in candidates}
        unchanged = {name: self._tables[name] for name, reason in reasons.items() if not reason}
        return unchanged, {name: reason for name, reason in reasons.items() if reason}

    def why_exported(self, candidate: Candidate) -> str:
        """Why a table is exported, in a few words; "" where the published files hold what it has at the snapshot."""
        entry, published = self._tables.get(candidate.routed.table.name), self._published
        if candidate.obstacle:
            return candidate.obstacle
        if published is None or entry is None:
            return self._why_absent(candidate.routed.table.name)
        if reason := self._why_incomparable(published, entry, candidate.routed):
            return reason
        if _has_restrictions(published, entry.table):
            return "its last export had restrictions"
        if reason := unproved(entry, candidate.reading):
            return reason
        if candidate.reading and not entry.shape.where and entry.rows not in (None, candidate.reading.rows):
            # Rows that were inserted and deleted again leave no other trace.
            return f"its files have {counted(entry.rows or 0, 'row')}, and the table {candidate.reading.rows:,}"
        full_every, age = self._settings.full_after, self._snapshot - published.origin(entry)[1]
        return f"older than {period(full_every)}" if full_every and age >= full_every * 1000 else ""

    def partitions(self, candidate: Candidate) -> dict[str, PartitionEntry]:
        """The published partitions of a table that a reading may prove unchanged, by id."""
        entry, published = self._tables.get(candidate.routed.table.name), self._published
        if published is None or entry is None or not self._settings.incremental:
            return {}
        # A partition that expires is gone as a whole, so the others are as they were.
        if candidate.obstacle not in ("", PARTITIONS_EXPIRE) or _has_restrictions(published, entry.table, ""):
            return {}
        if self._why_incomparable(published, entry, candidate.routed):
            return {}
        full_every = self._settings.full_after
        oldest = self._snapshot - full_every * 1000 if full_every else None
        return {
            partition.id: partition
            for partition in entry.partitions
            if partition.look and (oldest is None or published.origin_of(entry, partition)[1] > oldest)
        }

    def _why_absent(self, table: str) -> str:
        """Why the published export does not have a table."""
        if self._published is None:
            return NOTHING_PUBLISHED
        failed = any(item.table == table for item in self._published.left)
        return "its last export failed" if failed else NOT_PUBLISHED

    def _why_incomparable(self, published: Published, entry: PublishedTable, routed: Routed) -> str:
        """Why the published files may have other content than new ones, although nothing changed; "" where not."""
        if reason := varying(routed.shape) or varying(entry.shape):
            return reason
        if entry.read_at != "snapshot" or routed.read_at != "snapshot":
            return "it was read when its job ran"
        return _settings_differ(published, entry, routed, self._frozen)


def _settings_differ(published: Published, entry: PublishedTable, routed: Routed, settings: Mapping[str, Any]) -> str:
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


def _has_restrictions(published: Published, *tables: str) -> bool:
    """Whether rows or columns were hidden from an export of these tables; "" stands for what concerns all tables."""
    return any(flag.table in tables and flag.risk.hides for flag in published.flags)


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
    """See TableEntry.

    entry: the table of the published export.
    now: the reading of this plan.
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


def seems_unchanged(entry: PartitionEntry | None, listed: Partition) -> bool:
    """Whether a listing, which proves nothing, shows a partition as it was: then it is looked at later."""
    reading = entry.look if entry else None
    return reading is not None and (reading.rows, reading.bytes, reading.modified) == (
        listed.rows,
        listed.bytes,
        listed.modified,
    )


def unchanged_partitions(
    entries: Mapping[str, PartitionEntry], readings: Mapping[str, Reading | None]
) -> dict[str, PartitionEntry]:
    """Those of the partitions that readings after the snapshot time prove unchanged, by id."""
    return {
        id_: entries[id_]
        for id_, reading in readings.items()
        if reading and (earlier := entries[id_].look) and earlier.same(reading)
    }


def reused_table(published: Published, entry: PublishedTable, table: Table) -> Reused:
    """The record of an unchanged table."""
    files, partitions = len(entry.files), len(entry.partitions)
    return Reused(entry.table, *published.origin(entry), table.rows, table.bytes, files, partitions)


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


def bytes_saved(reused: Sequence[Reused | ReusedPartitions]) -> int:
    """The bytes of these tables and partitions, by BigQuery's count, that are not exported again."""
    return sum(table.bytes for table in reused)


def least(listed: Sequence[Partition]) -> str:
    """The smallest partition: exported where nothing else of a table that changed is."""
    return min(listed, key=lambda partition: (partition.bytes, partition.id)).id


class ExpectedReuse:
    """What an incremental plan expects to be unchanged, before the snapshot time: readings after it will do for that.

    published: the export that is compared with, None where nothing can be reused.
    now: about the snapshot time, in ms.
    """

    def __init__(self, published: Published | None, settings: Settings, now: int) -> None:
        self._settings = settings
        self._comparison = Comparison(published, settings, now + MARGIN_MS) if published else None

    def table(self, table: Table, reading: Reading | None) -> bool:
        """Whether the complete table is expected to be unchanged."""
        routed = self._routed(table) if reading else None
        if self._comparison is None or routed is None or not self._settings.incremental:
            return False
        return not self._comparison.why_exported(Candidate(routed, reading))

    def partitions(self, table: Table, listed: Sequence[Partition]) -> set[str]:
        """The partitions of a table that are expected to be unchanged, but for one that may be exported anyway."""
        routed = self._routed(table)
        if self._comparison is None or routed is None:
            return set()
        entries = self._comparison.partitions(Candidate(routed, None))
        later = {partition.id for partition in listed if seems_unchanged(entries.get(partition.id), partition)}
        return later - {least(listed)} if later else later

    def _routed(self, table: Table) -> Routed | None:
        if self._comparison is None:
            return None
        try:
            routed = route_tables(self._settings, [table]).routed
        except UsageError:
            # Planning meets it again, with all tables.
            return None
        return routed[0] if routed else None


def period(seconds: int) -> str:
    """A number of seconds as the setting writes it: 30d, 12h."""
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"
