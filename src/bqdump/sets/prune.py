"""Pruning a set: the runs of each dataset, and then the set's documents about runs that no dataset has any more.

The listing of a run goes first and its plan last. So a task that is late finds a plan without a listing, and begins
nothing; and a prune that was interrupted is finished by the next one. Only a run that can never be published any more
is deleted: a later one is.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence

from msgspec.structs import replace

from bqdump.core.documents.project import Project, ProjectPlan
from bqdump.core.documents.project_layout import ProjectLayout, is_document
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.retention.result import Pruned
from bqdump.core.sets.member import one_dataset
from bqdump.core.settings.settings import Settings
from bqdump.ports.store import ObjectStore
from bqdump.repository.projects import read_board, read_project
from bqdump.repository.repository import delete, value_of
from bqdump.retain.old_documents import delete_old, find_old
from bqdump.sets.datasets import names_in_set

log = logging.getLogger(__name__)


async def prune_set(
    store: ObjectStore, settings: Settings, prune: Callable[[Settings], Awaitable[Pruned]], now: int
) -> Pruned:
    """Prune the exports of each dataset of a set: the policy holds for each of them. Raises NotFoundError.

    prune: prunes one export. One after another: what one has deleted stays deleted if the next one fails.
    now: in milliseconds since 1970 UTC.
    """
    names = await names_in_set(store, settings)
    pruned = merged_pruned([await prune(one_dataset(settings, name)) for name in names])
    # Executions that restored datasets of the set.
    old = await find_old(store, settings.layout, now, ())
    notes = (*pruned.notes, *old.notes(store.url, deleted=pruned.deleted))
    if not pruned.deleted:
        return replace(pruned, notes=notes)
    await delete_old(store, old)
    return replace(pruned, left=(*pruned.left, *await _sweep(store, settings, now)), notes=notes)


def merged_pruned(found: Sequence[Pruned]) -> Pruned:
    """One result of several."""
    return Pruned(
        deleted=any(one.deleted for one in found),
        runs=tuple(run for one in found for run in one.runs),
        files=sum(one.files for one in found),
        bytes=sum(one.bytes for one in found),
        left=tuple(name for one in found for name in one.left),
        notes=tuple(dict.fromkeys(note for one in found for note in one.notes)),
    )


async def _sweep(store: ObjectStore, settings: Settings, now: int) -> list[str]:
    """Delete the documents of the set's runs that no dataset has any more; the objects in their folders that stay."""
    project, newest = await read_project(store, settings), await value_of(store, settings.layout.newest)
    runs: dict[str, frozenset[str]] = {}
    left: list[str] = []
    for run in await store.folders(settings.layout.projects):
        layout = settings.layout.project_run(run)
        plan = await value_of(store, layout.plan)
        if plan is None:
            # What a task has noted that was late. A new run writes the note of its planner first, again and again.
            silent = await _is_silent(store, settings, layout, now)
            left += await _delete(store, layout, unless="" if silent else layout.planner.name)
        elif newest and newest.run == run:
            continue
        elif await _is_over(store, settings, plan, project, now) and not await _is_alive(store, settings, plan, runs):
            left += await _delete(store, layout)
            log.info("removed the set's documents of run %s", run, extra=LogEvent.RUN_REMOVED.extra(run=run))
    return left


async def _is_silent(store: ObjectStore, settings: Settings, layout: ProjectLayout, now: int) -> bool:
    """Whether the planner of a run that has no plan has stopped so long ago that the run counts as abandoned."""
    planner, after = await store.stat(layout.planner.name), settings.abandoned_seconds * 1000
    return bool(planner and planner.updated and after and now - planner.updated > after)


async def _is_over(
    store: ObjectStore, settings: Settings, plan: ProjectPlan, project: Project | None, now: int
) -> bool:
    """Whether no task of a run is at work any more, and a later one is published, so that this one never can be."""
    if project is None or project.age <= plan.age:
        return False
    after = settings.abandoned_seconds * 1000
    if after and now - plan.planned > after:
        return True
    board = await read_board(store, settings.layout.project_run(plan.run))
    # Without its listing, a prune has begun to delete it.
    return len(board.ended) == len(plan.datasets) or await store.stat(plan.listing) is None


async def _is_alive(store: ObjectStore, settings: Settings, plan: ProjectPlan, runs: dict[str, frozenset[str]]) -> bool:
    """Whether a dataset has documents of the run. A tombstone alone only keeps names of files taken.

    runs: the folders of runs that each dataset has; those that are listed are added.
    """
    for member in plan.datasets:
        layout = one_dataset(settings, member.dataset).layout
        if member.dataset not in runs:
            runs[member.dataset] = frozenset(await store.folders(layout.runs))
        names = layout.run(plan.run)
        if plan.run in runs[member.dataset]:
            for document in (names.plan.name, names.manifest.name, names.planner.name):
                if await store.stat(document):
                    return True
    return False


async def _delete(store: ObjectStore, layout: ProjectLayout, unless: str = "") -> list[str]:
    """Delete the documents of a set's run at the generations that are listed; the names of what else is there.

    unless: nothing is deleted where this object exists.
    """
    found = [info async for page in store.objects(layout.root) for info in page]
    if unless and await store.stat(unless):
        return []
    own = [(info.name, info.generation) for info in found if is_document(info.name, layout)]
    listings = [one for one in own if one[0].startswith(f"{layout.root}listing-")]
    plans = [one for one in own if one[0] == layout.plan.name]
    for some in (listings, [one for one in own if one not in (*listings, *plans)], plans):
        await delete(store, some)
    return [info.name for info in found if not is_document(info.name, layout)]
