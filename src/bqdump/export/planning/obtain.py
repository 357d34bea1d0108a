"""Making the plan of a run, and waiting for it: one task makes it, all others read it.

What a run would do: its plan, without writing anything.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial

from bqdump.core.documents.codec import encode
from bqdump.core.documents.manifest_index import unchanged_parts
from bqdump.core.documents.run import Owner, Plan
from bqdump.core.errors import PLAN, UnavailableError, UsageError
from bqdump.core.plan.guards import refuse, sentence
from bqdump.core.plan.removal import removal_sentence
from bqdump.core.plan.reuse import bytes_saved
from bqdump.core.plan.summary import Planned, planned
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.risks import Risk
from bqdump.core.sizes import counted, named, size_text
from bqdump.core.times import rfc3339
from bqdump.export.carry import read_over, read_published
from bqdump.export.placement.choose import placement_of, running_export
from bqdump.export.planning.draft import Draft, draft_plan
from bqdump.export.planning.survey import Earlier, Request
from bqdump.export.planning.target import check_bucket, check_target, of_dataset
from bqdump.export.task import Made, Obtained, RunningExport, StoredManifest, Task
from bqdump.pool.turn import PATIENCE_SECONDS, Turn, at_work, take_or_await
from bqdump.ports.store import BucketInfo
from bqdump.repository.prefix_owner import claim_prefix, release_prefix
from bqdump.repository.pruned_runs import refuse_pruned_id
from bqdump.repository.published import warn_of_lost_entries
from bqdump.repository.repository import replace, value_of

log = logging.getLogger(__name__)

NAMED = 5
FLAGS_LOGGED = 20
# Risks that have log lines of their own.
NAMED_ABOVE = (Risk.REMOVED_TABLES, Risk.DROPPED_TABLES, Risk.REMOVED_PARTITIONS, Risk.DROPPED_PARTITIONS)
# Units up to this size stay in memory until the run ends.
KEPT_BYTES = 1 << 20


async def make_or_await(task: Task) -> Obtained:
    """The plan of a run that has none yet: made by this task, or by the one whose turn it is."""
    bucket, first = await _claim(task)
    others = False

    async def find() -> Plan | None:
        nonlocal others
        others = True
        return await value_of(task.store, task.layout.plan)

    # The planner of another execution may be at work as well.
    if plan := await take_or_await(_turn(task), find, succeeds=False, waits=partial(_log_wait, task)):
        return Obtained(plan)
    if others:
        # A task that gave planning up has given the prefix back.
        bucket, first = await _claim(task)
    return await _make(task, bucket, first=first)


async def _claim(task: Task) -> tuple[BucketInfo | None, bool]:
    """The bucket, and whether nothing is published: see claim_prefix."""
    # The target comes first: what a bucket with a retention policy has received cannot be deleted.
    bucket = await check_bucket(task.store, task.settings)
    async with of_dataset(task.warehouse, task.settings):
        return bucket, await claim_prefix(task.store, task.settings, task.run)


def _log_wait(task: Task, planner: Owner) -> None:
    message = (
        "waiting for the plan: task %d of execution %s is planning run %s. "
        "This task takes over if that one stops for %d seconds"
    )
    waits = LogEvent.TASK_WAITS_FOR_PLAN.extra()
    log.info(message, planner.task, planner.execution, task.run, PATIENCE_SECONDS, extra=waits)


def _turn(task: Task) -> Turn:
    """Planning, of which two tasks at once would make one plan, too, as it is created only once."""
    return Turn(task.store, task.layout.planner, task.owner)


async def _make(task: Task, bucket: BucketInfo | None, *, first: bool = False) -> Obtained:
    """Draft the plan and store it; the stored one, where another task has stored one meanwhile.

    first: nothing is published, see claim_prefix.
    """
    async with at_work(_turn(task), partial(release_prefix, task.store, task.settings, task.run)):
        draft, over = await _draft(task, bucket, first=first)
        plan = draft.plan
        objects, size = await _store_objects(task, draft)
        await placement_of(plan).prepare(task)
        mine = await replace(task.store, task.layout.plan, plan, 0)
        if mine:
            await _refuse_pruned(task, mine)
    if not mine:
        stored = await value_of(task.store, task.layout.plan)
        if stored is None:
            raise UnavailableError(PLAN, f"run {task.run}", "writing the plan failed, and none exists")
        if stored.nonce != plan.nonce:
            await task.store.delete(objects)
        return Obtained(stored)
    _log_plan(running_export(task, plan))
    kept = over if over and len(over.data) <= KEPT_BYTES else None
    return Obtained(plan, Made(draft.lines, draft.definitions, kept) if size <= KEPT_BYTES else None)


async def _draft(task: Task, bucket: BucketInfo | None, *, first: bool) -> tuple[Draft, StoredManifest | None]:
    """A plan that may be stored, and the manifest that it was compared with. Raises UsageError for risks that are not
    allowed.

    The log is read once this planner has its note: so `prune --now` finds the note, or this does not find the run.
    """
    published, over = (None, None) if first else await read_over(task.store, task.settings)
    if published is None and not first:
        await warn_of_lost_entries(task.store, task.settings)
    earlier = Earlier(task.store, published, task.signer)
    request = Request(task.settings, task.run, task.tasks, bucket, earlier, task.of_set)
    draft = await draft_plan(task.warehouse, request)
    refuse(draft.plan.flags, f"{draft.plan.project}.{draft.plan.dataset}")
    return draft, over


async def _refuse_pruned(task: Task, generation: int) -> None:
    """Raise UsageError, and delete the plan, where the run was pruned: its id was given, or its planner stopped."""
    try:
        await refuse_pruned_id(task.store, task.settings.layout, task.run)
    except UsageError:
        await task.store.delete([(task.layout.plan.name, generation)])
        raise


async def _store_objects(task: Task, draft: Draft) -> tuple[list[tuple[str, int]], int]:
    """Store the units and definitions of a plan, under names that no other plan has.

    Returns names and generations, and the bytes of both.
    """
    objects = ((draft.plan.units, draft.lines), (draft.plan.definitions, encode(draft.definitions)))
    generations = await asyncio.gather(*(task.store.write(name, data, 0) for name, data in objects))
    stored = [(name, generation) for (name, _), generation in zip(objects, generations, strict=True)]
    return stored, sum(len(data) for _, data in objects)


def _log_plan(export: RunningExport) -> None:
    """Log what is exported, what the export removes or carries over, and its risks."""
    plan, tasks = export.plan, counted(export.task.tasks, "task")
    tables, planned = counted(plan.tables, "table"), LogEvent.RUN_PLANNED.extra()
    log.info("planned %s as of %s, for %s", tables, rfc3339(plan.snapshot), tasks, extra=planned)
    if not plan.tables and not plan.reused and not plan.kept:
        settings, nothing = export.task.settings, LogEvent.NOTHING_EXPORTED.extra()
        why = ": include and exclude leave out all that it has" if settings.include or settings.exclude else ""
        log.warning("%s has no table to export%s", settings.dataset, why, extra=nothing)
    for use in plan.by_label:
        matched = f"{counted(len(use.tables), 'table')} ({named(use.tables, NAMED)})" if use.tables else "no table"
        log.info("%s %s: %s", use.setting, use.pattern, matched, extra=LogEvent.LABEL_MATCHED.extra())
    if plan.all_reused:
        partitions = sum(len(table.partitions) for table in plan.reused_partitions)
        unchanged, saved = unchanged_parts(len(plan.reused), partitions), size_text(bytes_saved(plan.all_reused))
        log.info("not exporting %s (%s)", unchanged, saved, extra=LogEvent.TABLES_UNCHANGED.extra())
    for removed in plan.removed:
        log.warning(
            "%s", removal_sentence(removed, plan.skipped), extra=LogEvent.TABLE_REMOVED.extra(table=removed.table)
        )
    for parts in plan.removed_partitions:
        log.warning("%s", removal_sentence(parts), extra=LogEvent.PARTITIONS_REMOVED.extra(table=parts.table))
    if plan.kept:
        tables, carried = counted(len(plan.kept), "table"), LogEvent.TABLES_CARRIED_OVER.extra()
        log.info("carrying over %s from run %s", tables, plan.over, extra=carried)
    flags = [flag for flag in plan.flags if flag.risk not in NAMED_ABOVE]
    for flag in flags[:FLAGS_LOGGED]:
        log.warning("%s", sentence(flag), extra=LogEvent.RISK_ALLOWED.extra(risk=flag.risk, table=flag.table))
    if len(flags) > FLAGS_LOGGED:
        more = counted(len(flags) - FLAGS_LOGGED, "more risk")
        log.warning("and %s, named in %s", more, export.layout.plan, extra=LogEvent.RISK_ALLOWED.extra())


async def show_plan(task: Task) -> Planned:
    """The plan of a run. Raises what the run would raise before its plan is stored."""
    async with of_dataset(task.warehouse, task.settings):
        bucket = await check_target(task.store, task.settings)
    earlier = Earlier(task.store, await read_published(task.store, task.settings), task.signer)
    request = Request(task.settings, task.run, task.tasks, bucket, earlier, task.of_set)
    draft = await draft_plan(task.warehouse, request)
    return planned(draft.plan, draft.tables, draft.altered, task.settings.price_per_tib)
