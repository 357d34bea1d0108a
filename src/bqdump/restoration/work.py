"""Sharing the tables among tasks: a task restores its own share, then what other tasks have not finished."""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections.abc import Sequence

from bqdump.core.documents.restore import RestoreFailure
from bqdump.core.errors import (
    AccessError,
    BqdumpError,
    OutageError,
    QuotaError,
    TargetError,
    UnavailableError,
    first_of,
    words_of,
)
from bqdump.core.progress.events import TableStarted
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.restore.plan import TABLE, TableStep
from bqdump.core.sizes import counted
from bqdump.export.work.watch import Watch
from bqdump.repository.repository import create, replace, value_of
from bqdump.restoration.jobs import FailedJobError
from bqdump.restoration.ledger import Ledger, read_ledger
from bqdump.restoration.tables import drop_scratch, restore_table
from bqdump.restoration.task import RunningRestore
from bqdump.restoration.upload import delete_uploads

log = logging.getLogger(__name__)

# A job takes some time whatever its size: as bytes.
JOB_WEIGHT = 10**8
# These end the task: they are not about a single table.
OF_THE_TASK = (QuotaError, OutageError, UnavailableError, AccessError, TargetError)


async def restore_tables(restore: RunningRestore) -> Ledger:
    """Restore tables until each is restored or has failed in this execution. Returns the ledger after that.

    Raises QuotaError, after the jobs in flight have ended, if a quota is exceeded.
    """
    everything = range(len(restore.plan.tables))
    mine = shares(restore.plan.tables, restore.task.tasks)[restore.owner.task % restore.task.tasks]
    others = sorted(set(everything) - set(mine), key=lambda number: weight(restore.plan.tables[number]))
    watch = Watch(restore.destination, restore.target.location, restore.task.tasks)
    polling = asyncio.create_task(watch.run())
    try:
        ledger = await read_ledger(restore.state, restore.layout)
        _tell_ended(restore, ledger)
        await _restore_all(restore, watch, ledger, mine)
        if others:
            ledger = await read_ledger(restore.state, restore.layout)
            _tell_ended(restore, ledger)
            await _restore_all(restore, watch, ledger, others)
    finally:
        polling.cancel()
    return await read_ledger(restore.state, restore.layout)


def shares(tables: Sequence[TableStep], tasks: int) -> list[list[int]]:
    """The numbers of the tables of each task: largest first, each to the share that has least."""
    dealt: list[list[int]] = [[] for _ in range(tasks)]
    least = [(0, share) for share in range(tasks)]
    for number in sorted(range(len(tables)), key=lambda number: -weight(tables[number])):
        size, share = heapq.heappop(least)
        dealt[share].append(number)
        heapq.heappush(least, (size + weight(tables[number]), share))
    return dealt


def weight(step: TableStep) -> int:
    """The work that a table is: the bytes of its files, and a constant."""
    return sum(file.size for file in step.entry.files) + JOB_WEIGHT


async def _restore_all(restore: RunningRestore, watch: Watch, ledger: Ledger, numbers: Sequence[int]) -> None:
    slots = asyncio.Semaphore(restore.task.concurrency)
    stop: list[QuotaError] = []

    async def one(number: int) -> None:
        async with slots:
            if stop:
                return
            try:
                await _restore_one(restore, watch, number, ledger.next_attempt(number))
            except QuotaError as error:
                stop.append(error)

    try:
        async with asyncio.TaskGroup() as group:
            for number in ledger.open(numbers, restore.owner.execution):
                group.create_task(one(number))
    except BaseExceptionGroup as failed:
        raise first_of(failed) from None
    if stop:
        raise stop[0]


async def _restore_one(restore: RunningRestore, watch: Watch, number: int, attempt: int) -> None:
    """Restore a table and record how that ended. An error fails this table by name, and no other."""
    step, document = restore.plan.tables[number], restore.layout.receipt(number)
    name = step.entry.table
    if restore.task.tasks > 1 and (done := await value_of(restore.state, document)):
        restore.task.tell(done)
        return
    size = sum(file.size for file in step.entry.files)
    restore.task.tell(TableStarted(number, name, size, restore.owner.task))
    try:
        receipt = await restore_table(restore, watch, number, attempt)
    except OF_THE_TASK:
        raise
    except FailedJobError as error:
        await _record_failure(restore, number, attempt, error.reason, error.cause)
    except BqdumpError as error:
        await _record_failure(restore, number, attempt, type(error).__name__.removesuffix("Error"), error.cause)
    except Exception as error:
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
    name = restore.plan.tables[number].entry.table
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
