"""The one read session of a table that several tasks share: the first task that needs it opens it for all.

Each row of the table comes in exactly one stream of a session, and in another session the streams are others. So there
is one at a time for the complete run, kept in a document that goes from open to closed by compare-and-swap:

open → (BigQuery has ended it, and another execution continues) → retired → open, another session → … → closed

A receipt counts only while its session is the one of the document: what was read by a retired one is read again.
Closed, before anything is published, means that the parts are settled, and no other session follows.

The batches of a stream, handed out to one file after the other.

The second check of the read route: row access policies and masked columns that came after planning.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator

import msgspec

from bqdump.core.documents.run import Failure, Receipt
from bqdump.core.documents.units import Part, SharedSession, Unit
from bqdump.core.errors import UnavailableError
from bqdump.core.plan.guards import POLICED, masked_columns, objection
from bqdump.core.risks import Risk
from bqdump.export.task import RunningExport, Task
from bqdump.pool.units import UnitLedger, session_id
from bqdump.ports.reader import Batch, ReadSession
from bqdump.repository.repository import swap


async def shared_session(task: Task, part: Part, open_session: Callable[[], Awaitable[ReadSession]]) -> ReadSession:
    """The session of the part's table, with the part's streams only. Raises what opening and storing raise."""

    async def step(now: SharedSession | None) -> SharedSession | None:
        if now and not now.retired:
            return None
        opened = await open_session()
        return SharedSession(opened.name, opened.streams, opened.schema, task.owner.execution)

    # Another task may be first, or the answer to an earlier try of this one be lost: one counts for all.
    stored = await swap(task.store, task.layout.session(part.lead), step)
    if stored is None:
        raise AssertionError("unreachable")
    now = stored.value
    return ReadSession(now.name, now.streams[part.number :: part.of], now.schema)


async def retire(task: Task, part: Part, lost: str) -> bool:
    """Give up the session of this name, which BigQuery has ended. Whether the part may be read from another one.

    Only another execution than the one that opened it may: within one, every task would read the table anew each time
    that a session ends before all of it has been read.
    """

    async def step(now: SharedSession | None) -> SharedSession | None:
        if now is None or now.name != lost or now.closed or now.execution == task.owner.execution:
            return None
        return SharedSession("", (), b"", task.owner.execution)

    stored = await swap(task.store, task.layout.session(part.lead), step)
    return stored is None or stored.value.name != lost


async def close_sessions(export: RunningExport, units: UnitLedger) -> bool:
    """Settle that the parts of shared tables are what their receipts say, but of tables that are given up.

    False when a session has been retired since the receipts were read: then its table is not done after all.
    """
    receipts = units.receipts
    for split in export.plan.splits:
        if not any(unit in units.given_up for unit in split.units):
            jobs = {receipts[unit].job for unit in split.units if unit in receipts}
            if not all(unit in receipts for unit in split.units) or not await _close(export.task, split.units[0], jobs):
                return False
    return True


async def _close(task: Task, lead: str, jobs: set[str]) -> bool:

    async def step(now: SharedSession | None) -> SharedSession | None:
        open_ = now is not None and {session_id(now.name)} == jobs and not now.closed
        return msgspec.structs.replace(now, closed=True) if now and open_ else None

    stored = await swap(task.store, task.layout.session(lead), step)
    return stored is not None and stored.value.closed and {session_id(stored.value.name)} == jobs


class Feed:
    """A stream. taken: bytes of Arrow that the present file got; broken: what ended the stream before its last row.

    stop: set when another stream of the table has failed.
    """

    def __init__(self, batches: Iterator[Batch], stop: threading.Event) -> None:
        self._batches, self._stop = batches, stop
        self._next: Batch | None = None
        self.broken: UnavailableError | None = None
        self.taken = 0

    def more(self) -> bool:
        """Whether there are rows left. Waits for them."""
        if self._next is None:
            try:
                self._next = next(self._batches, None)
            except UnavailableError as error:
                self.broken = error
                raise
        return self._next is not None

    def until(self, full: Callable[[], bool]) -> Iterator[Batch]:
        """Batches until the file is full; at least one, where there is one."""
        self.taken = 0
        while self.more() and not (self.taken and full()):
            if self._stop.is_set():
                self.broken = UnavailableError("read", "a stream", "another one of the same table has failed")
                raise self.broken
            batch, self._next = self._next, None
            assert batch is not None  # noqa: S101 (more() has just said so)
            self.taken += len(batch.data)
            yield batch


async def look_again(export: RunningExport, unit: Unit, receipt: Receipt) -> Receipt | Failure:
    """The receipt with the risks that are found once everything has been read, or a Failure for one not allowed.

    A job's statistics report whether row access policies or masking applied to it; a read session has no statistics.
    So the table is checked again: two requests, none for risks that the plan already names. Sent after the last row has
    arrived, they find everything that was present during the reading and has not been dropped since. A row access
    policy that was dropped meanwhile is covered in two ways: BigQuery refuses this API to a reader who may not see
    every row, and refuses time travel on a table that has, or has had, policies to all but its administrators.
    Sources: https://cloud.google.com/bigquery/docs/using-row-level-security-with-features
    """
    risks = await _risks(export, unit)
    if lost := objection(risks, export.settings, "since it was planned:"):
        return Failure(unit.id, unit.table, receipt.job, receipt.attempt, lost[0].value, lost[1], export.owner)
    return msgspec.structs.replace(receipt, risks=risks)


async def _risks(export: RunningExport, unit: Unit) -> tuple[Risk, ...]:
    planned = {flag.risk for flag in export.plan.flags if flag.table in (unit.table, "")}
    rows, columns = await asyncio.gather(_hidden_rows(export, unit, planned), _masked_columns(export, unit, planned))
    return (*rows, *columns)


async def _hidden_rows(export: RunningExport, unit: Unit, planned: set[Risk]) -> tuple[Risk, ...]:
    if Risk.ROW_POLICIES in planned:
        return (Risk.ROW_POLICIES,)
    if Risk.UNSEEN_ROW_POLICIES in planned or unit.kind not in POLICED:
        return ()
    names = await export.warehouse.row_policies(export.source, unit.table)
    if names is None:
        return (Risk.UNSEEN_ROW_POLICIES,)
    return (Risk.ROW_POLICIES,) if names else ()


async def _masked_columns(export: RunningExport, unit: Unit, planned: set[Risk]) -> tuple[Risk, ...]:
    if Risk.MASKED_COLUMNS in planned:
        return (Risk.MASKED_COLUMNS,)
    now = await export.warehouse.table(export.source, unit.table)
    masked = now is not None and masked_columns(msgspec.structs.replace(unit, definition=now.definition))
    return (Risk.MASKED_COLUMNS,) if masked else ()
