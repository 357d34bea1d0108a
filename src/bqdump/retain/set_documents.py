"""Pruning a set: the documents about runs that no dataset has any more, once each dataset is pruned.

They are deleted once a later run is published and no task of theirs is at work; in a place of locked copies, once their
locks have ended.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress

from bqdump.concurrency import gathered
from bqdump.core.documents.layout import Layout
from bqdump.core.documents.sets import SetLayout, SetManifest, SetPlan, is_document
from bqdump.core.errors import DocumentError, VerificationError
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.retention.pruned import Pruned
from bqdump.core.sets.member import one_dataset
from bqdump.core.settings.settings import Settings
from bqdump.core.wording import COMMANDS
from bqdump.pool.datasets import read_set_progress
from bqdump.ports.store import ObjectStore
from bqdump.repository.exports import SetAt
from bqdump.repository.repository import delete, value_of
from bqdump.repository.set_runs import read_set_manifest
from bqdump.repository.storage import READS_AT_ONCE
from bqdump.retain.old_documents import delete_old, delete_unlocked, list_documents, old_of, with_locks

log = logging.getLogger(__name__)


async def named_by_set(at: SetAt, trusted: Callable[[ObjectStore, Settings], ObjectStore] | None) -> list[str]:
    """The run of each dataset that the published set names, "" for none, where its documents are never replaced.

    A copy that stops after some of the datasets leaves the set as it is, be it for many nights.
    """
    manifest = None
    # Where nothing is trusted, no reader finds a set.
    with suppress(VerificationError):
        manifest = await read_set_manifest(trusted(at.store, at.settings) if trusted else at.store, at.settings)
    named = {entry.dataset: entry.run for entry in manifest.datasets} if manifest and manifest.locked else {}
    return [named.get(name, "") for name in at.names]


async def prune_set(at: SetAt, now: int, *, delete: bool) -> Pruned:
    """Delete the documents of the set's runs that no dataset has any more. Its datasets are pruned before."""
    # Executions that restored datasets of the set.
    old = old_of(await list_documents(at.store, at.settings.layout), now, ())
    left: list[str] = []
    if delete:
        manifest = await at.manifest()
        locked = manifest is not None and manifest.locked
        left += await delete_old(at.store, old, locked=locked)
        left += await (_sweep_locked(at, now) if locked else _sweep(at.store, at.settings, manifest, now))
    notes = tuple(old.notes(at.store.url, deleted=delete))
    return Pruned(deleted=delete, runs=(), files=0, bytes=0, left=tuple(left), notes=notes)


async def _sweep(store: ObjectStore, settings: Settings, manifest: SetManifest | None, now: int) -> list[str]:
    """Delete the documents of the set's runs that no dataset has any more; the objects in their folders that stay."""
    newest = await value_of(store, settings.layout.newest)
    runs: dict[str, frozenset[str]] = {}
    left: list[str] = []
    for run in await store.folders(settings.layout.set_runs):
        layout = settings.layout.set_run(run)
        try:
            plan = await value_of(store, layout.plan)
        except DocumentError as error:
            damaged = LogEvent.SET_PLAN_UNREADABLE.extra(run=run)
            log.warning("run %s of the set is kept: %s", run, error.sentence(COMMANDS), extra=damaged)
            continue
        if plan is None:
            # What a task has noted that was late. A new run writes the note of its planner first, again and again.
            silent = await _is_silent(store, settings, layout, now)
            left += await _delete(store, layout, unless="" if silent else layout.planner.name)
        elif newest and newest.run == run:
            continue
        elif await _is_over(store, settings, plan, manifest, now) and not await _is_alive(store, settings, plan, runs):
            left += await _delete(store, layout)
            log.info("removed the set's documents of run %s", run, extra=LogEvent.RUN_REMOVED.extra(run=run))
    return left


async def _is_silent(store: ObjectStore, settings: Settings, layout: SetLayout, now: int) -> bool:
    """Whether the planner of a run that has no plan has stopped so long ago that the run counts as abandoned."""
    planner, after = await store.stat(layout.planner.name), settings.abandoned_seconds * 1000
    return bool(planner and planner.updated and after and now - planner.updated > after)


async def _is_over(
    store: ObjectStore, settings: Settings, plan: SetPlan, manifest: SetManifest | None, now: int
) -> bool:
    """Whether no task of a run is at work any more, and a later one is published, so that this one never can be."""
    if manifest is None or manifest.age <= plan.age:
        return False
    after = settings.abandoned_seconds * 1000
    if after and now - plan.planned > after:
        return True
    progress = await read_set_progress(store, settings.layout.set_run(plan.run))
    # Without its listing, a prune has begun to delete it.
    return len(progress.receipts) == len(plan.datasets) or await store.stat(plan.listing) is None


async def _is_alive(store: ObjectStore, settings: Settings, plan: SetPlan, runs: dict[str, frozenset[str]]) -> bool:
    """Whether a dataset has documents of the run.

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


async def _delete(store: ObjectStore, layout: SetLayout, unless: str = "") -> list[str]:
    """Delete the documents of a set's run at the generations that are listed; the names of what else is there.

    unless: nothing is deleted where this object exists.
    """
    infos = [info async for page in store.objects(layout.root) for info in page]
    if unless and await store.stat(unless):
        return []
    own = [(info.name, info.generation) for info in infos if is_document(info.name, layout)]
    listings = [document for document in own if document[0].startswith(f"{layout.root}listing-")]
    plans = [document for document in own if document[0] == layout.plan.name]
    for documents in (listings, [document for document in own if document not in (*listings, *plans)], plans):
        await delete(store, documents)
    return [info.name for info in infos if not is_document(info.name, layout)]


async def _sweep_locked(at: SetAt, now: int) -> list[str]:
    """Delete what names together the runs of a set that no dataset has any more; the names of what is left.

    Pointers first, so that no reader finds one whose manifest is gone. A copy locks its documents as it creates them.
    Every folder counts: whether a dataset belongs to the set may be known from these documents only.
    """
    layout, left = at.settings.layout, list[str]()
    folders = [f"{at.settings.target.prefix}{name}/" for name in await at.store.folders(at.settings.target.prefix)]
    runs = await gathered(lambda folder: at.store.folders(Layout(folder).runs), folders, READS_AT_ONCE)
    alive = {run for there in runs for run in there}
    pointers = [info async for page in at.store.objects(layout.pointers.folder) for info in page]
    for run in await at.store.folders(layout.set_runs):
        if run in alive:
            continue
        names = layout.set_run(run)
        own = [info for info in pointers if info.name.startswith(f"{layout.pointers.folder}{run}.")]
        documents = [info async for page in at.store.objects(names.root) for info in page]
        ours = [*own, *(info for info in documents if is_document(info.name, names))]
        ended = [info for info in await with_locks(at.store, ours) if info.locked_until <= now]
        for some in ([info for info in ended if info in own], [info for info in ended if info not in own]):
            left += await delete_unlocked(at.store, some)
        if ended:
            log.info("removed the set's documents of run %s", run, extra=LogEvent.RUN_REMOVED.extra(run=run))
    return left
