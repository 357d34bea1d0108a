"""What is removed: complete runs that the policy does not keep, and runs that were abandoned.

What the settings of a bucket mean for a prune: whether anything can be deleted, and what stays billed.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import NamedTuple

from bqdump.core.errors import BqdumpError, DeniedError, UsageError
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.restore.drilled import ago
from bqdump.core.retention.policy import NOT_NAMED, Snapshot, apply
from bqdump.core.wording import COMMANDS, fill
from bqdump.retain.runs import Complete, Found, Task, Unfinished

log = logging.getLogger(__name__)

PUBLISHED = "published"
BEING_PUBLISHED = "being published"
LATER = "later than the published run"
UNPUBLISHED = "nothing is published"
PLANNING = "being planned"
COPYING = "being copied"
AT_WORK = "its jobs are still running"
# A planner whose note is as old as this is not at work, whatever the clocks say.
SILENT_MS = 3_600_000
UNCHECKED = "cannot check whether its jobs are still running"


class Decided(NamedTuple):
    """Why each run is kept, by name; nothing for runs to remove. notes: what a person should know."""

    reasons: dict[str, tuple[str, ...]]
    complete: tuple[Complete, ...]
    abandoned: tuple[Unfinished, ...]
    notes: tuple[str, ...]


async def decide(task: Task, found: Found) -> Decided:
    """Apply the policy to complete runs, and find the unfinished ones that were abandoned."""
    snapshots = [
        Snapshot(run.run, run.dataset, run.snapshot, run.complete, found.tags.get(run.run, ()), _always(run, found))
        for run in found.complete
    ]
    reasons = apply(task.policy, snapshots, task.now)
    unfinished, notes = await _unfinished(task, found)
    return Decided(
        reasons | unfinished,
        tuple(run for run in found.complete if not reasons[run.run]),
        tuple(run for run in found.unfinished if not unfinished[run.run]),
        notes,
    )


def _always(run: Complete, found: Found) -> str:
    """Why no policy removes this run, "" where one may. A run older than the published one is never published."""
    if found.latest is None:
        return UNPUBLISHED
    if run.run == found.latest.run:
        return PUBLISHED
    if run.run in found.named:
        return BEING_PUBLISHED
    return LATER if run.age > found.latest.age else ""


async def _unfinished(task: Task, found: Found) -> tuple[dict[str, tuple[str, ...]], tuple[str, ...]]:
    """Why each unfinished run is kept, and notes."""
    reasons: dict[str, tuple[str, ...]] = {}
    old: list[Unfinished] = []
    for run in found.unfinished:
        tags = tuple(f"tag {tag}" for tag in found.tags.get(run.run, ()))
        if run.run in found.named:
            reasons[run.run] = (BEING_PUBLISHED,)
        elif task.policy.named is not None and run.run not in task.policy.named:
            reasons[run.run] = (NOT_NAMED,)
        elif tags:
            reasons[run.run] = tags
        elif run.plan is None:
            # It has no jobs. A tombstone without a note is what a prune has left of a run that ended.
            reasons[run.run] = _planning(task, run)
        elif not _abandoned(task, run):
            reasons[run.run] = ("unfinished",)
        else:
            old.append(run)
    if not old:
        return reasons, ()
    jobs, note = await _jobs(task, old)
    for run in old:
        working = jobs is not None and any(job.startswith(run.plan.job_prefix) for job in jobs if run.plan)
        reasons[run.run] = (UNCHECKED,) if jobs is None else (AT_WORK,) if working else ()
    return reasons, (note,) if note else ()


def _abandoned(task: Task, run: Unfinished) -> bool:
    after = task.settings.abandoned_seconds * 1000
    return after > 0 and run.plan is not None and task.now - run.plan.began > after


def _planning(task: Task, run: Unfinished) -> tuple[str, ...]:
    """Why a run without a plan is kept: its planner writes its note again and again while it is alive."""
    silent, after = task.now - run.pulse, task.settings.abandoned_seconds * 1000
    if not run.pulse:
        return () if run.tombstone else (PLANNING,)
    if after and silent > after:
        return ()
    doing = COPYING if run.copied else PLANNING
    return (doing if silent < SILENT_MS else f"stopped while it was {doing}, {ago(silent / 1000)}",)


async def _jobs(task: Task, old: Sequence[Unfinished]) -> tuple[set[str] | None, str]:
    """The jobs at work, None where that cannot be known; and a note about it."""
    if task.at_work is None:
        note = "Unfinished runs are kept: set {setting:project}, so that their jobs can be checked."
        return None, fill(note, COMMANDS)
    try:
        return await task.at_work(min(run.plan.began for run in old if run.plan)), ""
    except BqdumpError as error:
        log.warning("unfinished runs are kept: %s", error, extra=LogEvent.CLEANUP_FAILED.extra())
        return None, fill(f"Unfinished runs are kept: {error.cause}.", COMMANDS)


async def bucket_notes(task: Task) -> tuple[str, ...]:
    """What a person should know about the bucket, in sentences. Raises UsageError if it keeps all objects.

    Without permission to read its settings there are none.
    """
    try:
        bucket = await task.store.describe()
    except DeniedError:
        return ()
    url = task.store.url
    if bucket.retention_seconds:
        cause = f"its retention policy keeps objects for {bucket.retention_seconds:,} seconds"
        raise UsageError("prune", url, cause, "Nothing was deleted. Remove the policy first.")
    if bucket.holds:
        hint = "Nothing was deleted. Remove the default event-based hold and the holds of the objects first."
        raise UsageError("prune", url, "its objects are under a hold", hint)
    notes = []
    if bucket.soft_delete_seconds:
        notes.append(f"Soft delete is on: deleted files stay billed for {bucket.soft_delete_seconds / 86_400:g} days.")
    if bucket.versions:
        notes.append("Versioning is on: deleted files stay billed as noncurrent versions.")
    return tuple(notes)
