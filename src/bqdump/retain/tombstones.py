"""From the decision to a run that may be deleted: its tombstone, first proposed and then decided.

A tombstone keeps later runs from relying on a run's files. Only after it is stored does prune look for whatever has
come to rely on them, or on the run, before: so one of the two always sees the other (see `repository.references`). If
something has, the proposed tombstone is withdrawn; if not, it is decided, by compare-and-swap, and from then on no
prune withdraws it. Nothing is deleted before that. A dry run asks the same and stores nothing.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import NamedTuple

import msgspec

from bqdump.core.documents.retention import ObjectVersion, Tombstone
from bqdump.core.retention.policy import KEEP_TAG
from bqdump.core.retention.pruned import versions_of
from bqdump.repository.manifests import read_retained
from bqdump.repository.notes import read_tags
from bqdump.repository.published import read_latest
from bqdump.repository.repository import Loaded, create, exists, load, replace, value_of
from bqdump.retain.leftovers import Leftovers, copies_of, leftovers_of, metadata_of
from bqdump.retain.plan import PrunePlan
from bqdump.retain.survey import Complete, Task, Unfinished, named

# The generation of a tombstone that is only shown.
NOT_STORED = 0


class Proposed(NamedTuple):
    """A run with its tombstone, at the generation that was stored."""

    run: Complete | Unfinished
    tombstone: Loaded[Tombstone]


async def examine(task: Task, plan: PrunePlan) -> PrunePlan:
    """The plan with the files of the runs to delete, without runs that others rely on.

    Where the task deletes, the tombstones are stored before anybody is asked. Where it only shows, none is stored, and
    the same is asked.
    """
    for tombstone in plan.stale if task.delete else ():
        await withdraw(task, tombstone)
    # First the abandoned ones, which may rely on the files of others.
    plan = await mark_deleted(task, plan, plan.abandoned)
    return await mark_deleted(task, plan, plan.complete)


async def mark_deleted(task: Task, plan: PrunePlan, runs: Sequence[Complete | Unfinished]) -> PrunePlan:
    """Propose the deletion of these runs, and decide it for those that nothing speaks against."""
    if not runs:
        return plan
    proposed = [Proposed(run, await _propose(task, run)) for run in runs]
    deletions, kept = list[Loaded[Tombstone]](), dict[str, str]()
    objections = await _objections(task, plan, proposed)
    for proposal in proposed:
        if proposal.tombstone.value.decided:
            # Another prune has decided meanwhile.
            deletions.append(proposal.tombstone)
        elif why := objections.get(proposal.run.run):
            if task.delete:
                await withdraw(task, proposal.tombstone)
            kept[proposal.run.run] = why
        elif (files := await _files(task, proposal.run)) is None:
            # As by another prune; since then, a copy of it may have begun.
            if task.delete:
                await withdraw(task, proposal.tombstone)
            kept[proposal.run.run] = "its manifest was deleted meanwhile"
        elif decided := await _decide(task, proposal, files):
            deletions.append(decided)
        else:
            kept[proposal.run.run] = "it is needed again"
    return plan.examined(deletions, kept)


async def withdraw(task: Task, tombstone: Loaded[Tombstone]) -> None:
    """Delete a proposed tombstone, unless another prune has decided it."""
    name = task.layout.run(tombstone.value.run).tombstone.name
    await task.store.delete([(name, tombstone.generation)])


async def referring(task: Task, run: str, deleted: Container[str]) -> str:
    """A run that relies on the files of this one and has not ended, "" for none.

    One that has a manifest names the files there. One of which nothing is left never came to rely on them, and one
    whose deletion is decided is not published any more. deleted: the runs whose deletion this prune decides.
    """
    layout = task.layout
    async for page in task.store.notes(layout.run(run).references):
        for note in page:
            # The name tells, so that a damaged note counts as well.
            later = note.name.rpartition("/")[2].removesuffix(".json")
            names = layout.run(later)
            if await exists(task.store, names.manifest):
                continue
            tombstone = await value_of(task.store, names.tombstone)
            if later in deleted or (tombstone and tombstone.decided):
                continue
            if await exists(task.store, names.plan) or await exists(task.store, names.planner):
                return later
    return ""


async def _files_of_complete(task: Task, run: str) -> tuple[ObjectVersion, ...] | None:
    """What goes with a complete run unless another run names it: what its manifest names, and its Iceberg metadata.

    None if it has no manifest any more.
    """
    names = task.layout.run(run)
    manifest = await read_retained(task.store, names.manifest.name)
    if manifest is None:
        return None
    more = await metadata_of(task, run) if any(table.iceberg for table in manifest.tables) else ()
    return tuple(dict.fromkeys((*versions_of(manifest), *more)))


async def _propose(task: Task, run: Complete | Unfinished) -> Loaded[Tombstone]:
    if run.tombstone:
        return run.tombstone
    if isinstance(run, Complete):
        (project, dataset), replaces, snapshot_time = run.dataset, run.replaces, run.snapshot_time
        tombstone = Tombstone(
            run=run.run,
            mode="replace" if replaces else "keep",
            project=project,
            dataset=dataset,
            snapshot_time=snapshot_time,
        )
    else:
        plan = run.plan
        tombstone = Tombstone(
            run=run.run,
            mode=plan.mode if plan else "keep",
            project=plan.project if plan else "",
            dataset=plan.dataset if plan else "",
        )
    if not task.delete:
        return Loaded(tombstone, NOT_STORED)
    return await create(task.store, task.layout.run(run.run).tombstone, tombstone)


async def _objections(task: Task, plan: PrunePlan, proposed: Sequence[Proposed]) -> dict[str, str]:
    """Why runs must stay, by name: what has changed since they were chosen."""
    latest, publishing = (
        await read_latest(task.store, task.settings),
        await value_of(task.store, task.layout.publishing),
    )
    tags = await read_tags(task.store, task.layout)
    published = named(latest, publishing)
    deleted = {tombstone.value.run for tombstone in plan.deletions}
    objections: dict[str, str] = {}
    for proposal in proposed:
        run = proposal.run.run
        chosen = set(tags.get(run, ())).intersection((*task.policy.tags, KEEP_TAG))
        if run in published:
            objections[run] = "being published"
        elif chosen:
            objections[run] = f"tag {min(chosen)}"
        elif isinstance(proposal.run, Complete):
            if proposal.run.left_over and await exists(task.store, task.layout.run(run).copying):
                # A new copy of it has begun.
                objections[run] = "it is needed again"
            elif later := await referring(task, run, deleted):
                objections[run] = f"run {later} relies on its files"
        elif await exists(task.store, task.layout.run(run).manifest):
            objections[run] = "it has been completed meanwhile"
        elif proposal.run.plan is None and await _pulse(task, run) != proposal.run.pulse:
            # Its task was not dead, or was started again.
            objections[run] = "it is needed again"
    return objections


async def _pulse(task: Task, run: str) -> int:
    planner = await task.store.stat(task.layout.run(run).planner.name)
    return planner.updated if planner else 0


async def _files(task: Task, run: Complete | Unfinished) -> Leftovers | None:
    if isinstance(run, Complete):
        files = await _files_of_complete(task, run.run)
        return None if files is None else Leftovers(files, ())
    return await leftovers_of(task, run.plan) if run.plan else await copies_of(task, run.run, run.copied)


async def _decide(task: Task, proposal: Proposed, files: Leftovers) -> Loaded[Tombstone] | None:
    """Store the decision with the files to delete; the stored one. None if it was withdrawn."""
    decided = msgspec.structs.replace(proposal.tombstone.value, decided=True, files=files.own, left=files.unowned)
    if not task.delete:
        return Loaded(decided, proposal.tombstone.generation)
    document = task.layout.run(proposal.run.run).tombstone
    if generation := await replace(task.store, document, decided, proposal.tombstone.generation):
        return Loaded(decided, generation)
    stored = await load(task.store, document)
    return stored if stored and stored.value.decided else None
