"""Sharing the tables among tasks: a task restores its own share, then what other tasks have not finished."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

from bqdump.concurrency import task_group
from bqdump.core.dealing import JOB_WEIGHT, Sharing, share_out
from bqdump.core.documents.notes import RestoreFailure
from bqdump.core.errors import ENDS_THE_TASK, BqdumpError, QuotaError, open_files_error, out_of_files, words_of
from bqdump.core.progress.events import TableStarted
from bqdump.core.progress.log_events import LogEvent, about
from bqdump.core.restore.plan import TABLE, TableStep
from bqdump.core.sizes import counted
from bqdump.export.watch import JOBS_IN_FLIGHT, Watch
from bqdump.repository.repository import create, replace, value_of
from bqdump.restoration.jobs import FailedJobError
from bqdump.restoration.ledger import Ledger, read_ledgers
from bqdump.restoration.tables import drop_scratch, restore_table
from bqdump.restoration.task import RunningRestore
from bqdump.restoration.uploads import delete_uploads

log = logging.getLogger(__name__)


class Numbered(NamedTuple):
    """A table of a restore, by its number in the plan."""

    restore: RunningRestore
    number: int

    @property
    def step(self) -> TableStep:
        """Its step in the plan."""
        return self.restore.plan.tables[self.number]


async def restore_tables(restores: Sequence[RunningRestore]) -> dict[str, Ledger]:
    """Restore the tables of all these restores until each is restored or has failed in this execution.

    Returns the ledgers after that, by restore. Raises QuotaError, after the jobs in flight have ended, if a quota is
    exceeded.
    """
    task = restores[0].task
    everything = [Numbered(restore, number) for restore in restores for number in range(len(restore.plan.tables))]
    weights = [weight(work.step) for work in everything]
    dealt = share_out(weights, task.tasks)[task.owner.task % task.tasks]
    mine = [everything[at] for at in dealt]
    left = sorted(set(range(len(everything))) - set(dealt), key=weights.__getitem__)
    rest = [everything[at] for at in left]
    async with watching(restores) as watches:
        await _restore_open(restores, watches, mine)
        if rest:
            await _restore_open(restores, watches, rest)
    return await read_ledgers(restores)


@asynccontextmanager
async def watching(restores: Sequence[RunningRestore]) -> AsyncIterator[dict[str, Watch]]:
    """Watch over the jobs of these restores: a watch for each location, by its name."""
    by_location = {restore.target.location: restore for restore in restores}
    sharing = _sharing(restores)
    for restore in restores:
        restore.destination.share_limits(sharing)
    watches = {at: Watch(restore.destination, at, sharing) for at, restore in by_location.items()}
    polling = [asyncio.create_task(watch.run()) for watch in watches.values()]
    try:
        yield watches
    finally:
        for watch in polling:
            watch.cancel()


def _sharing(restores: Sequence[RunningRestore]) -> Sharing:
    return Sharing(restores[0].task.tasks, sum(len(restore.plan.tables) for restore in restores))


def weight(step: TableStep) -> int:
    """The work that a table is: the bytes of its files, and a constant."""
    return sum(file.size for file in step.entry.files) + JOB_WEIGHT


async def _restore_open(
    restores: Sequence[RunningRestore], watches: Mapping[str, Watch], tables: Sequence[Numbered]
) -> None:
    """Restore those of the tables that are neither restored nor failed in this execution."""
    ledgers = await read_ledgers(restores)
    for restore in restores:
        _tell_ended(restore, ledgers[restore.id])
    slots = asyncio.Semaphore(min(restores[0].task.settings.concurrency, _sharing(restores).part(JOBS_IN_FLIGHT)))
    stop: list[QuotaError] = []

    async def step(restore: RunningRestore, number: int) -> None:
        async with slots:
            if stop:
                return
            attempt = ledgers[restore.id].next_attempt(number)
            try:
                with about(restore.task.dataset):
                    await _restore_one(restore, watches[restore.target.location], number, attempt)
            except QuotaError as error:
                stop.append(error)

    async with task_group() as group:
        for restore, number in tables:
            if ledgers[restore.id].is_open(number, restore.owner.execution):
                group.create_task(step(restore, number))
    if stop:
        raise stop[0]


async def _restore_one(restore: RunningRestore, watch: Watch, number: int, attempt: int) -> None:
    """Restore a table and record how that ended. An error fails this table by name, and no other."""
    step, document = restore.plan.tables[number], restore.layout.receipt(number)
    name = step.name
    if restore.task.tasks > 1 and (done := await value_of(restore.state, document)):
        restore.task.tell(done)
        return
    size = sum(file.size for file in step.entry.files)
    restore.task.tell(TableStarted(number, name, size, restore.owner.task))
    try:
        receipt = await restore_table(restore, watch, number, attempt)
    except ENDS_THE_TASK:
        raise
    except FailedJobError as error:
        await _record_failure(restore, number, attempt, error.reason, error.cause)
    except BqdumpError as error:
        await _record_failure(restore, number, attempt, type(error).__name__.removesuffix("Error"), error.cause)
    except Exception as error:
        if out_of_files(error):
            raise open_files_error("restore", f"table {name}") from error
        unexpected = LogEvent.UNEXPECTED_ERROR.extra(table=name)
        log.exception("%s: unexpected error", name, exc_info=error, extra=unexpected)
        await _record_failure(restore, number, attempt, "unexpected", words_of(error))
    else:
        stored = await create(restore.state, document, receipt)
        if stored.mine:
            rows = "" if receipt.rows is None else f", {counted(receipt.rows, 'row')}"
            log.info("%s: restored%s", name, rows, extra=LogEvent.TABLE_RESTORED.extra(table=name))
        restore.task.tell(stored.value)
        await drop_scratch(restore, number, attempt)
        await delete_uploads(restore, step.entry)


async def _record_failure(restore: RunningRestore, number: int, attempt: int, reason: str, message: str) -> None:
    name = restore.plan.tables[number].name
    if done := await value_of(restore.state, restore.layout.receipt(number)):
        # Another task has finished the same attempt meanwhile.
        restore.task.tell(done)
        return
    failure = RestoreFailure(number, name, TABLE, attempt, reason, message, restore.owner)
    failed = LogEvent.TABLE_NOT_RESTORED.extra(table=name)
    log.error("%s: not restored: %s: %s", name, reason, message, extra=failed)
    await replace(restore.state, restore.layout.failure(number, attempt, restore.owner.execution), failure, 0)
    restore.task.tell(failure)


def _tell_ended(restore: RunningRestore, ledger: Ledger) -> None:
    for number in range(len(restore.plan.tables)):
        if done := ledger.receipts.get(number):
            restore.task.tell(done)
