"""Finding the tables that need not be exported again, and making sure that their files stay until this run names them.

A planner that relies on the files of a manifest refers to its run, so that prune keeps what it names.

Finding the partitions that need not be exported again, of tables that changed otherwise.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from bqdump.core.documents.manifest import File, PartitionEntry
from bqdump.core.documents.run import Plan
from bqdump.core.documents.unchanged import Look, Reused, ReusedPartitions
from bqdump.core.documents.units import files_by_partition
from bqdump.core.plan.by_partition import (
    comparable,
    reused_partitions,
    unchanged_partitions,
)
from bqdump.core.plan.looks import Published
from bqdump.core.plan.reuse import Reuse, Seen, changed_at, decide, look_before, settled
from bqdump.core.plan.routes import Routed
from bqdump.core.settings.settings import Settings
from bqdump.core.tables.catalog import Partition
from bqdump.export.planning.survey import Earlier, LookAt, Survey, least
from bqdump.ports.store import ObjectStore
from bqdump.repository.objects import differs, present
from bqdump.repository.references import refer
from bqdump.repository.repository import value_of


class Reusable(NamedTuple):
    """The tables to export, each with its looks and (incremental) why it is exported, and those that did not change."""

    routed: tuple[Routed, ...]
    unchanged: tuple[Routed, ...] = ()
    reused: tuple[Reused, ...] = ()


async def find_reusable(survey: Survey, seen: Sequence[Seen]) -> Reusable:
    """Sort tables into those that are exported and those whose files an earlier run has exported already."""
    settings, snapshot, published = survey.settings, survey.snapshot, survey.published
    had = {table.table: table for table in published.tables} if published else {}
    chosen = settings.snapshot_ms is not None

    def with_looks(table: Seen) -> Routed:
        name = table.routed.table.name
        entry, look = had.get(name), None if table.obstacle else table.look
        early = settled(survey.early.get(name), snapshot)
        then = None if table.obstacle else early or look_before(entry, snapshot, chosen=chosen)
        return replace(table.routed, look=look, look_before=then, changed_at=changed_at(entry, look, snapshot))

    looked = [with_looks(table) for table in seen]
    if not settings.incremental:
        return Reusable(tuple(looked))
    reuse, reasons = decide(published, seen, settings, snapshot)
    if published and reuse:
        reasons |= await obstacles(survey.earlier, published, settings, reuse)
    return Reusable(
        tuple(replace(table, reason=reasons[table.table.name]) for table in looked if table.table.name in reasons),
        tuple(table for table in looked if table.table.name not in reasons),
        tuple(found.reused for name, found in sorted(reuse.items()) if name not in reasons),
    )


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


class Found(NamedTuple):
    """The partitions of a table that did not change.

    entries: by id.
    reused: the same as the plan records them.
    """

    entries: Mapping[str, PartitionEntry]
    reused: ReusedPartitions


async def find_unchanged(
    survey: Survey,
    seen: Sequence[Seen],
    present: Mapping[str, Sequence[Partition]],
    same: set[str],
    look_at: LookAt,
) -> dict[str, Found]:
    """The unchanged partitions of these tables, by table.

    present: the partitions that each has after the snapshot time.
    same: tables that are as they were before it, so that readings from before it are those from after it.
    """
    published, settings = survey.published, survey.settings
    if published is None or not settings.incremental:
        return {}
    found: dict[str, dict[str, PartitionEntry]] = {}
    for table in seen:
        name = table.routed.table.name
        entries = comparable(published, table, settings, survey.snapshot)
        ids = [partition.id for partition in present.get(name, ()) if partition.id in entries]
        known = survey.before.looks.get(name, {}) if name in same else {}
        missing = [id_ for id_ in ids if id_ not in known]
        looked = dict(zip(missing, await asyncio.gather(*(look_at(f"{name}${id_}") for id_ in missing)), strict=True))
        unchanged = unchanged_partitions(entries, {id_: known.get(id_) or looked.get(id_) for id_ in ids})
        if unchanged and len(unchanged) == len(present[name]):
            # The table has changed, so it is in the plan, with one partition at least.
            del unchanged[least(present[name])]
        if unchanged:
            found[name] = unchanged
    usable = await _usable(survey.earlier, published, settings, found)
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
