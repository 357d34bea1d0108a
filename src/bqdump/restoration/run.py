"""One task of a restore, from the manifest to the restored dataset."""

from __future__ import annotations

import logging

import msgspec

from bqdump.core.errors import BqdumpError
from bqdump.core.progress.events import Entered, Restoring
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.restore.plan import NotRestored
from bqdump.core.restore.result import Restoration, with_objects
from bqdump.core.sizes import counted
from bqdump.repository.published import refuse_pruned
from bqdump.repository.repository import create, value_of
from bqdump.restoration.access import grant_access
from bqdump.restoration.finish import create_dataset, finish_dataset, relate_tables, set_expirations
from bqdump.restoration.finisher import becomes_finisher
from bqdump.restoration.ledger import Ledger, read_ledger
from bqdump.restoration.objects import restore_objects
from bqdump.restoration.outcome import restoration
from bqdump.restoration.planning import obtain_restore
from bqdump.restoration.report import store_report
from bqdump.restoration.tables import sweep_scratch
from bqdump.restoration.task import RunningRestore, Task
from bqdump.restoration.verify import compare_values
from bqdump.restoration.work import restore_tables

log = logging.getLogger(__name__)


async def run(task: Task) -> Restoration:
    """Do this task's part of a restore, and what follows the tables once all of them are restored or have failed."""
    return await carry_out(await obtain_restore(task))


async def carry_out(restore: RunningRestore) -> Restoration:
    """Do this task's part of a restore that is decided. Raises NotFoundError if something fails for want of its run."""
    try:
        result = await _carry_out(restore)
    except BqdumpError as error:
        if not error.retryable:
            await _refuse_pruned(restore)
        raise
    if result.failed:
        await _refuse_pruned(restore)
    return result


async def _refuse_pruned(restore: RunningRestore) -> None:
    task = restore.task
    await refuse_pruned(task.store, task.settings, "restore", restore.manifest.run, read=True)


async def _carry_out(restore: RunningRestore) -> Restoration:
    if done := await value_of(restore.state, restore.layout.result):
        return await _compared(restore, done)
    totals = restore.plan.totals
    restore.task.tell(Restoring(restore.id, restore.manifest.run, totals.tables, totals.bytes))
    await create_dataset(restore)
    ledger = await restore_tables(restore)
    if not await becomes_finisher(restore):
        return _leave_to_another(restore, ledger)
    restore.task.tell(Entered("finishing"))
    unset, ledger = await _follow_tables(restore, ledger)
    await sweep_scratch(restore)
    return await _conclude(restore, ledger, unset)


async def _compared(restore: RunningRestore, result: Restoration) -> Restoration:
    """The result, with what a comparison of values has found, if that was requested."""
    reading = restore.task.request.reading
    if reading is None:
        return result
    compared = await compare_values(restore, await read_ledger(restore.state, restore.layout), reading)
    for one in compared.different:
        log.error("%s: %s", one.name, one.message, extra=LogEvent.VALUES_DIFFER.extra(table=one.name))
    state = "incomplete" if compared.different else result.state
    failed = (*result.failed, *compared.different)
    return msgspec.structs.replace(result, state=state, failed=failed, verified=compared.tables)


async def _follow_tables(restore: RunningRestore, ledger: Ledger) -> tuple[list[NotRestored], Ledger]:
    """Everything after the rows; returns the properties that could not be set, and the ledger that this is true of.

    Another execution may restore a table meanwhile that has failed in this one: then all of it follows once more.
    """
    while True:
        unset = await _follow_once(restore, ledger)
        before, ledger = ledger, await read_ledger(restore.state, restore.layout)
        if not any(number in ledger.receipts for number in before.missing(len(restore.plan.tables))):
            return unset, ledger


async def _follow_once(restore: RunningRestore, ledger: Ledger) -> list[NotRestored]:
    """In this order, for the tables that are restored."""
    keys = await relate_tables(restore, ledger)
    await restore_objects(restore, ledger)
    expirations = await set_expirations(restore, ledger)
    if ledger.missing(len(restore.plan.tables)):
        # The next start creates the others, which the dataset's defaults might let expire.
        return [*keys, *expirations, *await grant_access(restore)]
    return [*keys, *expirations, *await finish_dataset(restore), *await grant_access(restore)]


async def _conclude(restore: RunningRestore, ledger: Ledger, unset: list[NotRestored]) -> Restoration:
    """The result, which is stored if nothing failed: then the restore is finished."""
    result = await _compared(restore, restoration(restore, ledger, unset))
    if result.state == "restored":
        result = (await create(restore.state, restore.layout.result, result)).value
    await store_report(restore, result)
    log.info(
        "restored %s, %s, into %s.%s%s",
        with_objects(len(result.tables), len(result.objects)),
        counted(result.rows, "row"),
        result.project,
        result.dataset,
        f"; {counted(len(result.failed), 'failure')}" if result.failed else "",
        extra=LogEvent.RESTORE_DONE.extra(restore=restore.id),
    )
    return result


def _leave_to_another(restore: RunningRestore, ledger: Ledger) -> Restoration:
    log.info("done; another task restores what follows the tables", extra=LogEvent.TASK_DONE.extra())
    return restoration(restore, ledger, [], running=True)
