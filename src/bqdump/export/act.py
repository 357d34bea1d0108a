"""One task of an export, from its plan to the published manifest, and its result."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from typing import Literal, NamedTuple

import msgspec

from bqdump.core.documents.document import FORMAT_VERSION, Count, Document
from bqdump.core.documents.manifest import Totals
from bqdump.core.documents.run import DROPPED, Failure, Plan, Skipped
from bqdump.core.documents.unchanged import Removed
from bqdump.core.errors import BqdumpError, NotFoundError, TablesFailedError
from bqdump.core.progress.events import Entered
from bqdump.core.progress.export import Export
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.risks import Risk
from bqdump.core.sizes import counted, named
from bqdump.core.times import time_of
from bqdump.export.carry import as_failed, go_without_dropped
from bqdump.export.placement.choose import running_export
from bqdump.export.publish.abandoned import clear_abandoned
from bqdump.export.publish.latest import Again, has_manifest, is_entered, report_again
from bqdump.export.publish.publish import publish
from bqdump.export.publish.report import has_report, store_failed_report, store_report
from bqdump.export.task import Obtained, RunningExport, Task
from bqdump.export.work.jobs import RECREATED
from bqdump.export.work.sessions import close_sessions
from bqdump.export.work.work import work
from bqdump.pool.tables import Ledger, ledger_of
from bqdump.pool.turn import Turn, takes_turn
from bqdump.pool.units import UnitLedger, give_up, read_unit_ledger
from bqdump.repository.repository import value_of

log = logging.getLogger(__name__)
# Failed tables in an error; the others are counted.
NAMED = 3


class TaskResult(NamedTuple):
    """How a task ended. `unfinished`: other tasks are still at work, the last of them will publish."""

    state: Literal["published", "superseded", "elsewhere", "unfinished"]
    plan: Plan
    totals: Totals | None
    failed: tuple[Failure, ...]
    again: Again | None = None


async def act(task: Task, obtained: Obtained) -> TaskResult:
    """Do this task's part of the run, and publish when everything is done. A run that has its manifest is published.

    Raises TablesFailedError when tables have failed and a partial export is not allowed, and what the steps raise.
    """
    export = running_export(task, obtained.plan, obtained.made)
    export.tell(export.plan)
    # Of a run that this process has planned, publishing finds whether another task has ended it meanwhile.
    if not export.made and await has_report(export) and await is_entered(export):
        return await _end_again(export)
    if not export.made and await has_manifest(export):
        return await _publish_again(export)
    units = await _work(export)
    if not units.settled(export.plan, export.owner.execution):
        return _leave_to_others(export, units)
    units = await _settle_failures(export, units)
    if not await close_sessions(export, units):
        return _leave_to_others(export, units)
    return await _publish(export, ledger_of(export.plan, units))


async def _end_again(export: RunningExport) -> TaskResult:
    """The run had ended before this task started."""
    again = await report_again(export)
    await _clear_late(export)
    return TaskResult("published", export.plan, None, (), again)


async def _publish_again(export: RunningExport) -> TaskResult:
    """The run has a manifest: what it publishes is settled, and more work would change nothing."""
    units = await read_unit_ledger(export.store, export.layout, export.plan)
    result = await _publish(export, ledger_of(export.plan, units))
    await _clear_late(export)
    return result


async def _work(export: RunningExport) -> UnitLedger:
    """Work until nothing is left for this task. Repeat if units have reopened because their read session has ended."""
    while True:
        worked = await work(export)
        if done := worked.ledger(export.plan):
            return done
        units = await read_unit_ledger(export.store, export.layout, export.plan)
        if not worked.taken or not units.reopened:
            return units


async def _settle_failures(export: RunningExport, units: UnitLedger) -> UnitLedger:
    """Give up tables that were dropped, and those that failed where a partial export is allowed.

    Raises TablesFailedError for what may not be missing.
    """
    units = await go_without_dropped(export, units)
    failed = [failure for failure in units.failed(export.owner.execution) if failure.table not in units.dropped]
    if failed and not export.settings.allow_partial:
        ledger = ledger_of(export.plan, units, execution=export.owner.execution)
        await store_failed_report(export, ledger)
        raise _refusal(export.plan, ledger.failed)
    return await give_up(export.store, export.layout, export.plan, as_failed(failed)) if failed else units


async def _publish(export: RunningExport, ledger: Ledger) -> TaskResult:
    alone = export.task.tasks == 1 and not ledger.failed
    if not alone and not await takes_turn(Turn(export.store, export.layout.publisher, export.owner)):
        message = "another task of this execution is publishing run %s"
        log.info(message, export.plan.run, extra=LogEvent.TASK_DONE.extra())
        return TaskResult("elsewhere", export.plan, None, ledger.failed)
    export.tell(Entered("publishing"))
    published = await publish(export, ledger)
    if published.result == "published":
        await store_report(export, published, await clear_abandoned(export))
    totals = published.manifest.totals if published.manifest else None
    return TaskResult(published.result, export.plan, totals, ledger.failed)


async def _clear_late(export: RunningExport) -> None:
    """Delete what attempts have left that ended after the run. An error is only logged: the export is published.

    An attempt of the read route that comes second deletes its own files. One whose process was killed before that
    cannot: its restarted task does it, and so does `bqdump run --run-id`.
    """
    try:
        await export.placement.clear_late(export)
    except BqdumpError as error:
        message = "the export is published, but files of late attempts could not be deleted: %s"
        log.warning(message, error, extra=LogEvent.CLEANUP_FAILED.extra())


def _leave_to_others(export: RunningExport, units: UnitLedger) -> TaskResult:
    # Whether the run may go without tables that were dropped is decided when all others have ended.
    mine = [
        failure for failure in units.failed_tables(export.owner.execution, export.owner) if failure.reason != DROPPED
    ]
    if mine and not export.settings.allow_partial:
        raise _refusal(export.plan, mine)
    ledger = ledger_of(export.plan, units)
    ended = len(ledger.done) + len(ledger.failed) + len(ledger.dropped)
    open_ = counted(export.plan.tables - ended, "table")
    log.info("done; waiting for other tasks to export %s", open_, extra=LogEvent.TASK_DONE.extra())
    return TaskResult("unfinished", export.plan, None, tuple(mine))


def _refusal(plan: Plan, failed: Sequence[Failure]) -> TablesFailedError:
    words = [f"{failure.table}: {failure.reason}: {failure.message.rstrip('.')}" for failure in failed]
    tables = named(words, NAMED, separator="; ")
    cause = f"{len(failed)} of {counted(plan.tables, 'table')} failed, nothing was published ({tables})"
    hint = _way_out(plan, {failure.reason for failure in failed})
    return TablesFailedError("publish", f"run {plan.run}", cause, hint)


def _way_out(plan: Plan, reasons: Collection[str]) -> str:
    """What to do about tables that failed for these reasons."""
    if RECREATED in reasons:
        return "A table that was created again is in the next run: {call:run}"
    if DROPPED in reasons:
        return (
            "More than half of the published tables would be removed. If they were dropped by mistake, restore them, "
            "then start a new run: {call:run}. To publish without them, resume with: "
            f"{{call:run run_id={plan.run} allow={Risk.REMOVED_TABLES}}}"
        )
    return f"Fix the cause, then resume with: {{call:run run_id={plan.run}}}"


# What a task's end means for its run.
STATES: dict[str, Literal["published", "superseded", "publishing", "running"]] = {
    "published": "published",
    "superseded": "superseded",
    "elsewhere": "publishing",
    "unfinished": "running",
}


class _TableRows(msgspec.Struct, frozen=True):
    rows: Count | None = None
    expected_rows: Count | None = None


class _Numbers(msgspec.Struct, frozen=True):
    """The part of a manifest that a result needs."""

    totals: Totals
    tables: tuple[_TableRows, ...]
    skipped: tuple[Skipped, ...]
    removed: tuple[Removed, ...] = ()
    format_version: int = FORMAT_VERSION


async def exported(task: Task, result: TaskResult) -> Export:
    """The result in full. Reads the manifest where there is one."""
    numbers = await _numbers(task) if result.totals or result.state == "published" else None
    totals = numbers.totals if numbers else Totals(0, 0, 0, 0, 0)
    tables = numbers.tables if numbers else ()
    rows = [table.expected_rows if table.rows is None else table.rows for table in tables]
    return Export(
        run=result.plan.run,
        state=STATES[result.state],
        snapshot_time=time_of(result.plan.snapshot),
        tables=totals.tables,
        rows=sum(count for count in rows if count is not None),
        uncounted=rows.count(None),
        files=totals.files,
        bytes=totals.bytes,
        manifest=f"{task.store.url}/{task.layout.manifest}",
        failed=result.failed,
        skipped=numbers.skipped if numbers else result.plan.skipped,
        removed=numbers.removed if numbers else result.plan.removed,
        carried=totals.carried,
        reused=totals.reused,
    )


async def _numbers(task: Task) -> _Numbers:
    numbers = await value_of(task.store, Document(task.layout.manifest.name, _Numbers))
    if numbers is None:
        raise NotFoundError("find", f"the manifest of run {task.run}", "it has been deleted")
    return numbers
