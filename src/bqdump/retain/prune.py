"""Prune: read the runs, decide which ones to keep, and delete the others; then old documents that no run owns.

Every document that decides is read before anything is written. A prune that is killed is finished by the next one.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from bqdump.core.documents.retention import Tombstone
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.retention.pruned import Pruned, RetainedRun
from bqdump.core.sizes import counted, size_text
from bqdump.core.times import EPOCH, time_in, time_of
from bqdump.retain.decide import Decided, bucket_notes, decide
from bqdump.retain.leftovers import copies_of, leftovers_of
from bqdump.retain.old_documents import delete_old, find_old
from bqdump.retain.runs import Complete, Found, Task, Unfinished, read_runs
from bqdump.retain.sweep import Swept, remaining, removable, sweep
from bqdump.retain.tombstones import entomb, files_of_run, referring, withdraw

log = logging.getLogger(__name__)


async def prune(task: Task) -> Pruned:
    """Delete the runs that the policy does not keep, or only show which these are.

    Raises DocumentError if a document that decides cannot be read, UsageError for a copy of an export, or a bucket that
    keeps all objects. Nothing is deleted then.
    """
    result = await _prune_runs(task)
    old = await find_old(task.store, task.layout, task.now, {run.run for run in result.kept})
    if task.delete:
        await delete_old(task.store, old)
    notes = tuple(old.notes(task.store.url, deleted=task.delete))
    result = replace(result, left=(*result.left, *old.left), notes=(*result.notes, *notes))
    if task.delete:
        _log(result, notes)
    return result


async def _prune_runs(task: Task) -> Pruned:
    notes = await bucket_notes(task)
    found = await read_runs(task)
    decided = await decide(task, found)
    decided = decided._replace(notes=(*decided.notes, *notes))
    if not task.delete:
        return await _shown(task, found, decided)
    await _withdraw_stale(task, [*found.complete, *found.unfinished], decided)
    # First the abandoned ones, which may rely on the files of others.
    abandoned, complete = await entomb(task, decided.abandoned), await entomb(task, decided.complete)
    dying = (*found.decided, *abandoned.decided, *complete.decided)
    if any(file.name.startswith(task.layout.iceberg) for tombstone in dying for file in tombstone.value.files):
        # Imported where there are Iceberg tables only.
        from bqdump.retain.iceberg import forget_snapshots

        await forget_snapshots(task, dying)
    swept = await sweep(task, dying, found.remains)
    kept = abandoned.kept | complete.kept
    return _result(found, decided, kept, swept, deleted=True)


async def _withdraw_stale(task: Task, runs: Sequence[Complete | Unfinished], decided: Decided) -> None:
    """Of runs that are kept: what a prune has proposed that was killed, or had another policy."""
    for run in runs:
        if run.tombstone and decided.reasons[run.run]:
            await withdraw(task, run.tombstone)


async def _shown(task: Task, found: Found, decided: Decided) -> Pruned:
    """What would be deleted."""
    kept: dict[str, str] = {}
    tombstones, left = [tombstone.value for tombstone in found.decided], list[str]()
    for dying in found.decided:
        left += (await remaining(task, dying.value))[1]
    abandoned = {unfinished.run for unfinished in decided.abandoned}
    for run in decided.complete:
        if later := await referring(task, run.run, abandoned):
            kept[run.run] = f"run {later} relies on its files"
        elif files := await files_of_run(task, run.run):
            tombstones.append(Tombstone(run=run.run, files=files))
    for unfinished in decided.abandoned:
        plan = unfinished.plan
        leftovers = await leftovers_of(task, plan) if plan else await copies_of(task, unfinished.copied)
        tombstones.append(Tombstone(run=unfinished.run, files=leftovers.own))
        left += leftovers.left
    doomed = await removable(task, tombstones)
    swept = Swept(len(doomed), sum(file.size for file in doomed), tuple(left))
    return _result(found, decided, kept, swept, deleted=False)


def _result(found: Found, decided: Decided, kept: Mapping[str, str], swept: Swept, *, deleted: bool) -> Pruned:
    """kept: why runs are kept although the decision was to remove them."""
    reasons = decided.reasons | {run: (why,) for run, why in kept.items()}
    runs = [
        *(_complete(run, found, reasons[run.run]) for run in found.complete),
        *(_unfinished(run, found, reasons[run.run]) for run in found.unfinished),
        *(_dying(tombstone.value) for tombstone in found.decided if not tombstone.value.emptied),
    ]
    runs.sort(key=lambda run: (run.snapshot_time is None, run.snapshot_time or EPOCH, run.run), reverse=True)
    return Pruned(
        deleted=deleted,
        runs=tuple(runs),
        files=swept.files,
        bytes=swept.bytes,
        left=swept.left,
        notes=decided.notes,
    )


def _complete(run: Complete, found: Found, reasons: tuple[str, ...]) -> RetainedRun:
    usage = found.storage.of(run.run)
    return RetainedRun(
        run=run.run,
        state="complete" if run.complete else "partial",
        removed=not reasons,
        reasons=reasons,
        dataset=".".join(run.dataset),
        snapshot_time=time_of(run.snapshot),
        tables=run.tables,
        files=usage.files,
        bytes=usage.bytes,
        alone=usage.alone,
        tags=found.tags.get(run.run, ()),
    )


def _unfinished(run: Unfinished, found: Found, reasons: tuple[str, ...]) -> RetainedRun:
    plan = run.plan
    return RetainedRun(
        run=run.run,
        state="unfinished",
        removed=not reasons,
        reasons=reasons or ("abandoned",),
        dataset=f"{plan.project}.{plan.dataset}" if plan else "",
        snapshot_time=time_of(plan.snapshot) if plan else None,
        tables=plan.tables if plan else 0,
        tags=found.tags.get(run.run, ()),
    )


def _dying(tombstone: Tombstone) -> RetainedRun:
    return RetainedRun(
        run=tombstone.run,
        state="pruning",
        removed=True,
        reasons=("a prune was interrupted",),
        dataset=".".join(filter(None, (tombstone.project, tombstone.dataset))),
        snapshot_time=time_in(tombstone.snapshot_time),
        files=len(tombstone.files),
        bytes=sum(file.size for file in tombstone.files),
    )


def _log(result: Pruned, notes: Sequence[str]) -> None:
    for run in result.removed:
        log.info("removed run %s (%s)", run.run, run.state, extra=LogEvent.RUN_REMOVED.extra(run=run.run))
    runs, kept = counted(len(result.removed), "run"), counted(len(result.kept), "run")
    freed = counted(result.files, "file"), size_text(result.bytes)
    done = LogEvent.PRUNE_DONE.extra()
    for note in notes:
        log.info("%s", note, extra=done)
    log.info("pruned: %s removed (%s, %s), %s kept", runs, *freed, kept, extra=done)
