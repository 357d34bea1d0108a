"""Finding what need not be exported again.

The files of a run that is in the log stay for a day at least, whatever is pruned: see `repository.pruned_runs`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from bqdump.core.documents.manifest import File, PartitionEntry
from bqdump.core.documents.unchanged import Reading, Reused
from bqdump.core.documents.units import files_by_partition
from bqdump.core.plan.by_partition import NO_READINGS
from bqdump.core.plan.readings import Published
from bqdump.core.plan.reuse import (
    Candidate,
    changed_at,
    least,
    reading_before,
    reused_table,
    settled,
    unchanged_partitions,
)
from bqdump.core.plan.routes import Routed
from bqdump.core.settings.settings import Settings
from bqdump.core.tables.catalog import Partition
from bqdump.export.planning.survey import Earlier, Survey, TakeReading
from bqdump.ports.store import ObjectStore
from bqdump.repository.objects import differs, present
from bqdump.repository.repository import value_of


class ReuseDecision(NamedTuple):
    """The tables to export, with readings and (incremental) why they are exported, and those that did not change."""

    routed: tuple[Routed, ...]
    unchanged: tuple[Routed, ...] = ()
    reused: tuple[Reused, ...] = ()


async def find_reusable(survey: Survey, candidates: Sequence[Candidate]) -> ReuseDecision:
    """Sort tables into those that are exported and those whose files an earlier run has exported already."""
    settings, snapshot, published = survey.settings, survey.snapshot, survey.published
    entries = {table.table: table for table in published.tables} if published else {}
    chosen = settings.snapshot_ms is not None

    def with_readings(table: Candidate) -> Routed:
        name = table.routed.table.name
        entry, reading = entries.get(name), None if table.obstacle else table.reading
        early = settled(survey.early.get(name), snapshot)
        earlier = None if table.obstacle else early or reading_before(entry, snapshot, chosen=chosen)
        return replace(table.routed, look=reading, look_before=earlier, changed_at=changed_at(entry, reading, snapshot))

    routed = [with_readings(table) for table in candidates]
    if not settings.incremental:
        return ReuseDecision(tuple(routed))
    same, reasons = survey.comparison.decide(candidates)
    if published and same:
        files = {name: entry.files for name, entry in same.items()}
        reasons |= await obstacles(survey.request.earlier, published, settings, files)
    unchanged = [table for table in routed if table.table.name not in reasons]
    tables = sorted((table.table for table in unchanged), key=lambda table: table.name)
    return ReuseDecision(
        tuple(replace(table, reason=reasons[table.table.name]) for table in routed if table.table.name in reasons),
        tuple(unchanged),
        tuple(reused_table(published, same[table.name], table) for table in tables if published),
    )


async def obstacles(
    earlier: Earlier, published: Published, settings: Settings, reuse: Mapping[str, Sequence[File]]
) -> dict[str, str]:
    """Why files that hold unchanged tables, or partitions, cannot be reused, by the keys of `reuse`."""
    if busy := await _replacing(earlier.store, published, settings):
        return dict.fromkeys(reuse, f"run {busy} is replacing files")
    if earlier.signer:
        from bqdump.repository.signatures import is_signed

        names = settings.layout.run(published.run)
        if not await is_signed(earlier.store, settings.target, names, earlier.signer):
            return dict.fromkeys(reuse, f"run {published.run} is not signed with this key")
    infos = await present(earlier.store, [file.name for files in reuse.values() for file in files])
    reasons = {}
    for name, files in reuse.items():
        states = {differs(file, infos.get(file.name)) for file in files} - {""}
        if states:
            reasons[name] = "files gone" if "is gone" in states else "files were written again"
    return reasons


async def _replacing(store: ObjectStore, published: Published, settings: Settings) -> str:
    """The run that may be replacing published files now, although another one is published; "" for none."""
    if not published.replaces:
        return ""
    current = await value_of(store, settings.layout.publishing)
    return current.run if current and current.run != published.run else ""


def timed(readings: Mapping[str, Reading | None], by: int) -> dict[str, Reading | None]:
    """The readings with a time of BigQuery's clock that is not before any of them."""
    return {name: reading and replace(reading, by=by) for name, reading in readings.items()}


async def find_unchanged_partitions(
    survey: Survey,
    candidates: Sequence[Candidate],
    present: Mapping[str, Sequence[Partition]],
    same: set[str],
    take_reading: TakeReading,
) -> dict[str, dict[str, PartitionEntry]]:
    """The unchanged partitions of these tables, by table and id.

    present: the partitions that each has after the snapshot time.
    same: tables that are as they were before it, so that readings from before it are those from after it.
    """
    published, settings = survey.published, survey.settings
    if published is None or not settings.incremental:
        return {}
    comparison, unchanged_by_table = survey.comparison, dict[str, dict[str, PartitionEntry]]()
    for table in candidates:
        name = table.routed.table.name
        entries = comparison.partitions(table)
        ids = [partition.id for partition in present.get(name, ()) if partition.id in entries]
        known = survey.before[name].readings if name in same else NO_READINGS
        missing = [id_ for id_ in ids if id_ not in known]
        late = dict(
            zip(missing, await asyncio.gather(*(take_reading(f"{name}${id_}") for id_ in missing)), strict=True)
        )
        unchanged = unchanged_partitions(entries, {id_: known.get(id_) or late.get(id_) for id_ in ids})
        if unchanged and len(unchanged) == len(present[name]):
            # The table has changed, so it is in the plan, with one partition at least.
            del unchanged[least(present[name])]
        if unchanged:
            unchanged_by_table[name] = unchanged
    usable = await _usable(survey.request.earlier, published, settings, unchanged_by_table)
    return {name: entries for name, entries in usable.items() if entries}


async def _usable(
    earlier: Earlier, published: Published, settings: Settings, unchanged: Mapping[str, Mapping[str, PartitionEntry]]
) -> dict[str, dict[str, PartitionEntry]]:
    """Those whose files exist and stay."""
    tables = {table.table: table for table in published.tables}
    reuse = {
        f"{name}${partition.id}": files
        for name, entries in unchanged.items()
        for partition, files in files_by_partition(tables[name])
        if partition.id in entries
    }
    wrong = await obstacles(earlier, published, settings, reuse) if reuse else {}
    return {
        name: {id_: entry for id_, entry in entries.items() if f"{name}${id_}" not in wrong}
        for name, entries in unchanged.items()
    }
