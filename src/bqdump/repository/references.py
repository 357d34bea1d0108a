"""References: how a run that names files of an earlier one keeps prune from deleting them.

The run writes a reference and then looks for a tombstone; prune writes a tombstone and then looks for references. So at
least one of them sees the other. Where the run finds a tombstone, it does not rely on the files. Where prune finds a
reference of a run that has neither ended nor been abandoned, it withdraws the tombstone.

In the same way, a run that was abandoned, and is still alive after all, does not come back: it writes its manifest and
then looks for its own tombstone; prune writes the tombstone and then looks for a manifest.
"""

from __future__ import annotations

from bqdump.core.documents.layout import Layout
from bqdump.core.documents.retention import Reference
from bqdump.core.documents.run import Plan
from bqdump.core.documents.run_layout import RunLayout
from bqdump.ports.store import ObjectStore
from bqdump.repository.repository import create, exists, value_of


async def pruned_meanwhile(store: ObjectStore, names: RunLayout, plan: Plan) -> bool:
    """Whether this run is being pruned, or was. Call it once its manifest is stored."""
    if await exists(store, names.tombstone):
        return True
    # Prune deletes the tombstone last, when the plan has gone.
    stored = await value_of(store, names.plan)
    return stored is None or stored.nonce != plan.nonce


async def refer(store: ObjectStore, layout: Layout, earlier: str, run: str) -> bool:
    """Record that `run` relies on files that the manifest of `earlier` names. False: that run is, or was, pruned.

    `run` must have its note as a planner, or its plan, before this; else prune takes the reference for one left behind.
    Only the run whose manifest is read needs a reference: as long as it is not pruned, prune deletes nothing that it
    names, also not what even earlier runs have made.
    """
    names = layout.run(earlier)
    await create(store, names.reference(run), Reference(run))
    # In this order: prune deletes the tombstone last, when the manifest has gone.
    return not await exists(store, names.tombstone) and await exists(store, names.manifest)
