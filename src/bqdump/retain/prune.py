"""Prune: survey the target, plan which runs go, take them out of the log, and delete the files of those that were
taken out of it a day before; then old documents.

Every document that decides is read before anything is written. A prune that is killed is finished by the next one.

The listing of a run goes first and its plan last. So a task that is late finds a plan without a listing, and begins
nothing; and a prune that was interrupted is finished by the next one. Only a run that can never be published any more
is deleted: a later one is.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from bqdump.core.progress.log_events import LogEvent, about
from bqdump.core.retention.policy import Policy
from bqdump.core.retention.pruned import Pruned, pruned_together
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target
from bqdump.core.sizes import counted, size_text
from bqdump.ports.store import ObjectStore
from bqdump.repository.exports import Exports
from bqdump.retain.old_documents import delete_old, list_documents, old_of
from bqdump.retain.plan import HELD, PrunePlan, Swept, plan_of, result_of
from bqdump.retain.set_documents import named_by_set, prune_set
from bqdump.retain.survey import AtWork, States, Task, survey, survey_place
from bqdump.retain.sweep import Files, files_of, forecast, mark, refuse_unfinished, sweep

log = logging.getLogger(__name__)


async def prune(task: Task) -> Pruned:
    """Delete the runs that the policy does not keep, or only show which these are.

    Raises DocumentError if a document that decides cannot be read, UsageError for a copy of an export, or a bucket that
    keeps all objects. Nothing is deleted then.
    """
    place = await survey_place(task)
    if place.locked:
        # Imported for such places only.
        from bqdump.retain.locked import examine_locked, survey_locked, sweep_locked

        plan = plan_of(await survey_locked(task, place), task)
        files = await examine_locked(task, plan)
        swept = await sweep_locked(task, plan, files) if task.delete else files.swept
        plan = plan.without(dict.fromkeys(swept.held, HELD))
    else:
        plan = plan_of(await survey(task, place), task)
        if task.at_once:
            refuse_unfinished(task, plan)
        # Before anything is written: a manifest that cannot be read stops it.
        found = await files_of(task, plan)
        plan = plan.with_storage(found.storage)
        if task.delete:
            plan, swept = await _delete(task, plan, found)
        else:
            swept = await forecast(task, plan, found)
    # Documents that no run owns, among them those of runs that are deleted by now.
    old = old_of(await list_documents(task.store, task.layout), task.now, plan.kept)
    denied = await delete_old(task.store, old, locked=place.locked) if task.delete else ()
    notes = tuple(old.without(denied).notes(task.store.url, deleted=task.delete))
    plan, left = plan._replace(notes=(*plan.notes, *notes)), (*swept.left, *old.left, *denied)
    result = result_of(plan, swept._replace(left=left), deleted=task.delete)
    if task.delete:
        _log(result, notes)
    return result


async def _delete(task: Task, plan: PrunePlan, files: Files) -> tuple[PrunePlan, Swept]:
    """Take the runs of a plan out of the log, and delete what is due; the plan without runs that stay after all."""
    marked = await mark(task, plan)
    if not task.at_once:
        files = files if marked.leaving == plan.leaving else await files_of(task, marked)
        return marked, await sweep(task, marked, files)
    # A planner stores its note and then reads the log: either it is found here, or it finds none of these runs.
    due = plan_of(await survey(task), task)
    refuse_unfinished(task, due)
    due = due.without({run.run: "needed again" for run in due.leaving})
    return marked, await sweep(task, due, await files_of(task, due))


def _log(result: Pruned, notes: Sequence[str]) -> None:
    for run in result.removed:
        log.info("removed run %s (%s)", run.run, run.state, extra=LogEvent.RUN_REMOVED.extra(run=run.run))
    for note in notes:
        log.info("%s", note, extra=LogEvent.RUN_REMOVED.extra())


def log_total(result: Pruned, target: Target) -> None:
    """Log once what was pruned: of a set, when all its datasets are done."""
    runs, kept = counted(len(result.removed), "run"), counted(len(result.kept), "run")
    freed = f"{counted(result.files, 'file')}, {size_text(result.bytes)}"
    done = LogEvent.PRUNE_DONE.extra(target=str(target))
    log.info("pruned: %s removed (%s), %s kept", runs, freed, kept, extra=done)


async def prune_exports(
    exports: Exports,
    policy: Policy,
    now: int,
    at_work: AtWork | None = None,
    *,
    delete: bool,
    trusted: Callable[[ObjectStore, Settings], ObjectStore] | None = None,
    states: States | None = None,
    at_once: bool = False,
) -> Pruned:
    """Prune each export, and the documents of the set that they belong to: the policy holds for each of them.

    One after another: what one of them has deleted stays deleted if the next one fails.

    now: in milliseconds since 1970 UTC.
    at_work: see retain.survey.
    delete: False only shows.
    trusted: makes the store of each that believes only signed manifests.
    states, at_once: see Task.
    """
    pruned = []
    set_at = exports.set_at
    named = await named_by_set(set_at, trusted) if set_at else [""]
    for (store, own, dataset), in_set in zip(exports.each, named, strict=True):
        with about(dataset):
            signed = trusted(store, own) if trusted else None
            task = Task(store, own, policy, now, delete, at_work, signed, in_set, states, at_once)
            pruned.append(await prune(task))
    if set_at:
        pruned.append(await prune_set(set_at, now, delete=delete))
    return pruned_together(pruned)
