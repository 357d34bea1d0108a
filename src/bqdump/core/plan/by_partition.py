"""Which tables are exported by partition, and how each of their partitions is read.

For a partition BigQuery documents no time travel in extract jobs. So an extract job reads it as it is, between two
readings of it: one before the snapshot time, one after the job. If they are equal, it was so at the snapshot time. A
partition that has changed is read by a query, or a read session, which do travel in time.

Which partitions of a table that changed need not be exported again.

The published manifest has a reading of each partition that was equal before and after the snapshot time at which its
files were read. If the one after the snapshot time of this plan is equal, too, the files are those of this time.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from bqdump.core.documents.manifest import PartitionEntry
from bqdump.core.documents.unchanged import Reading, ReusedPartitions
from bqdump.core.errors import UsageError
from bqdump.core.formats.formats import unfit
from bqdump.core.formats.types import columns
from bqdump.core.plan.readings import PARTITIONS_EXPIRE, Published, PublishedTable
from bqdump.core.plan.reuse import Candidate, settings_differ, why_exported
from bqdump.core.plan.routes import Routed, RoutedPartition, obstacle, requirements_of, route_tables
from bqdump.core.plan.selection import PLAN
from bqdump.core.risks import HIDING
from bqdump.core.settings.settings import Settings
from bqdump.core.sizes import size_text
from bqdump.core.tables.catalog import Listed, Partition, Table, select, state_of, varying
from bqdump.core.tables.columns import as_they_are
from bqdump.core.tables.partitioning import Partitioning, partitioning_of

# The least that a query bills. https://cloud.google.com/bigquery/pricing#on_demand_pricing
LEAST_BILLED = 10 << 20
VIEW = "INFORMATION_SCHEMA.PARTITIONS"
TABLES_A_QUERY = 1000
# A partition that will be this old soon is not expected to be reused.
MARGIN_MS = 60 * 60 * 1000
NO_READING = "no reading from before the snapshot time proves anything"
CHANGED_MEANWHILE = "it was changed while the export was planned"
CHOSEN_TIME = "the snapshot time was chosen"
BY_QUERY = "only a query reads it as of the snapshot time"


class BeforeSnapshot(NamedTuple):
    """What was seen before the snapshot time was taken, by table.

    tables: readings of the complete tables that are exported by partition, None where one proves nothing.
    partitions: as listed.
    readings: of each of these, by id. With a chosen snapshot time, which is older than any reading, only the tables.
    """

    tables: dict[str, Reading | None]
    partitions: dict[str, list[Partition]]
    readings: dict[str, dict[str, Reading]]


class AfterSnapshot(NamedTuple):
    """What was seen after the snapshot time, by table: only of tables that may have changed meanwhile.

    partitions: as listed.
    rows: of the complete table at the snapshot time, None where they cannot be counted.
    counted: the rows of each partition at a chosen snapshot time, by id.
    uncounted: why rows cannot be counted.
    """

    partitions: dict[str, list[Partition]]
    rows: dict[str, int | None]
    counted: dict[str, dict[str, int]]
    uncounted: dict[str, str]


def candidates(settings: Settings, listing: Sequence[Listed]) -> list[Listed]:
    """The tables that have partitions, among those that the patterns choose."""
    chosen = select([item.name for item in listing], settings.include, settings.exclude)
    return [
        item for item, yes in zip(listing, chosen, strict=True) if yes and item.partitioned and item.kind == "TABLE"
    ]


def is_large(settings: Settings, table: Table) -> bool:
    """Whether a table is large enough to be exported by partition."""
    return table.rows > 0 and table.bytes >= settings.partitions_min_bytes


def is_conclusive(definition: msgspec.Raw) -> bool:
    """Whether equal readings of a table, or a partition, prove that it has not changed: nothing is applied later."""
    state = state_of(definition)
    return bool(state and state.streaming_buffer is None and not state.max_staleness)


def unchanged(before: BeforeSnapshot, table: Table, now: Reading | None) -> bool:
    """Whether a table is the same as before the snapshot time. now: the reading of it after the snapshot time."""
    earlier = before.tables.get(table.name)
    return bool(earlier and now and is_conclusive(table.definition) and earlier.same(now))


def can_query(settings: Settings, table: Table) -> bool:
    """Whether a query may read the table as an extract job would write it."""
    required = requirements_of(settings, table)
    misfits = unfit(required.format, "query", as_they_are(columns(table.definition), required.shape))
    return required.route != "extract" and not obstacle("query", table, required) and not misfits


def by_partition(
    item: Routed,
    settings: Settings,
    before: BeforeSnapshot,
    after: AfterSnapshot,
    *,
    same: bool,
    reused: Collection[str] = (),
) -> tuple[tuple[RoutedPartition, ...], str]:
    """The partitions of a table, each with its route; or none, and the reason why the table is exported as one.

    reused: the partitions that are not exported again. same: the table has not changed since before the snapshot time.
    """
    name = item.table.name
    partitioning = partitioning_of(item.table.definition)
    if partitioning is None:
        return (), "this release does not know its partitioning"
    if item.read_at != "snapshot":
        return (), "it is not read at the snapshot time"
    if why := after.uncounted.get(name):
        return (), f"its rows at the snapshot time cannot be counted: {why}"
    early = _exported(partitioning, before.partitions.get(name, ()))
    now = early if same else _exported(partitioning, after.partitions.get(name, ()))
    if (counted := after.counted.get(name)) is not None:
        early = now = _exported(partitioning, [_as_counted(item.table, *pair) for pair in counted.items()])
    if problem := next((why for id_ in {**early, **now} if (why := partitioning.problem(id_))), ""):
        return (), problem
    if same and sum(partition.rows for partition in early.values()) != item.table.rows:
        return (), "the rows of its partitions do not add up to those of the table"
    routed = []
    for id_ in sorted({**early, **now}.keys() - set(reused)):
        listed = now.get(id_) or early[id_]
        reading = before.readings.get(name, {}).get(id_)
        why = "" if reading and early.get(id_) == now.get(id_) else _reason(settings, before, name, id_, reading)
        route = "query" if why and item.route == "extract" else item.route
        if route != item.route and not can_query(settings, item.table):
            return (), f"partition {id_}: {why}, and the settings allow no query"
        bills = _bill(item, listed) if route == "query" else None
        words = f"{why}: {BY_QUERY}" if route != item.route else ""
        routed.append(RoutedPartition(id_, listed.rows, listed.bytes, route, reading, words, bills))
    return tuple(routed), ""


def _as_counted(table: Table, id_: str, rows: int) -> Partition:
    return Partition(id_, rows, table.bytes * rows // max(1, table.rows), 0)


def _exported(partitioning: Partitioning, listed: Sequence[Partition]) -> dict[str, Partition]:
    """By id. Streamed rows without a partition are no part of an export, as in a complete table."""
    return {partition.id: partition for partition in listed if partition.id != partitioning.streamed}


def _reason(settings: Settings, before: BeforeSnapshot, table: str, partition: str, reading: Reading | None) -> str:
    if reading:
        return CHANGED_MEANWHILE
    if settings.snapshot_ms is not None:
        return CHOSEN_TIME
    return (
        NO_READING
        if any(removed.id == partition for removed in before.partitions.get(table, ()))
        else CHANGED_MEANWHILE
    )


def _bill(item: Routed, partition: Partition) -> int:
    """About what the query of a partition bills: its part of what that of the table would."""
    whole = item.table.bytes if item.bills is None else item.bills
    return max(LEAST_BILLED, whole * partition.bytes // max(1, item.table.bytes))


def comparable(
    published: Published | None, candidate: Candidate, settings: Settings, snapshot: int
) -> dict[str, PartitionEntry]:
    """The published partitions of a table that a reading may prove unchanged, by id. snapshot: of the plan, in ms."""
    entry = _entry_of(published, candidate)
    if published is None or entry is None or not settings.incremental:
        return {}
    # A partition that expires is gone as a whole, so the others are as they were.
    if candidate.obstacle not in ("", PARTITIONS_EXPIRE) or varying(candidate.routed.shape) or varying(entry.shape):
        return {}
    if entry.read_at != "snapshot" or candidate.routed.read_at != "snapshot":
        return {}
    if settings_differ(published, entry, candidate.routed, settings.frozen()):
        return {}
    if any(flag.table in (entry.table, "") and flag.risk in HIDING for flag in published.flags):
        return {}
    oldest = snapshot - settings.full_after * 1000 if settings.full_after else None
    return {
        partition.id: partition
        for partition in entry.partitions
        if partition.look and (oldest is None or published.origin_of(entry, partition)[1] > oldest)
    }


def is_whole(published: Published | None, candidate: Candidate, settings: Settings, snapshot: int) -> bool:
    """Whether the complete table looks unchanged. snapshot: about that of the plan, in ms."""
    entry = _entry_of(published, candidate)
    if published is None or entry is None or not settings.incremental:
        return False
    return not why_exported(published, entry, candidate, settings.frozen(), settings.full_after, snapshot)


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


def _entry_of(published: Published | None, candidate: Candidate) -> PublishedTable | None:
    name = candidate.routed.table.name
    return next((table for table in published.tables if table.table == name), None) if published else None


def refuse_bill(settings: Settings, needed: int) -> None:
    """Raise UsageError where finding the partitions would bill more than the settings allow."""
    limit = settings.max_bytes_billed
    if 0 < limit < needed:
        cause = f"the query for the partitions of tables bills {size_text(needed)}"
        hint = "Raise it, or remove {partition} from {setting:path}."
        raise UsageError(PLAN, size_text(limit), cause, hint, setting="max_bytes_billed")


def view_bill(*tables: int) -> dict[str, int]:
    """The bytes billed by queries for partitions, when each query is about this many tables."""
    queries = sum(-(-count // TABLES_A_QUERY) for count in tables)
    return {VIEW: queries * LEAST_BILLED} if queries else {}


def least(listed: Sequence[Partition]) -> str:
    """The smallest partition: exported where nothing else of a table that changed is."""
    return min(listed, key=lambda partition: (partition.bytes, partition.id)).id


class ExpectedReuse:
    """What an incremental plan expects to be unchanged, before the snapshot time: readings after it will do for that.

    published: the export that is compared with, None where nothing can be reused.
    now: about the snapshot time, in ms.
    """

    def __init__(self, published: Published | None, settings: Settings, now: int) -> None:
        self._published, self._settings, self._now = published, settings, now + MARGIN_MS

    def table(self, table: Table, reading: Reading | None) -> bool:
        """Whether the complete table is expected to be unchanged."""
        routed = self._routed(table) if self._published and reading else None
        return bool(routed and is_whole(self._published, Candidate(routed, reading), self._settings, self._now))

    def partitions(self, table: Table, listed: Sequence[Partition]) -> set[str]:
        """The partitions of a table that are expected to be unchanged, but for one that may be exported anyway."""
        routed = self._routed(table) if self._published else None
        if routed is None:
            return set()
        entries = comparable(self._published, Candidate(routed, None), self._settings, self._now)
        later = {partition.id for partition in listed if seems_unchanged(entries.get(partition.id), partition)}
        return later - {least(listed)} if later else later

    def _routed(self, table: Table) -> Routed | None:
        try:
            routed = route_tables(self._settings, [table]).routed
        except UsageError:
            # Planning meets it again, with all tables.
            return None
        return routed[0] if routed else None
