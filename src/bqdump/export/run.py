"""One task of an export, from the settings to the published manifest."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import Literal, NamedTuple

from bqdump.core.documents.manifest import Totals
from bqdump.core.documents.run import Failure, Plan
from bqdump.core.errors import BqdumpError, DocumentError, UnitsFailedError
from bqdump.core.plan.parts import by_table, counts
from bqdump.core.progress.events import Entered
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.sizes import counted
from bqdump.core.times import moment_text
from bqdump.export.placement.choose import running_export
from bqdump.export.planning.obtain import obtain_plan
from bqdump.export.publish.abandoned import clear_abandoned
from bqdump.export.publish.ended import has_manifest
from bqdump.export.publish.publish import publish
from bqdump.export.publish.report import has_report, store_failed_report, store_report
from bqdump.export.task import RunningExport, Task
from bqdump.export.work.sessions import close_sessions
from bqdump.export.work.work import work
from bqdump.repository.ledger import Ledger, give_up, read_ledger
from bqdump.repository.published import read_latest
from bqdump.repository.repository import create, replace, value_of

log = logging.getLogger(__name__)


class Again(NamedTuple):
    """A run that was published before this task started.

    ended: when its last table was done, in milliseconds since 1970 UTC. same: this task's execution published it.
    """

    ended: int
    same: bool


class Outcome(NamedTuple):
    """How a task ended. `unfinished`: other tasks are still at work, the last of them will publish."""

    result: Literal["published", "superseded", "elsewhere", "unfinished"]
    plan: Plan
    totals: Totals | None
    failed: tuple[Failure, ...]
    again: Again | None = None


async def run(task: Task) -> Outcome:
    """Do this task's part of the run, and publish when everything is done.

    Raises UnitsFailedError when units have failed and a partial export is not allowed, and what the steps raise.
    """
    export = running_export(task, await obtain_plan(task))
    export.tell(export.plan)
    if await has_report(task):
        again = await _again(export)
        await _clear_late(export)
        return Outcome("published", export.plan, None, (), again)
    if await has_manifest(task):
        # What the run publishes is settled, and more work would change nothing.
        ledger = await read_ledger(export.store, export.layout, export.plan)
        outcome = await _publish(export, ledger, ledger.failed())
        await _clear_late(export)
        return outcome
    ledger = await _work(export)
    if not ledger.settled(export.plan, export.owner.execution):
        return _leave_to_others(export, ledger)
    failed = ledger.failed(export.owner.execution)
    if failed and not export.settings.allow_partial:
        await store_failed_report(export, ledger)
        raise _refusal(export.plan, failed)
    if failed:
        ledger = await give_up(export.store, export.layout, export.plan, failed)
    if not await close_sessions(task, export.plan.splits, ledger.receipts, ledger.given_up):
        return _leave_to_others(export, ledger)
    return await _publish(export, ledger, ledger.failed())


async def _work(export: RunningExport) -> Ledger:
    """Work until nothing is left for this task: once more where parts are open anew, as their session has ended."""
    while True:
        taken = await work(export)
        ledger = await read_ledger(export.store, export.layout, export.plan)
        if not taken or not ledger.outdated:
            return ledger


async def _again(export: RunningExport) -> Again:
    """Report that the run was published before. A restarted task expects that; any other execution exports nothing."""
    ended, publisher = export.plan.began, None
    # What another release or a copied bucket left out here changes no more than the wording.
    with suppress(DocumentError):
        publisher = await value_of(export.store, export.layout.publisher)
        summary = await value_of(export.store, export.settings.layout.summary(export.plan.run))
        ended = summary.ended or ended if summary else ended
    again = Again(ended, publisher is not None and publisher.execution == export.owner.execution)
    if again.same:
        message = "run %s is published already: nothing to do"
        log.info(message, export.plan.run, extra=LogEvent.ALREADY_PUBLISHED.extra())
    else:
        exported, as_of = moment_text(ended), moment_text(export.plan.snapshot)
        message = (
            "nothing was exported: run %s was published already (exported at %s, as of %s). "
            "For a new export, omit the run id or use another one"
        )
        log.warning(message, export.plan.run, exported, as_of, extra=LogEvent.NOTHING_EXPORTED.extra())
    return again


async def _publish(export: RunningExport, ledger: Ledger, failed: list[Failure]) -> Outcome:
    if not await _becomes_publisher(export.task):
        message = "another task of this execution is publishing run %s"
        log.info(message, export.plan.run, extra=LogEvent.TASK_DONE.extra())
        return Outcome("elsewhere", export.plan, None, tuple(by_table(failed)))
    export.tell(Entered("publishing"))
    before = await read_latest(export.store, export.settings)
    published = await publish(export, ledger)
    if published.result == "published":
        await store_report(export.task, before, await clear_abandoned(export))
    totals = published.manifest.totals if published.manifest else None
    return Outcome(published.result, export.plan, totals, tuple(by_table(failed)))


async def _becomes_publisher(task: Task) -> bool:
    """Whether publishing is this task's: of several that see the run done, one of each execution is enough.

    As with claims, a restarted task is the same owner, and another execution takes over. This saves work only:
    publishing is safe to be done by several tasks at once.
    """
    document = task.layout.publisher
    stored = await create(task.store, document, task.owner)
    if stored.value.execution == task.owner.execution:
        return stored.value == task.owner
    return await replace(task.store, document, task.owner, stored.generation) is not None


async def _clear_late(export: RunningExport) -> None:
    """Delete what attempts have left that ended after the run. An error is logged, no more: the export is published.

    An attempt of the read route that comes second deletes its own files. One whose process was killed before that
    cannot: its restarted task does it, and so does `bqdump run --run-id`.
    """
    try:
        await export.placement.clear_late(export)
    except BqdumpError as error:
        message = "the export is published, but files of late attempts could not be deleted: %s"
        log.warning(message, error, extra=LogEvent.CLEANUP_FAILED.extra())


def _leave_to_others(export: RunningExport, ledger: Ledger) -> Outcome:
    mine = [failure for failure in ledger.failed(export.owner.execution) if failure.owner == export.owner]
    if mine and not export.settings.allow_partial:
        raise _refusal(export.plan, mine)
    tables = counts(export.plan.splits, ledger.receipts, ledger.failures, ())
    open_ = counted(export.plan.tables - tables.done - tables.failed, "table")
    log.info("done; waiting for other tasks to export %s", open_, extra=LogEvent.TASK_DONE.extra())
    return Outcome("unfinished", export.plan, None, tuple(by_table(mine)))


def _refusal(plan: Plan, failures: list[Failure]) -> UnitsFailedError:
    failed = by_table(failures)
    named = "; ".join(f"{failure.table}: {failure.reason}: {failure.message.rstrip('.')}" for failure in failed[:3])
    more = f"; and {len(failed) - 3} more" if len(failed) > 3 else ""
    cause = f"{len(failed)} of {counted(plan.tables, 'table')} failed, nothing was published ({named}{more})"
    hint = f"Fix the cause, then resume with: bqdump run --run-id {plan.run}"
    return UnitsFailedError("publish", f"run {plan.run}", cause, hint)
