"""Prune: survey the target, plan what is deleted, examine the runs to delete, and delete them; then old documents.

Every document that decides is read before anything is written. A prune that is killed is finished by the next one.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from msgspec.structs import replace

from bqdump.core.progress.log_events import LogEvent
from bqdump.core.retention.pruned import Pruned
from bqdump.core.sizes import counted, size_text
from bqdump.retain.old_documents import delete_old, list_documents, old_of
from bqdump.retain.plan import PrunePlan, Swept, plan_of, result_of
from bqdump.retain.survey import Task, survey
from bqdump.retain.sweep import forecast, sweep
from bqdump.retain.tombstones import examine, withdraw

log = logging.getLogger(__name__)


async def prune(task: Task) -> Pruned:
    """Delete the runs that the policy does not keep, or only show which these are.

    Raises DocumentError if a document that decides cannot be read, UsageError for a copy of an export, or a bucket that
    keeps all objects. Nothing is deleted then.
    """
    plan = plan_of(await survey(task), task)
    if plan.survey.locked:
        # Imported for such places only.
        from bqdump.retain.locked import keep_locked, sweep_locked

        plan = await keep_locked(task, plan)
        swept = await sweep_locked(task, plan)
        return await _with_old_documents(task, result_of(plan, swept, deleted=task.delete))
    if task.delete:
        for tombstone in plan.stale:
            await withdraw(task, tombstone)
    plan = await examine(task, plan)
    swept = await (_act(task, plan) if task.delete else forecast(task, plan))
    return await _with_old_documents(task, result_of(plan, swept, deleted=task.delete))


async def _act(task: Task, plan: PrunePlan) -> Swept:
    files = (file for tombstone in plan.deletions for file in tombstone.value.files)
    if any(file.name.startswith(task.layout.iceberg) for file in files):
        # Imported where there are Iceberg tables only.
        from bqdump.retain.iceberg import forget_snapshots

        await forget_snapshots(task, plan.deletions)
    return await sweep(task, plan)


async def _with_old_documents(task: Task, result: Pruned) -> Pruned:
    """The same for documents that no run owns, among them those of runs that are deleted by now."""
    documents = await list_documents(task.store, task.layout)
    old = old_of(documents, task.now, {run.run for run in result.kept})
    notes = tuple(old.notes(task.store.url, deleted=task.delete))
    result = replace(result, left=(*result.left, *old.left), notes=(*result.notes, *notes))
    if task.delete:
        await delete_old(task.store, old)
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
