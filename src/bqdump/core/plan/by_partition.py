"""Which tables are exported by partition, and how each of their partitions is read.

For a partition BigQuery documents no time travel in extract jobs. So an extract job reads it as it is, between two
readings of it: one before the snapshot time, one after the job. If they are equal, it was so at the snapshot time. A
partition that has changed is read by a query, or a read session, which do travel in time.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import msgspec

from bqdump.core.documents.unchanged import Reading
from bqdump.core.errors import PLAN, UsageError
from bqdump.core.formats.formats import unfit
from bqdump.core.formats.types import columns
from bqdump.core.plan.routes import Routed, RoutedPartition, obstacle, requirements_of
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.table_settings import sections_of
from bqdump.core.sizes import size_text
from bqdump.core.tables.catalog import Listed, Partition, Table, labels_of, state_of
from bqdump.core.tables.columns import as_they_are
from bqdump.core.tables.partitioning import Partitioning, partitioning_of
from bqdump.core.tables.patterns import labels_in, select

# The least that a query bills. https://cloud.google.com/bigquery/pricing#on_demand_pricing
LEAST_BILLED = 10 << 20
VIEW = "INFORMATION_SCHEMA.PARTITIONS"
TABLES_A_QUERY = 1000
NO_READING = "no reading from before the snapshot time proves anything"
CHANGED_MEANWHILE = "it was changed while the export was planned"
CHOSEN_TIME = "the snapshot time was chosen"
BY_QUERY = "only a query reads it as of the snapshot time"
NO_READINGS: Mapping[str, Reading] = {}


class SeenBefore(NamedTuple):
    """A large table as it was seen before the snapshot time was taken.

    reading: of the complete table, None where it proves nothing, or was taken with a chosen snapshot time, as that is
        older than any reading.
    partitions: as listed, None where they were not.
    readings: of these partitions, by id.
    """

    reading: Reading | None
    partitions: Sequence[Partition] | None = None
    readings: Mapping[str, Reading] = NO_READINGS

    def is_same(self, table: Table, now: Reading | None) -> bool:
        """Whether the table is as it was. now: the reading of it after the snapshot time."""
        return bool(self.reading and now and is_conclusive(table.definition) and self.reading.same(now))


class SeenPartitions(NamedTuple):
    """The partitions of one table as they were seen around the snapshot time.

    before, after: as listed then; with a chosen snapshot time, both as counted for it.
    readings: of those before, by id.
    same: the table has not changed since before it.
    rows: of the complete table at the snapshot time, without reused partitions; None where they were not counted.
    uncounted: why its rows cannot be counted, "" where they can.
    reused: the ids of those that are not exported again.
    """

    before: Sequence[Partition]
    after: Sequence[Partition]
    readings: Mapping[str, Reading]
    same: bool
    rows: int | None
    uncounted: str = ""
    reused: Collection[str] = ()


def candidates(settings: Settings, listing: Sequence[Listed]) -> list[Listed]:
    """The tables that have partitions, among those that the patterns choose."""
    chosen = select([item.name for item in listing], settings.include, settings.exclude, labels_of(listing))
    return [
        item for item, yes in zip(listing, chosen, strict=True) if yes and item.partitioned and item.kind == "TABLE"
    ]


def is_large(settings: Settings, table: Table) -> bool:
    """Whether a table is large enough to be exported by partition; the last section that says so decides."""
    sections = sections_of(settings.tables, table.name, labels_in(table.definition)) if settings.tables else []
    own = [section.partitions_min_bytes for section in sections if section.partitions_min_bytes is not None]
    return table.rows > 0 and table.bytes >= (settings.partitions_min_bytes, *own)[-1]


def is_conclusive(definition: msgspec.Raw) -> bool:
    """Whether equal readings of a table, or a partition, prove that it has not changed: nothing is applied later."""
    state = state_of(definition)
    return bool(state and state.streaming_buffer is None and not state.max_staleness)


def can_query(settings: Settings, table: Table) -> bool:
    """Whether a query may read the table as an extract job would write it."""
    required = requirements_of(settings, table)
    misfits = unfit(required.format, "query", as_they_are(columns(table.definition), required.shape))
    return required.route != "extract" and not obstacle("query", table, required) and not misfits


def by_partition(item: Routed, settings: Settings, seen: SeenPartitions) -> tuple[tuple[RoutedPartition, ...], str]:
    """The partitions of a table that are exported, each with its route; or none, and why it is exported as one."""
    partitioning = partitioning_of(item.table.definition)
    if partitioning is None:
        return (), "this release does not know its partitioning"
    if item.read_at != "snapshot":
        return (), "it is not read at the snapshot time"
    if seen.uncounted:
        return (), f"its rows at the snapshot time cannot be counted: {seen.uncounted}"
    early, now = _exported(partitioning, seen.before), _exported(partitioning, seen.after)
    if problem := next((why for id_ in {**early, **now} if (why := partitioning.problem(id_))), ""):
        return (), problem
    if seen.same and sum(partition.rows for partition in early.values()) != item.table.rows:
        return (), "the rows of its partitions do not add up to those of the table"
    routed = []
    for id_ in sorted({**early, **now}.keys() - set(seen.reused)):
        listed, reading = now.get(id_) or early[id_], seen.readings.get(id_)
        why = _why_read_later(settings, early.get(id_), now.get(id_), reading)
        route = "query" if why and item.route == "extract" else item.route
        if route != item.route and not can_query(settings, item.table):
            return (), f"partition {id_}: {why}, and the settings allow no query"
        bills = _bill(item, listed) if route == "query" else None
        words = f"{why}: {BY_QUERY}" if route != item.route else ""
        routed.append(RoutedPartition(id_, listed.rows, listed.bytes, route, reading, words, bills))
    return tuple(routed), ""


def as_counted(table: Table, rows: Mapping[str, int]) -> list[Partition]:
    """The partitions of a table that have so many rows, by id."""
    return [Partition(id_, count, table.bytes * count // max(1, table.rows), 0) for id_, count in rows.items()]


def _exported(partitioning: Partitioning, listed: Sequence[Partition]) -> dict[str, Partition]:
    """By id. Streamed rows without a partition are no part of an export, as in a complete table."""
    return {partition.id: partition for partition in listed if partition.id != partitioning.streamed}


def _why_read_later(settings: Settings, early: Partition | None, now: Partition | None, reading: Reading | None) -> str:
    """Why an extract job cannot read a partition as of the snapshot time; "" where it can."""
    if reading and early == now:
        return ""
    if not reading and settings.snapshot_ms is not None:
        return CHOSEN_TIME
    return CHANGED_MEANWHILE if reading or early is None else NO_READING


def _bill(item: Routed, partition: Partition) -> int:
    """About what the query of a partition bills: its part of what that of the table would."""
    whole = item.table.bytes if item.bills is None else item.bills
    return max(LEAST_BILLED, whole * partition.bytes // max(1, item.table.bytes))


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
