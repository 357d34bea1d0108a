"""Finding the tables that need not be exported again, and making sure that their files stay until this run names them.

A planner that relies on the files of a manifest refers to its run, so that prune keeps what it names.

Finding the partitions that need not be exported again, of tables that changed otherwise.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from bqdump.concurrency import gathered
from bqdump.core.documents.manifest import File, PartitionEntry
from bqdump.core.documents.run import Plan
from bqdump.core.documents.unchanged import Look, Reused, ReusedPartitions
from bqdump.core.documents.units import files_by_partition
from bqdump.core.errors import UsageError
from bqdump.core.plan.by_partition import (
    Before,
    comparable,
    is_whole,
    reused_partitions,
    seems_unchanged,
    unchanged_partitions,
)
from bqdump.core.plan.looks import Published, changing, look_of
from bqdump.core.plan.reuse import Reuse, Seen, changed_at, decide, expected_to_change, look_before
from bqdump.core.plan.routes import Routed, route_tables
from bqdump.core.settings.settings import Settings
from bqdump.core.tables.catalog import Dataset, Partition, Table, select
from bqdump.export.planning.definitions import DESCRIBE_AT_ONCE
from bqdump.ports.signer import Signer
from bqdump.ports.store import ObjectStore
from bqdump.ports.warehouse import Warehouse
from bqdump.repository.objects import differs, present
from bqdump.repository.references import refer
from bqdump.repository.repository import value_of


class Earlier(NamedTuple):
    """The published export, and the place of its files. signer: its key must have signed what is named again."""

    store: ObjectStore
    published: Published | None
    signer: Signer | None = None


class Reusable(NamedTuple):
    """The tables to export, each with its looks and (incremental) why it is exported, and those that did not change."""

    routed: tuple[Routed, ...]
    unchanged: tuple[Routed, ...] = ()
    reused: tuple[Reused, ...] = ()


async def find_reusable(
    earlier: Earlier,
    settings: Settings,
    run: str,
    snapshot: int,
    seen: Sequence[Seen],
    before: Mapping[str, Look | None],
) -> Reusable:
    """Sort tables into those that are exported and those whose files an earlier run has exported already.

    run, snapshot: of this plan. before: the looks of this plan from before its snapshot time, of some tables.
    """
    published = earlier_export(earlier.published, settings, run, snapshot)
    had = {table.table: table for table in published.tables} if published else {}
    chosen = settings.snapshot_ms is not None

    def with_looks(table: Seen) -> Routed:
        name = table.routed.table.name
        entry, look = had.get(name), None if table.obstacle else table.look
        then = None if table.obstacle else before.get(name) or look_before(entry, snapshot, chosen=chosen)
        return replace(table.routed, look=look, look_before=then, changed_at=changed_at(entry, look, snapshot))

    looked = [with_looks(table) for table in seen]
    if not settings.incremental:
        return Reusable(tuple(looked))
    reuse, reasons = decide(published, seen, settings, snapshot)
    if published and reuse:
        reasons |= await obstacles(earlier, published, settings, reuse)
    return Reusable(
        tuple(replace(table, reason=reasons[table.table.name]) for table in looked if table.table.name in reasons),
        tuple(table for table in looked if table.table.name not in reasons),
        tuple(found.reused for name, found in sorted(reuse.items()) if name not in reasons),
    )


async def look_early(
    warehouse: Warehouse, dataset: Dataset, settings: Settings, published: Published | None, before: Before
) -> dict[str, Look | None]:
    """The looks at tables, by name, before the snapshot time is taken; None at one that proves nothing.

    At those in `before`, and in an incremental run at those that are expected to change: one request each. published:
    the export of the same dataset, if there is one. With a chosen snapshot time, every look comes after it.
    """
    if published is None or not settings.incremental or settings.snapshot_ms is not None:
        return before.tables
    names = [name for name in expected_to_change(published) if name not in before.tables]
    chosen = select(names, settings.include, settings.exclude)
    names = [name for name, yes in zip(names, chosen, strict=True) if yes]
    found = await gathered(lambda name: warehouse.table(dataset, name), names, DESCRIBE_AT_ONCE)
    proving = (table for table in found if table and not changing(table.definition))
    return before.tables | {table.name: look_of(table.definition) for table in proving}


def earlier_export(published: Published | None, settings: Settings, run: str, snapshot: int) -> Published | None:
    """The published export if it is an earlier one of the same dataset."""
    return None if published is None or published.age >= (snapshot, run) else same_dataset(published, settings)


def same_dataset(published: Published | None, settings: Settings) -> Published | None:
    """The published export if it is one of the same dataset."""
    if published is None:
        return None
    return published if (published.project, published.dataset) == (settings.project, settings.dataset) else None


async def obstacles(
    earlier: Earlier, published: Published, settings: Settings, reuse: Mapping[str, Reuse]
) -> dict[str, str]:
    """Why files that hold unchanged tables, or partitions, cannot be named again, by the keys of `reuse`."""
    if busy := await _replacing(earlier.store, published, settings):
        return dict.fromkeys(reuse, f"run {busy} is replacing files")
    tombstone = await value_of(earlier.store, settings.layout.run(published.run).tombstone)
    if tombstone and tombstone.decided:
        return dict.fromkeys(reuse, f"run {published.run} is being pruned")
    if earlier.signer:
        from bqdump.repository.signatures import is_signed

        names = settings.layout.run(published.run)
        if not await is_signed(earlier.store, settings.target, names, earlier.signer):
            return dict.fromkeys(reuse, f"run {published.run} is not signed with this key")
    found = await present(earlier.store, [file.name for table in reuse.values() for file in table.files])
    reasons = {}
    for name, table in reuse.items():
        states = {differs(file, found.get(file.name)) for file in table.files} - {""}
        if states:
            reasons[name] = "files gone" if "is gone" in states else "files were written again"
    return reasons


async def _replacing(store: ObjectStore, published: Published, settings: Settings) -> str:
    """The run that may be replacing published files now, although another one is published; "" for none."""
    if not published.replaces:
        return ""
    current = await value_of(store, settings.layout.publishing)
    return current.run if current and current.run != published.run else ""


async def refers(store: ObjectStore, settings: Settings, plan: Plan) -> bool:
    """Refer to the run whose files a plan names, before the plan is stored; False if that run is being pruned.

    Its manifest names all of them, also those that even earlier runs have exported.
    """
    if not (plan.reused or plan.reused_partitions):
        return True
    return await refer(store, settings.layout, plan.over, plan.run)


def timed(looks: Mapping[str, Look | None], by: int) -> dict[str, Look | None]:
    """The looks with a time of BigQuery's clock that is not before any of them."""
    return {name: look and replace(look, by=by) for name, look in looks.items()}


