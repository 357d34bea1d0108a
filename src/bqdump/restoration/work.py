"""The tables of restores, shared among tasks by the pool."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

from bqdump.core.dealing import JOB_WEIGHT, Sharing, share_out
from bqdump.core.documents.notes import Restored, RestoreFailure
from bqdump.core.documents.units import Claim
from bqdump.core.errors import BqdumpError
from bqdump.core.progress.events import TableStarted
from bqdump.core.progress.log_events import LogEvent, about
from bqdump.core.restore.plan import TABLE, TableStep
from bqdump.core.sizes import counted
from bqdump.export.watch import JOBS_IN_FLIGHT, Watch
from bqdump.pool import pool
from bqdump.pool.pool import Pool, Refused, outcome, record
from bqdump.repository.repository import replace, value_of
from bqdump.restoration.jobs import TableWork
from bqdump.restoration.ledger import Ledger, read_ledgers
from bqdump.restoration.tables import drop_scratch, restore_table, table_work
from bqdump.restoration.task import RunningRestore
from bqdump.restoration.uploads import delete_uploads

log = logging.getLogger(__name__)


class Numbered(NamedTuple):
    """A table of one of the restores that are done together: its restore's position, and its number in the plan."""

    restore: int
    number: int


_All = pool.Ledger[Numbered, Restored, RestoreFailure]


async def restore_tables(restores: Sequence[RunningRestore]) -> dict[str, Ledger]:
    """Do this task's part of the tables of all these restores. Returns the ledgers after that, by restore.

    Raises QuotaError, after the jobs in flight have ended, if a quota is exceeded.
    """
    tables = _Tables(restores)
    room = asyncio.Semaphore(min(restores[0].task.settings.concurrency, _sharing(restores).part(JOBS_IN_FLIGHT)))
    async with watching(restores) as watches:

        async def do(taken: tuple[Numbered, _All]) -> None:
            (at, number), ledger = taken
            restore = restores[at]
            try:
                with about(restore.task.dataset):
                    attempt = ledger.next_attempt(taken[0])
                    await _restore_one(restore, watches[restore.target.location], number, attempt)
            finally:
                room.release()

        await pool.work(tables.take(*tables.dealt(), room), do)
    return await read_ledgers(restores)


def all_ended(restores: Iterable[RunningRestore], ledgers: Mapping[str, Ledger]) -> bool:
    """Whether every table of these restores is restored, or has failed in this execution."""
    return not any(
        ledgers[restore.id].is_open(number, restore.owner.execution)
        for restore in restores
        for number in range(len(restore.plan.tables))
    )


class _Tables(Pool[Numbered, _All]):
    """The tables of restores that are done together. A task that is alone claims nothing: there is nobody to see it."""

    def __init__(self, restores: Sequence[RunningRestore]) -> None:
        self._restores, self._task = restores, restores[0].task
        resumed = any(restore.resumed for restore in restores)
        super().__init__(self._task.state, self._task.owner, None if resumed else _All({}, {}, {}))

    def dealt(self) -> tuple[list[Numbered], list[Numbered]]:
        """The tables of this task's share, and all others, the smallest first."""
        tables = [Numbered(at, number) for at, restore in enumerate(self._restores)
                  for number in range(len(restore.plan.tables))]  # fmt: skip
        weights = [_bytes(self._step(table)) + JOB_WEIGHT for table in tables]
        own = share_out(weights, self._task.tasks)[self.owner.task % self._task.tasks]
        others = sorted(set(range(len(tables))) - set(own), key=weights.__getitem__)
        return [tables[at] for at in own], [tables[at] for at in others]

    async def look(self) -> _All:
        """See Pool."""
        ledgers = await read_ledgers(self._restores, claims=self._task.tasks > 1)
        together = _All({}, {}, {})
        for at, restore in enumerate(self._restores):
            ledger = ledgers[restore.id]
            for number in range(len(restore.plan.tables)):
                if done := ledger.receipts.get(number):
                    restore.task.tell(done)
            together.receipts.update({Numbered(at, number): note for number, note in ledger.receipts.items()})
            together.failures.update({Numbered(at, number): note for number, note in ledger.failures.items()})
            together.claims.update({Numbered(at, number): note for number, note in ledger.claims.items()})
        return together

    async def claim(self, item: Numbered, ledger: _All, replaces: int) -> bool:
        """See Pool."""
        if self._task.tasks == 1:
            return True
        restore, step = self._restores[item.restore], self._step(item)
        claim = Claim(self.owner, step.name, _bytes(step))
        return await replace(self.store, restore.layout.claim(item.number), claim, replaces) is not None

    def _step(self, table: Numbered) -> TableStep:
        return self._restores[table.restore].plan.tables[table.number]


def _bytes(step: TableStep) -> int:
    return sum(file.size for file in step.entry.files)


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


async def _restore_one(restore: RunningRestore, watch: Watch, number: int, attempt: int) -> None:
    """Restore a table and record how that ended. An error fails this table by name, and no other: see `outcome`."""
    step, work = restore.plan.tables[number], table_work(restore, watch, number, attempt)
    restore.task.tell(TableStarted(number, step.name, _bytes(step), restore.owner.task))
    receipt = await outcome(restore_table(work), step.name, "restore")
    if isinstance(receipt, Refused):
        await _record_failure(restore, number, attempt, receipt)
        # A process of another execution that is at the same attempt fails, too, and tries anew.
        await _drop_after_failure(work)
        return
    stored = await record(restore.state, restore.layout.receipt(number), receipt)
    if stored.mine:
        rows = "" if receipt.rows is None else f", {counted(receipt.rows, 'row')}"
        log.info("%s: restored%s", step.name, rows, extra=LogEvent.TABLE_RESTORED.extra(table=step.name))
    restore.task.tell(stored.value)
    await drop_scratch(work)
    await delete_uploads(restore, step.entry)


async def _drop_after_failure(work: TableWork) -> None:
    """Drop the scratch tables of an attempt that failed. An error is only logged, as they expire."""
    try:
        await drop_scratch(work)
    except BqdumpError as error:
        message, extra = "%s: its scratch tables are left until they expire: %s", LogEvent.CLEANUP_FAILED.extra()
        log.warning(message, work.name, error, extra=extra)


async def _record_failure(restore: RunningRestore, number: int, attempt: int, why: Refused) -> None:
    name = restore.plan.tables[number].name
    if done := await value_of(restore.state, restore.layout.receipt(number)):
        # Another task has finished the same attempt meanwhile.
        restore.task.tell(done)
        return
    failure = RestoreFailure(number, name, TABLE, attempt, *why, restore.owner)
    failed = LogEvent.TABLE_NOT_RESTORED.extra(table=name)
    log.error("%s: not restored: %s: %s", name, *why, extra=failed)
    await replace(restore.state, restore.layout.failure(number, attempt, restore.owner.execution), failure, 0)
    restore.task.tell(failure)
