"""Copying runs: choose → claim the place → look at both sides → move what is missing → manifest → pointer."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from bqdump.copying.finish import begin, compare, complete, store_manifest
from bqdump.copying.move import move
from bqdump.copying.places import check_place, chosen_runs, claim_place, refuse_overlap, refuse_run
from bqdump.copying.survey import Place, Surveyed, Task, plan_of, sources_of, survey
from bqdump.core.copy.plan import Copied, CopiedRun, CopyPlan, CopyState, Side, egress_of, requests_for
from bqdump.core.errors import DeniedError, NotFoundError, UsageError
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.retention.policy import Policy
from bqdump.core.sizes import counted, size_text
from bqdump.core.times import time_of
from bqdump.repository.turns import pulse

log = logging.getLogger(__name__)


async def copy(task: Task, runs: Sequence[str], policy: Policy, *, every: bool) -> Copied:
    """Copy runs (default: the published one), or only look. every: all complete runs. policy: those that it keeps.

    A run whose files the source does not have any more is an error if it was named, and is left out otherwise.
    Raises UsageError for a place that is not one for these copies; nothing is changed then.
    """
    refuse_overlap(task.source.target, task.target.target)
    await refuse_run(task.source, task.target.target)
    names = await chosen_runs(task.source, runs, policy, task.now, every=every)
    done, requests = list[CopiedRun](), 0
    for run in names:
        try:
            copied, asked = await _copy_run(task, run)
        except (NotFoundError, UsageError) as error:
            if runs or len(names) == 1 or not _is_about(error, run):
                raise
            done.append(CopiedRun(run=run, state="not copied", problem=error.cause))
            continue
        done.append(copied)
        requests += asked
    result = Copied(
        copied=not task.dry,
        source=str(task.source.target),
        target=str(task.target.target),
        runs=tuple(done),
        requests=requests,
        egress=await _egress(task, sum(entry.moved_bytes for entry in done)),
    )
    if not task.dry:
        _log(result)
    return result


def _is_about(error: NotFoundError | UsageError, run: str) -> bool:
    return error.subject == f"run {run}"


async def _copy_run(task: Task, run: str) -> tuple[CopiedRun, int]:
    """Copy one run; the number of requests that its files take."""
    found = await survey(task, run)
    if found.made:
        await check_place(task.target, found.manifest)
        await compare(task, found, found.made)
        if not task.dry:
            await complete(task, found, found.made)
        return _result(found, "there", None), 0
    if task.dry:
        await check_place(task.target, found.manifest)
        plan = await plan_of(task, found)
        await sources_of(task, found, plan.files)
        return _result(found, "missing", plan), requests_for(plan.files, rewrites=task.mover.rewrites)
    await claim_place(task, found.manifest)
    await begin(task, found)
    async with pulse(task.target.store, task.target.layout.run(run).planner, task.owner):
        plan = await plan_of(task, found)
        sources = await sources_of(task, found, plan.files)
        here = await move(task, found, plan, sources)
        made = await store_manifest(task, found, here)
    await complete(task, found, made)
    moved = counted(len(plan.files), "file"), size_text(plan.bytes)
    copied = LogEvent.RUN_COPIED.extra(run=run, target=str(task.target.target))
    log.info("copied run %s to %s (%s, %s)", run, task.target.target, *moved, extra=copied)
    return _result(found, "copied", plan), requests_for(plan.files, rewrites=task.mover.rewrites)


def _result(found: Surveyed, state: CopyState, plan: CopyPlan | None) -> CopiedRun:
    totals = found.manifest.totals
    return CopiedRun(
        run=found.run,
        state=state,
        snapshot_time=time_of(found.manifest.snapshot),
        tables=totals.tables,
        files=totals.files,
        bytes=totals.bytes,
        moved_files=len(plan.files) if plan else 0,
        moved_bytes=plan.bytes if plan else 0,
    )


async def _egress(task: Task, moved: int) -> int:
    if not moved:
        return 0
    return egress_of(moved, await _side(task.source), await _side(task.target))


async def _side(place: Place) -> Side:
    location = ""
    if not place.target.folder:
        try:
            location = (await place.store.describe()).location
        except DeniedError:
            # Without permission to read the bucket's settings, the answer is the larger one.
            location = ""
    return Side(place.target, location)


def _log(result: Copied) -> None:
    there = sum(run.state == "there" for run in result.runs)
    done = LogEvent.COPY_DONE.extra(target=result.target)
    message = "copied to %s: %s (%s, %s), %s there before, %s not copied"
    runs = counted(sum(run.state == "copied" for run in result.runs), "run")
    moved = counted(result.files, "file"), size_text(result.bytes)
    log.info(message, result.target, runs, *moved, counted(there, "run"), len(result.not_copied), extra=done)
