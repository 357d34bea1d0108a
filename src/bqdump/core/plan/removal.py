"""Tables of the published export that the next one does not export: each is removed by name, or carried over.

Excluded tables and mass removal are refused unless allowed. A table that the plan does not remove is carried over.

Partitions of the published export that the next one does not have: each leaves by name.

Partitions that have expired are ordinary. If more than half of a table's partitions were dropped otherwise, the run is
refused unless that is allowed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from bqdump.core.documents.definitions import Definitions
from bqdump.core.documents.manifest import Carried, File, Manifest, PartitionEntry, TableEntry, TableFiles
from bqdump.core.documents.manifest_index import settings_of
from bqdump.core.documents.run import Failure, Flag, Plan, Skipped, TablePlan
from bqdump.core.documents.unchanged import PartitionReason, RemovalReason, Removed, RemovedPartitions, ReusedPartitions
from bqdump.core.plan.readings import Published, PublishedTable
from bqdump.core.risks import Risk
from bqdump.core.settings.settings import Settings
from bqdump.core.sizes import counted, named
from bqdump.core.tables.catalog import select, state_of
from bqdump.core.tables.partitioning import partitioning_of

# Settings that decide how the files of a table are named, encrypted, read and compared.
FILE_SETTINGS = ("header", "delimiter", "null_marker", "file_size", "row_group_rows", "path", "job_project", "kms_key")
WHY: dict[RemovalReason, str] = {
    "excluded": "excluded by the patterns",
    "dropped": "dropped from the dataset",
    "dataset-empty": "the dataset is empty",
    "skipped": "not exported any more",
}


class PartitionFiles(NamedTuple):
    """A reused partition, and its files."""

    entry: PartitionEntry
    files: tuple[File, ...]


class Carryover(NamedTuple):
    """What a manifest takes over from the published export, and which of its tables it removes.

    over: the run that it was compared with, "" where nothing was published.
    left: files of tables whose last export failed.
    flags: risks that the tables were exported with.
    definitions: of the published export.
    reused: the entries of unchanged tables; plan and definitions of this run include these.
    partitions: the unchanged partitions of other tables with their files, by table.
    """

    over: str = ""
    tables: tuple[TableEntry, ...] = ()
    left: tuple[TableFiles, ...] = ()
    failed: tuple[Failure, ...] = ()
    removed: tuple[Removed, ...] = ()
    flags: tuple[Flag, ...] = ()
    definitions: Definitions = Definitions()
    reused: tuple[TableEntry, ...] = ()
    partitions: Mapping[str, tuple[PartitionFiles, ...]] = {}

    @property
    def names(self) -> set[str]:
        """The tables that it takes over without a reading of them."""
        return {entry.table for entry in self.tables}

    @property
    def files(self) -> dict[str, int]:
        """Generations of the files that stay as they are, by name."""
        staying = [file for entry in (*self.tables, *self.reused) for file in entry.files] + [
            file for table in self.left for file in table.files
        ]
        staying += [file for some in self.partitions.values() for partition in some for file in partition.files]
        return {file.name: file.generation for file in staying}


def leaving(
    published: Published, exported: Collection[str], listed: Collection[str], settings: Settings
) -> tuple[tuple[Removed, ...], tuple[str, ...]]:
    """The tables of the published export that the next one would remove, and those that it carries over.

    exported: what the next one exports. listed: what the dataset has.
    """
    gone = published.without(exported)
    removed, kept = [], []
    for entry, chosen in zip(gone.values(), select(list(gone), settings.include, settings.exclude), strict=True):
        if not chosen and settings.keep_others:
            kept.append(entry.table)
            continue
        reason: RemovalReason = "dropped" if listed else "dataset-empty"
        if entry.table in listed:
            reason = "skipped"
        removed.append(published.removed(entry, reason if chosen else "excluded"))
    return tuple(sorted(removed, key=lambda table: table.table)), tuple(sorted(kept))


def is_mass(removed: Iterable[Removed], published: Published) -> bool:
    """Whether more than half of the published tables would go without being excluded."""
    unasked = sum(table.reason != "excluded" for table in removed)
    return 2 * unasked > len(published.without(()))


def removal_flags(removed: Sequence[Removed], published: Published, skipped: Iterable[Skipped] = ()) -> Iterator[Flag]:
    """A flag for each removed table: refused where it was excluded, or where more than half of the tables would go."""
    reasons = {item.table: item.reason for item in skipped}
    mass = is_mass(removed, published)
    for table in removed:
        risk = Risk.REMOVED_TABLES if mass or table.reason == "excluded" else Risk.DROPPED_TABLES
        detail = reasons.get(table.table) if table.reason == "skipped" else None
        yield Flag(risk, table.table, (), detail or table.reason.replace("-", " "), allowed=False)


def why_removed(removed: Removed, reasons: Mapping[str, str]) -> str:
    """Why it is removed, in words. reasons: why tables of the dataset are not exported."""
    return reasons.get(removed.table, WHY["skipped"]) if removed.reason == "skipped" else WHY[removed.reason]


def removal_sentence(removed: Removed, skipped: Iterable[Skipped] = ()) -> str:
    """The removal in words. skipped: what the plan does not export."""
    why = why_removed(removed, {item.table: item.reason for item in skipped})
    rows = "it" if removed.rows is None else counted(removed.rows, "row")
    return (
        f"{removed.table} is removed from the published export ({why}): "
        f"run {removed.run} has {rows} as of {removed.snapshot_text}"
    )


def carryover_of(
    manifest: Manifest, plan: Plan, decided: Collection[str], kept: Collection[str], removed: tuple[Removed, ...]
) -> Carryover:
    """Take the tables `kept` over from the published manifest.

    decided: the tables that the run exports or goes without. With `keep_others`, failures of all others stay on record.
    """
    left = tuple(table for table in manifest.left if table.table in kept)
    unfinished = {table.table for table in left}
    if plan.settings.get("keep_others"):
        unfinished |= {failure.table for failure in manifest.failed if failure.table not in decided}
    tables = tuple(carried(manifest, entry, plan.settings) for entry in manifest.tables if entry.table in kept)
    failed = tuple(failure for failure in manifest.failed if failure.table in unfinished)
    flags = tuple(_flags(manifest, tables))
    return Carryover(manifest.run, tables, left, failed, removed, flags, manifest.definitions)


def _flags(manifest: Manifest, tables: Sequence[TableEntry]) -> Iterator[Flag]:
    """What the manifest says of these tables; what it says of all of them, for each one."""
    names = [entry.table for entry in tables]
    for flag in manifest.flags:
        if flag.table in names:
            yield flag
        elif not flag.table and flag.risk in (Risk.UNSEEN_ROW_POLICIES, Risk.UNSEEN_CHANGES):
            yield from (msgspec.structs.replace(flag, table=name, detail="") for name in names)


def carried(manifest: Manifest, entry: TableEntry, settings: Mapping[str, Any], unchanged_at: int = 0) -> TableEntry:
    """A table of a manifest as another one names it again. settings: of the latter. unchanged_at: see Carried."""
    theirs = settings_of(manifest, entry)
    other = {name: theirs[name] for name in FILE_SETTINGS if name in theirs and theirs[name] != settings.get(name)}
    of = entry.carried or manifest
    since = unchanged_at or (entry.carried.unchanged_at if entry.carried else 0)
    return msgspec.structs.replace(entry, carried=Carried(of.run, of.snapshot, of.snapshot_time, of.tool, other, since))


NAMED = 5


def leaving_partitions(
    published: Published, planned: Iterable[TablePlan], reused: Iterable[ReusedPartitions], now: int
) -> tuple[RemovedPartitions, ...]:
    """What the next export lacks of tables that both export by partition. now: the snapshot time in ms.

    planned: the tables of the plan. reused: their partitions that are not exported again.
    """
    unchanged = {same.table: same.partitions for same in reused}
    published_tables = {entry.table: entry for entry in published.tables if entry.partitions}
    removed: list[RemovedPartitions] = []
    for table in planned:
        if table.partitions and table.table in published_tables:
            exported = {piece.partition for piece in table.partitions}.union(unchanged.get(table.table, ()))
            removed += _leaving(published, published_tables[table.table], table, exported, now)
    return tuple(removed)


def partition_flags(removed: Iterable[RemovedPartitions], published: Published) -> Iterator[Flag]:
    """A flag for each table: refused if more than half of its partitions were dropped before they expired."""
    counts = {entry.table: len(entry.partitions) for entry in published.tables}
    for table in removed:
        mass = table.reason == "dropped" and 2 * len(table.partitions) > counts.get(table.table, 0)
        risk = Risk.REMOVED_PARTITIONS if mass else Risk.DROPPED_PARTITIONS
        yield Flag(risk, table.table, (), f"{_named(table)}: {table.reason}", allowed=False)


def partitions_sentence(removed: RemovedPartitions) -> str:
    """The removal in words."""
    rows = "them" if removed.rows is None else counted(removed.rows, "row")
    count = counted(len(removed.partitions), "partition")
    return (
        f"{removed.table}: {count} removed from the published export ({removed.reason}: {_named(removed)}); "
        f"run {removed.run} has {rows} as of {removed.snapshot_text}"
    )


def _named(removed: RemovedPartitions) -> str:
    return named(removed.partitions, NAMED)


def _leaving(
    published: Published, entry: PublishedTable, table: TablePlan, exported: set[str], now: int
) -> Iterator[RemovedPartitions]:
    gone = {partition.id: partition for partition in entry.partitions if partition.id not in exported}
    expired = _expired(table.definition, gone, now)
    of = entry.carried or published
    reasons: tuple[tuple[PartitionReason, set[str]], ...] = (("expired", expired), ("dropped", gone.keys() - expired))
    for reason, some in reasons:
        if some:
            rows = [gone[id_].planned_rows if gone[id_].rows is None else gone[id_].rows for id_ in some]
            total = sum(count for count in rows if count is not None)
            yield RemovedPartitions(table.table, reason, tuple(sorted(some)), of.run, of.snapshot_time, total)


def _expired(definition: msgspec.Raw, gone: Mapping[str, PartitionEntry], now: int) -> set[str]:
    """Those of the partitions that are old enough to have expired."""
    state, partitioning = state_of(definition), partitioning_of(definition)
    lifetime = state.partitions_expire_ms if state else 0
    if not lifetime or not partitioning:
        return set()
    return {id_ for id_ in gone if (since := partitioning.begins_ms(id_)) is not None and since + lifetime <= now}
