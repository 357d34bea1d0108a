"""Finding the tables that need not be exported again, and making sure that their files stay until this run names them.

A planner that relies on the files of a manifest refers to its run, so that prune keeps what it names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from bqdump.core.documents.run import Plan
from bqdump.core.documents.unchanged import Look, Reused
from bqdump.core.plan.looks import Published
from bqdump.core.plan.reuse import Reuse, Seen, decide, look_before
from bqdump.core.plan.routes import Routed
from bqdump.core.settings.settings import Settings
from bqdump.ports.store import ObjectStore
from bqdump.repository.presence import differs, present
from bqdump.repository.references import refer
from bqdump.repository.repository import value_of


class Earlier(NamedTuple):
    """The published export, and the place of its files."""

    store: ObjectStore
    published: Published | None


class Reusable(NamedTuple):
    """The tables to export, each with its looks and (incremental) why it is exported, and those that did not change."""

    routed: tuple[Routed, ...]
    unchanged: tuple[Routed, ...] = ()
    reused: tuple[Reused, ...] = ()


async def find_reusable(
    earlier: Earlier, settings: Settings, run: str, snapshot: int, seen: Sequence[Seen]
) -> Reusable:
    """Sort tables into those that are exported and those whose files an earlier run has exported already.

    run, snapshot: of this plan.
    """
    published = earlier_export(earlier.published, settings, run, snapshot)
    had = {table.table: table for table in published.tables} if published else {}
    chosen = settings.snapshot_ms is not None
    looked = [
        replace(
            table.routed,
            look=None if table.obstacle else table.look,
            look_before=None
            if table.obstacle
            else look_before(had.get(table.routed.table.name), snapshot, chosen=chosen),
        )
        for table in seen
    ]
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
    found = await present(earlier.store, [file.name for table in reuse.values() for file in table.files])
    reasons = {}
    for name, table in reuse.items():
        states = {differs(file, found.get(file.name)) for file in table.files} - {""}
        if states:
            reasons[name] = "files gone" if "is gone" in states else "files were written again"
    return reasons


async def _replacing(store: ObjectStore, published: Published, settings: Settings) -> str:
    """The run that may be replacing published files now, although another one is published; "" for none."""
    if published.mode == "keep":
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
