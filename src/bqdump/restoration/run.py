"""One task of a restore, from the manifest to the restored dataset."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from bqdump.core.errors import BqdumpError
from bqdump.core.progress.events import Entered, Restoring
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.progress.subject import about
from bqdump.core.restore.plan import NotRestored
from bqdump.core.restore.result import Restoration, with_objects
from bqdump.core.sizes import counted
from bqdump.repository.published import refuse_pruned
from bqdump.repository.repository import create, value_of
from bqdump.repository.turns import Turn, takes_turn
from bqdump.restoration.access import grant_access
from bqdump.restoration.bill import refuse_bill
from bqdump.restoration.changes import with_changes
from bqdump.restoration.finish import create_dataset, finish_dataset, relate_tables, set_expirations
from bqdump.restoration.ledger import Ledger, read_ledger, read_ledgers
from bqdump.restoration.objects import restore_objects
from bqdump.restoration.outcome import restoration
from bqdump.restoration.planning import obtain_restore
from bqdump.restoration.report import store_report
from bqdump.restoration.tables import sweep_scratch
from bqdump.restoration.task import RunningRestore, Task
from bqdump.restoration.uploads import announce_uploads, clear_uploads
from bqdump.restoration.verify import compare_values
from bqdump.restoration.work import restore_tables

log = logging.getLogger(__name__)


async def run(task: Task) -> Restoration:
    """Do this task's part of a restore, and what follows the tables once all of them are restored or have failed."""
    return await carry_out(await obtain_restore(task))


async def carry_out(restore: RunningRestore) -> Restoration:
    """Do this task's part of a restore that is decided. Raises NotFoundError if something fails for want of its run."""
    return await unless_pruned(restore, _carry_out(restore))


async def unless_pruned(restore: RunningRestore, work: Awaitable[Restoration]) -> Restoration:
    """The result. Raises NotFoundError if something fails for want of the run, which is being pruned."""
    try:
        result = await work
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
    if done := await finished(restore):
        return await compared(restore, done)
    await refuse_bill([restore])
    await begin(restore)
    ledgers = await restore_tables([restore])
    if not await finishes(restore):
        return leave_to_another(restore, ledgers[restore.id])
    restore.task.tell(Entered("finishing"))
    [followed] = await follow_tables([restore], ledgers)
    return await end(followed)


async def finishes(restore: RunningRestore) -> bool:
    """Whether what follows the tables is this task's: of several that see all tables done, one is enough."""
    return await takes_turn(Turn(restore.state, restore.layout.finisher, restore.owner))


async def finished(restore: RunningRestore) -> Restoration | None:
    """The result of a restore that was complete before, as far as the target still has it; None if it was not."""
    done = await value_of(restore.state, restore.layout.result)
    return await with_changes(restore, done, await read_ledger(restore.state, restore.layout)) if done else None


async def begin(restore: RunningRestore) -> None:
    """Report what is restored, and create the dataset."""
    totals = restore.plan.totals
    restore.task.tell(Restoring(restore.id, restore.manifest.run, totals.tables, totals.bytes))
    await announce_uploads(restore)
    await create_dataset(restore)


async def compared(restore: RunningRestore, result: Restoration) -> Restoration:
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


class Followed(NamedTuple):
    """A restore whose tables everything has followed. unset: properties that could not be set, as of this ledger."""

    restore: RunningRestore
    ledger: Ledger
    unset: list[NotRestored]


async def follow_tables(restores: Sequence[RunningRestore], ledgers: Mapping[str, Ledger]) -> list[Followed]:
    """Everything after the rows, in several datasets at once, as views of one may name tables and views of another.

    Another execution may restore a table meanwhile that has failed in this one: then all of it follows once more.
    """
    while True:
        unset = await _follow_once(restores, ledgers)
        before, ledgers = ledgers, await read_ledgers(restores)
        if not any(_restored_since(before[one.id], ledgers[one.id], one) for one in restores):
            return [Followed(one, ledgers[one.id], unset[one.id]) for one in restores]


def _restored_since(before: Ledger, now: Ledger, restore: RunningRestore) -> bool:
    return any(number in now.receipts for number in before.missing(len(restore.plan.tables)))


async def _follow_once(
    restores: Sequence[RunningRestore], ledgers: Mapping[str, Ledger]
) -> dict[str, list[NotRestored]]:
    """In this order, for the tables that are restored. By restore, the properties that could not be set."""
    unset = dict[str, list[NotRestored]]()
    for restore in restores:
        with about(restore.task.dataset):
            unset[restore.id] = await relate_tables(restore, ledgers[restore.id])
    await restore_objects(restores, ledgers)
    for restore in restores:
        with about(restore.task.dataset):
            unset[restore.id] += await _finish(restore, ledgers[restore.id])
    return unset


async def _finish(restore: RunningRestore, ledger: Ledger) -> list[NotRestored]:
    expirations = await set_expirations(restore, ledger)
    if ledger.missing(len(restore.plan.tables)):
        # The next start creates the others, which the dataset's defaults might let expire.
        return [*expirations, *await grant_access(restore)]
    return [*expirations, *await finish_dataset(restore), *await grant_access(restore)]


async def end(followed: Followed) -> Restoration:
    """Clear up. The result, which is stored if nothing failed: then the restore is finished."""
    restore, ledger, unset = followed
    if not ledger.missing(len(restore.plan.tables)):
        # Until every table is in place, another task may be about to copy from one of them.
        await sweep_scratch(restore)
    await clear_uploads(restore, ledger)
    result = restoration(restore, ledger, unset)
    if restore.resumed:
        result = await with_changes(restore, result, ledger)
    result = await compared(restore, result)
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


def leave_to_another(restore: RunningRestore, ledger: Ledger) -> Restoration:
    """The result of a task that leaves what follows the tables to another one."""
    log.info("done; another task restores what follows the tables", extra=LogEvent.TASK_DONE.extra())
    return restoration(restore, ledger, [], running=True)
