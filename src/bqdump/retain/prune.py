"""Prune: survey the target, plan what is deleted, examine the runs to delete, and delete them; then old documents.

Every document that decides is read before anything is written. A prune that is killed is finished by the next one.

Pruning a set: the runs of each dataset, and then the set's documents about runs that no dataset has any more.

The listing of a run goes first and its plan last. So a task that is late finds a plan without a listing, and begins
nothing; and a prune that was interrupted is finished by the next one. Only a run that can never be published any more
is deleted: a later one is.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress

from msgspec.structs import replace

from bqdump.core.documents.sets import SetLayout, SetManifest, SetPlan, is_document
from bqdump.core.errors import DocumentError, VerificationError
from bqdump.core.progress.log_events import LogEvent, about
from bqdump.core.retention.policy import Policy
from bqdump.core.retention.pruned import OpenState, Pruned, pruned_together
from bqdump.core.sets.member import one_dataset
from bqdump.core.settings.settings import Settings
from bqdump.core.sizes import counted, size_text
from bqdump.core.wording import COMMANDS
from bqdump.ports.store import ObjectStore
from bqdump.repository.exports import Exports, SetAt
from bqdump.repository.repository import delete, value_of
from bqdump.repository.set_runs import read_set_manifest, read_set_progress
from bqdump.retain.old_documents import delete_old, list_documents, old_of
from bqdump.retain.plan import PrunePlan, Swept, plan_of, result_of
from bqdump.retain.survey import AtWork, States, Task, look, survey
from bqdump.retain.sweep import forecast, sweep
from bqdump.retain.tombstones import examine, withdraw

log = logging.getLogger(__name__)


async def prune(task: Task) -> Pruned:
    """Delete the runs that the policy does not keep, or only show which these are.

    Raises DocumentError if a document that decides cannot be read, UsageError for a copy of an export, or a bucket that
    keeps all objects. Nothing is deleted then.
    """
    seen = await look(task)
    if seen.latest and seen.latest.locked:
        # Imported for such places only.
        from bqdump.retain.locked import keep_locked, survey_locked, sweep_locked

        plan = await keep_locked(task, plan_of(await survey_locked(task, seen), task))
        states = await _states(task, plan)
        result = result_of(plan, await sweep_locked(task, plan), states, deleted=task.delete)
        return await _with_old_documents(task, result, plan.survey.doubtful, locked=True)
    plan = plan_of(await survey(task, seen), task)
    if task.delete:
        for tombstone in plan.stale:
            await withdraw(task, tombstone)
    plan, states = await examine(task, plan), await _states(task, plan)
    swept = await (_act(task, plan) if task.delete else forecast(task, plan))
    return await _with_old_documents(task, result_of(plan, swept, states, deleted=task.delete))


async def _states(task: Task, plan: PrunePlan) -> Mapping[str, OpenState]:
    runs = [run.run for run in plan.survey.unfinished]
    return await task.states(task.store, task.settings, runs) if task.states and runs else {}


async def _act(task: Task, plan: PrunePlan) -> Swept:
    files = (file for tombstone in plan.deletions for file in tombstone.value.files)
    if any(file.name.startswith(task.layout.iceberg) for file in files):
        # Imported where there are Iceberg tables only.
        from bqdump.retain.iceberg import forget_snapshots

        await forget_snapshots(task, plan.deletions)
    return await sweep(task, plan)


async def _with_old_documents(
    task: Task, result: Pruned, doubtful: Collection[str] = (), *, locked: bool = False
) -> Pruned:
    """The same for documents that no run owns, among them those of runs that are deleted by now."""
    documents = await list_documents(task.store, task.layout)
    old = old_of(documents, task.now, {run.run for run in result.kept}.union(doubtful))
    denied = await delete_old(task.store, old, locked=locked) if task.delete else ()
    notes = tuple(old.without(denied).notes(task.store.url, deleted=task.delete))
    result = replace(result, left=(*result.left, *old.left, *denied), notes=(*result.notes, *notes))
    if task.delete:
        _log(result, notes)
    return result


def _log(result: Pruned, notes: Sequence[str]) -> None:
    for run in result.removed:
        log.info("removed run %s (%s)", run.run, run.state, extra=LogEvent.RUN_REMOVED.extra(run=run.run))
    runs, kept = counted(len(result.removed), "run"), counted(len(result.kept), "run")
    freed = counted(result.files, "file"), size_text(result.bytes)
    done = LogEvent.PRUNE_DONE.extra()
    for note in notes:
        log.info("%s", note, extra=done)
    log.info("pruned: %s removed (%s, %s), %s kept", runs, *freed, kept, extra=done)


async def prune_exports(
    exports: Exports,
    policy: Policy,
    now: int,
    at_work: AtWork | None = None,
    *,
    delete: bool,
    trusted: Callable[[ObjectStore, Settings], ObjectStore] | None = None,
    states: States | None = None,
) -> Pruned:
    """Prune each export, and the documents of the set that they belong to: the policy holds for each of them.

    One after another: what one of them has deleted stays deleted if the next one fails.
    now: in milliseconds since 1970 UTC. at_work: see retain.survey. delete: False only shows. trusted: makes the store
    of each that believes only signed manifests. states: see Task.
    """
    pruned = []
    named = [run for at in exports.sets for run in await _named_by(at, trusted)]
    for (store, own, dataset), in_set in zip(exports.each, named or [""], strict=True):
        with about(dataset if exports.sets else ""):
            signed = trusted(store, own) if trusted else None
            task = Task(store, own, policy, now, delete, at_work, signed, in_set, states)
            pruned.append(await prune(task))
    pruned += [await _prune_set(at, now, delete=delete) for at in exports.sets]
    return pruned_together(pruned)


async def _named_by(at: SetAt, trusted: Callable[[ObjectStore, Settings], ObjectStore] | None) -> list[str]:
    """The run of each dataset that the published set names, "" for none, where its documents are never replaced.

    A copy that stops after some of the datasets leaves the set as it is, be it for many nights.
    """
    manifest = None
    # Where nothing is trusted, no reader finds a set.
    with suppress(VerificationError):
        manifest = await read_set_manifest(trusted(at.store, at.settings) if trusted else at.store, at.settings)
    named = {entry.dataset: entry.run for entry in manifest.datasets} if manifest and manifest.locked else {}
    return [named.get(name, "") for name in at.names]


async def _prune_set(at: SetAt, now: int, *, delete: bool) -> Pruned:
    # Executions that restored datasets of the set.
    old = old_of(await list_documents(at.store, at.settings.layout), now, ())
    left: list[str] = []
    if delete:
        manifest = await at.manifest()
        locked = manifest is not None and manifest.locked
        left += await delete_old(at.store, old, locked=locked)
        if locked:
            # Imported for such places only.
            from bqdump.retain.locked import sweep_locked_set

            left += await sweep_locked_set(at, now)
        else:
            left += await _sweep(at.store, at.settings, now)
    notes = tuple(old.notes(at.store.url, deleted=delete))
    return Pruned(deleted=delete, runs=(), files=0, bytes=0, left=tuple(left), notes=notes)


async def _sweep(store: ObjectStore, settings: Settings, now: int) -> list[str]:
    """Delete the documents of the set's runs that no dataset has any more; the objects in their folders that stay."""
    manifest, newest = await read_set_manifest(store, settings), await value_of(store, settings.layout.newest)
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
    return len(progress.ended) == len(plan.datasets) or await store.stat(plan.listing) is None


async def _is_alive(store: ObjectStore, settings: Settings, plan: SetPlan, runs: dict[str, frozenset[str]]) -> bool:
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
