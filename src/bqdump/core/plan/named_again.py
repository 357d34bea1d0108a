"""The manifest entries of unchanged tables: taken from the manifest that planning has compared with.

Where files are replaced, another run may have been published since and have replaced those of an unchanged table by
equal ones. Then its entry is taken, if its looks prove the same.
"""

from __future__ import annotations

from typing import NamedTuple

from msgspec.structs import replace

from bqdump.core.documents.changes import way_of
from bqdump.core.documents.manifest import Manifest, PartitionEntry, TableEntry
from bqdump.core.documents.origin import settings_of
from bqdump.core.documents.partition_files import files_by_partition
from bqdump.core.documents.run import Plan
from bqdump.core.plan.looks import difference
from bqdump.core.plan.removal import PartitionFiles, carried
from bqdump.core.plan.reuse import OF_FILES
from bqdump.core.risks import HIDING


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
