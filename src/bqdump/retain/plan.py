"""The plan of a prune: which runs are pruned, which of those pruned before are deleted, and why the others are kept.
Pure: nothing here asks or writes.

Complete runs go if the policy does not keep them, unfinished ones if they were abandoned. What is printed of a prune,
before it or after it, is this plan.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from bqdump.core.errors import UsageError
from bqdump.core.restore.drill import ago
from bqdump.core.retention.policy import KEEP_TAG, NOT_NAMED, Snapshot, apply
from bqdump.core.retention.pruned import OpenState, Pruned, RetainedRun, Storage
from bqdump.core.sizes import counted
from bqdump.core.times import EPOCH, period_text, rfc3339, time_in, time_of
from bqdump.ports.store import BucketInfo
from bqdump.repository.pruned_runs import DELETABLE_MS
from bqdump.retain.survey import Complete, Marked, Survey, Task, Unfinished

PUBLISHED = "published"
BEING_PUBLISHED = "being published"
LATER = "later than the published run"
UNPUBLISHED = "nothing is published"
PLANNING = "being planned"
COPYING = "being copied"
AT_WORK = "its jobs are still running"
# Of runs that are not trusted, so many have a note of their own.
NAMED = 10
# A planner whose note is as old as this is not at work, whatever the clocks say.
SILENT_MS = 3_600_000
UNTRUSTED = "not trusted"
AT_ONCE = "Files are deleted at once: no restore, verification, drill or copy of the removed runs may be at work."
HELD = "held by the store"
LOCKED = "locked until"
UNCHECKED = "cannot check whether its jobs are still running"


class Swept(NamedTuple):
    """The export's files that were deleted, or would be, and objects in the runs' folders that stay.

    later_files, later_bytes: those that follow in a day.
    held: the runs whose manifests the store keeps, so that they are there as before.
    """

    files: int
    bytes: int
    left: tuple[str, ...]
    later_files: int = 0
    later_bytes: int = 0
    held: frozenset[str] = frozenset()


class PrunePlan(NamedTuple):
    """What a prune does.

    survey: what it follows from.
    reasons: why each run is kept, by name; nothing for runs to prune.
    due: the runs, pruned before, whose files and documents are deleted now.
    tagged: those that were tagged as they were pruned: they come back, as the prune was killed that saw it.
    notes: what a person should know, in sentences.
    """

    survey: Survey
    reasons: Mapping[str, tuple[str, ...]]
    due: frozenset[str]
    tagged: frozenset[str]
    notes: tuple[str, ...]

    @property
    def complete(self) -> tuple[Complete, ...]:
        """The complete runs to prune."""
        return tuple(run for run in self.survey.complete if not self.reasons[run.run])

    @property
    def abandoned(self) -> tuple[Unfinished, ...]:
        """The unfinished runs to prune."""
        return tuple(run for run in self.survey.unfinished if not self.reasons[run.run])

    @property
    def leaving(self) -> tuple[Complete | Unfinished, ...]:
        """All runs to prune."""
        return (*self.abandoned, *self.complete)

    @property
    def kept(self) -> set[str]:
        """The runs that stay, and those that may."""
        return {run for run, why in self.reasons.items() if why}.union(self.survey.doubtful)

    def with_storage(self, storage: Storage | None) -> PrunePlan:
        """The same with what each run names."""
        return self._replace(survey=self.survey._replace(storage=storage))

    def without(self, kept: Mapping[str, str]) -> PrunePlan:
        """The plan where some runs stay after all. kept: why, by name."""
        return self._replace(reasons={**self.reasons, **{run: (why,) for run, why in kept.items()}})


def plan_of(survey: Survey, task: Task) -> PrunePlan:
    """Apply the policy to complete runs, and find the unfinished ones that were abandoned.

    Raises UsageError if the bucket keeps all objects.
    """
    bucket = _bucket_notes(survey.bucket, task.store.url, locked=bool(survey.latest and survey.latest.locked))
    tags = survey.tags
    snapshots = [
        Snapshot(run.run, run.dataset, run.snapshot, run.complete, tags.get(run.run, ()), _always(run, survey, task))
        for run in survey.complete
        if not run.untrusted
    ]
    reasons = apply(task.policy, snapshots, task.now)
    # They take no place of a run that is trusted.
    untrusted = [run for run in survey.complete if run.untrusted]
    reasons |= {run.run: (UNTRUSTED,) for run in untrusted}
    reasons |= {run.run: _why_unfinished(run, survey, task) for run in survey.unfinished}
    relying = {
        run.plan.over: run.run for run in survey.unfinished if run.plan and run.plan.all_reused and reasons[run.run]
    }
    reasons |= {
        run.run: (f"run {relying[run.run]} relies on its files",)
        for run in survey.complete
        if run.run in relying and not reasons[run.run]
    }
    unchecked = any(UNCHECKED in why for why in reasons.values())
    jobs = (f"Unfinished runs are kept: {survey.jobs.why}.",) if unchecked else ()
    locks = {run.run: run.locked_until for run in survey.complete if not reasons[run.run]}
    held = {run: end for run, end in locks.items() if end > task.now}
    reasons |= {run: (f"{LOCKED} {rfc3339(end)}",) for run, end in held.items()}
    keeping = {*task.policy.tags, KEEP_TAG}
    tagged = frozenset(run.run for run in survey.marked if keeping.intersection(tags.get(run.run, ())))
    waited = (run.run for run in survey.marked if task.at_once or run.age >= DELETABLE_MS)
    due = frozenset(waited) - tagged
    at_once = (AT_ONCE,) if task.at_once and (due or not all(reasons.values())) else ()
    notes = (*at_once, *survey.passed, *_named(untrusted), *jobs, *bucket, *_held(held.values()))
    return PrunePlan(survey, reasons, due, tagged, notes)


def _held(ends: Collection[int]) -> Iterator[str]:
    if ends:
        longer = f"{counted(len(ends), 'run')} that the policy does not keep {'is' if len(ends) == 1 else 'are'} locked"
        yield f"{longer}; the first lock ends at {rfc3339(min(ends))}."


def _named(untrusted: Sequence[Complete]) -> list[str]:
    """What a person should know about runs that are not trusted."""
    hint = "Find out who stored it, and whether it hides a signed one. Prune it by name, without a key, to delete it."
    notes = [f"Run {run.run} is kept, in no place of another, as {run.untrusted}. {hint}" for run in untrusted[:NAMED]]
    more = len(untrusted) - NAMED
    return [*notes, f"{counted(more, 'more run')} {'is' if more == 1 else 'are'} not trusted."] if more > 0 else notes


def _always(run: Complete, survey: Survey, task: Task) -> str:
    """Why no policy removes this run, "" where one may. A run older than the published one is never published."""
    if survey.latest is None:
        return UNPUBLISHED
    if run.run in (survey.latest.run, task.in_set):
        return PUBLISHED
    if run.run in survey.named:
        return BEING_PUBLISHED
    return LATER if run.age > survey.latest.age else ""


def _why_unfinished(run: Unfinished, survey: Survey, task: Task) -> tuple[str, ...]:
    """Why an unfinished run is kept, nothing where it was abandoned."""
    if run.run in survey.named:
        return (BEING_PUBLISHED,)
    if task.policy.named is not None and run.run not in task.policy.named:
        return (NOT_NAMED,)
    if tags := survey.tags.get(run.run, ()):
        return tuple(f"tag {tag}" for tag in tags)
    if run.plan is None:
        # It has no jobs.
        return _why_unplanned(run, task)
    if not run.has_stopped(task):
        return ("unfinished",)
    if survey.jobs.ids is None:
        return (UNCHECKED,)
    return (AT_WORK,) if any(job.startswith(run.plan.job_prefix) for job in survey.jobs.ids) else ()


def _why_unplanned(run: Unfinished, task: Task) -> tuple[str, ...]:
    """Why a run without a plan is kept: its planner writes its note again and again while it is alive."""
    silent, after = task.now - run.pulse, task.settings.abandoned_seconds * 1000
    if not run.pulse:
        return (PLANNING,)
    if after and silent > after:
        return ()
    doing = COPYING if run.copied else PLANNING
    return (doing if silent < SILENT_MS else f"stopped while it was {doing}, {ago(silent / 1000)}",)


def _bucket_notes(bucket: BucketInfo | None, url: str, *, locked: bool) -> tuple[str, ...]:
    """What the bucket's settings mean for a prune: whether anything can be deleted, and what stays billed.

    locked: every object is locked anyway, and what cannot be deleted yet is left.
    """
    if bucket is None:
        return ()
    if bucket.retention_seconds and not locked:
        cause = f"its retention policy keeps objects for {period_text(bucket.retention_seconds)}"
        raise UsageError("prune", url, cause, "Nothing was deleted. Remove the policy first.")
    if bucket.holds and not locked:
        hint = "Nothing was deleted. Remove the default event-based hold and the holds of the objects first."
        raise UsageError("prune", url, "its objects are under a hold", hint)
    notes = ["New objects are under an event-based hold: they stay until it is released."] if bucket.holds else []
    if bucket.soft_delete_seconds:
        notes.append(f"Soft delete is on: deleted files stay billed for {period_text(bucket.soft_delete_seconds)}.")
    if bucket.versions and not locked:
        notes.append("Versioning is on: deleted files stay billed as noncurrent versions.")
    return tuple(notes)


def result_of(plan: PrunePlan, swept: Swept, *, deleted: bool) -> Pruned:
    """The plan for people and programs."""
    runs = [
        *(_complete(run, plan) for run in plan.survey.complete),
        *(_unfinished(run, plan) for run in plan.survey.unfinished),
        *(_pruned(run, removed=run.run in plan.due) for run in plan.survey.marked),
    ]
    runs.sort(key=lambda run: (run.snapshot_time is None, run.snapshot_time or EPOCH, run.run), reverse=True)
    return Pruned(
        deleted=deleted,
        runs=tuple(runs),
        files=swept.files,
        bytes=swept.bytes,
        later_files=swept.later_files,
        later_bytes=swept.later_bytes,
        left=swept.left,
        notes=plan.notes,
    )


def _complete(run: Complete, plan: PrunePlan) -> RetainedRun:
    storage, reasons = plan.survey.storage, plan.reasons[run.run]
    usage = storage.of(run.run) if storage and run.run in storage else None
    return RetainedRun(
        run=run.run,
        state="complete" if run.complete else "partial",
        removed=not reasons,
        reasons=reasons,
        dataset=".".join(run.dataset),
        snapshot_time=time_of(run.snapshot),
        tables=run.tables,
        files=usage.files if usage else run.files,
        bytes=usage.bytes if usage else run.bytes,
        alone=usage.alone if usage else None,
        tags=plan.survey.tags.get(run.run, ()),
    )


def _unfinished(run: Unfinished, plan: PrunePlan) -> RetainedRun:
    planned, reasons = run.plan, plan.reasons[run.run]
    state: OpenState = "running" if planned else "copying" if run.copied else "planning"
    return RetainedRun(
        run=run.run,
        state=plan.survey.states.get(run.run, state),
        removed=not reasons,
        reasons=reasons or ("abandoned",),
        dataset=f"{planned.project}.{planned.dataset}" if planned else "",
        snapshot_time=time_of(planned.snapshot) if planned else None,
        tables=planned.tables if planned else 0,
        tags=plan.survey.tags.get(run.run, ()),
    )


def _pruned(run: Marked, *, removed: bool) -> RetainedRun:
    return RetainedRun(
        run=run.run,
        state="pruning",
        removed=removed,
        reasons=(f"pruned {ago(max(0, run.age) / 1000)}",),
        dataset=".".join(filter(None, (run.mark.project, run.mark.dataset))),
        snapshot_time=time_in(run.mark.snapshot_time),
    )
