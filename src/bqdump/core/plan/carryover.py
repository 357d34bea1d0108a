"""What a manifest takes over from an earlier one: entries of what did not change, and of tables that are carried over.

Where files are replaced, another run may have been published since the plan was made, and have replaced files of an
unchanged table by equal ones. Then its entry is taken, if its readings prove the same.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from msgspec.structs import replace

from bqdump.core.documents.changes import way_of
from bqdump.core.documents.definitions import Definitions
from bqdump.core.documents.manifest import Carried, File, Manifest, PartitionEntry, TableEntry, TableFiles
from bqdump.core.documents.manifest_index import settings_of
from bqdump.core.documents.run import Failure, Flag, Plan
from bqdump.core.documents.unchanged import Removed
from bqdump.core.documents.units import files_by_partition
from bqdump.core.plan.readings import difference
from bqdump.core.plan.reuse import PLACE_SETTINGS
from bqdump.core.risks import Risk

# Settings that decide how the files of a table are named, encrypted, read and compared.
FILE_SETTINGS = ("header", "delimiter", "null_marker", "file_size", "row_group_rows", "path", "job_project", "kms_key")


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
    def exported(self) -> list[tuple[Carried | None, tuple[File, ...]]]:
        """The files of each table, and of each partition of another one, with where they come from."""
        partitions = [partition for some in self.partitions.values() for partition in some]
        return [
            *((entry.carried, entry.files) for entry in (*self.tables, *self.reused)),
            *((partition.entry.carried, partition.files) for partition in partitions),
        ]

    @property
    def files(self) -> dict[str, int]:
        """Generations of the files that stay as they are, by name."""
        staying = [*(files for _, files in self.exported), *(table.files for table in self.left)]
        return {file.name: file.generation for files in staying for file in files}


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
            yield from (replace(flag, table=name, detail="") for name in names)


def carried(manifest: Manifest, entry: TableEntry, settings: Mapping[str, Any], unchanged_at: int = 0) -> TableEntry:
    """A table of a manifest as another one names it again.

    settings: of the latter.
    unchanged_at: see Carried.
    """
    theirs = settings_of(manifest, entry)
    other = {name: theirs[name] for name in FILE_SETTINGS if name in theirs and theirs[name] != settings.get(name)}
    of = entry.carried or manifest
    since = unchanged_at or (entry.carried.unchanged_at if entry.carried else 0)
    return replace(entry, carried=Carried(of.run, of.snapshot, of.snapshot_time, of.tool, other, since))


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
    if any(flag.table == now.table and flag.risk.hides for flag in latest.flags):
        return False
    proved = now.look_before is not None and not difference(now.look_before, now.look)
    was, is_ = settings_of(base, entry), settings_of(latest, now)
    same = way_of(base, entry) == way_of(latest, now) and all(was.get(name) == is_.get(name) for name in PLACE_SETTINGS)
    return same and (proved or bool(now.carried and now.carried.unchanged_at))


def _key(file: File) -> tuple[str, int]:
    return file.name, file.generation