# A partition that will be this old soon is not expected to be reused.
MARGIN_MS = 60 * 60 * 1000
LookAt = Callable[[str], Awaitable[Look | None]]


def least(listed: Sequence[Partition]) -> str:
    """The smallest partition: exported where nothing else of a table that changed is."""
    return min(listed, key=lambda partition: (partition.bytes, partition.id)).id


class Found(NamedTuple):
    """The partitions of a table that did not change. entries: by id. reused: the same as the plan records them."""

    entries: Mapping[str, PartitionEntry]
    reused: ReusedPartitions


class Expected:
    """What an incremental plan expects to be unchanged, before the snapshot time: looks after it will do for that.

    published: the export that is compared with, None where nothing can be reused. now: about the snapshot time, in ms.
    """

    def __init__(self, published: Published | None, settings: Settings, now: int) -> None:
        self._published, self._settings, self._now = published, settings, now + MARGIN_MS

    def table(self, table: Table, look: Look | None) -> bool:
        """Whether the complete table is expected to be unchanged."""
        routed = self._routed(table) if self._published and look else None
        return bool(routed and is_whole(self._published, Seen(routed, look), self._settings, self._now))

    def partitions(self, table: Table, listed: Sequence[Partition]) -> set[str]:
        """The partitions of a table that are expected to be unchanged, but for one that may be exported anyway."""
        routed = self._routed(table) if self._published else None
        if routed is None:
            return set()
        entries = comparable(self._published, Seen(routed, None), self._settings, self._now)
        later = {partition.id for partition in listed if seems_unchanged(entries.get(partition.id), partition)}
        return later - {least(listed)} if later else later

    def _routed(self, table: Table) -> Routed | None:
        try:
            routed = route_tables(self._settings, [table]).routed
        except UsageError:
            # Planning meets it again, with all tables.
            return None
        return routed[0] if routed else None


async def find_unchanged(
    earlier: Earlier,
    published: Published | None,
    settings: Settings,
    snapshot: int,
    seen: Sequence[Seen],
    before: Before,
    present: Mapping[str, Sequence[Partition]],
    same: set[str],
    look_at: LookAt,
) -> dict[str, Found]:
    """The unchanged partitions of these tables, by table.

    present: the partitions that each has after the snapshot time. same: tables that are as they were before it, so
    that looks from before it are those from after it.
    """
    if published is None or not settings.incremental:
        return {}
    found: dict[str, dict[str, PartitionEntry]] = {}
    for table in seen:
        name = table.routed.table.name
        entries = comparable(published, table, settings, snapshot)
        ids = [partition.id for partition in present.get(name, ()) if partition.id in entries]
        known = before.looks.get(name, {}) if name in same else {}
        missing = [id_ for id_ in ids if id_ not in known]
        looked = dict(zip(missing, await asyncio.gather(*(look_at(f"{name}${id_}") for id_ in missing)), strict=True))
        unchanged = unchanged_partitions(entries, {id_: known.get(id_) or looked.get(id_) for id_ in ids})
        if unchanged and len(unchanged) == len(present[name]):
            # The table has changed, so it is in the plan, with one partition at least.
            del unchanged[least(present[name])]
        if unchanged:
            found[name] = unchanged
    usable = await _usable(earlier, published, settings, found)
    return {
        name: Found(entries, reused_partitions(name, entries.values())) for name, entries in usable.items() if entries
    }


async def _usable(
    earlier: Earlier, published: Published, settings: Settings, found: Mapping[str, Mapping[str, PartitionEntry]]
) -> dict[str, dict[str, PartitionEntry]]:
    """Those whose files exist and stay."""
    had = {table.table: table for table in published.tables}
    reuse: dict[str, Reuse] = {}
    for name, entries in found.items():
        for partition, files in files_by_partition(had[name]):
            if partition.id in entries:
                run, at = published.origin_of(had[name], partition)
                reuse[f"{name}${partition.id}"] = _reuse(name, run, at, partition, files)
    wrong = await obstacles(earlier, published, settings, reuse) if reuse else {}
    return {
        name: {id_: entry for id_, entry in entries.items() if f"{name}${id_}" not in wrong}
        for name, entries in found.items()
    }


def _reuse(table: str, run: str, at: int, partition: PartitionEntry, files: tuple[File, ...]) -> Reuse:
    return Reuse(Reused(table, run, at, partition.planned_rows, partition.planned_bytes, len(files)), files)
