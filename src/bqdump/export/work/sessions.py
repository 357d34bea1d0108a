"""The one read session of a table that several tasks share: the first task that needs it opens it for all.

Each row of the table comes in exactly one stream of a session, and in another session the streams are others. So there
is one at a time for the complete run, kept in a document that goes from open to closed by compare-and-swap:

open → (BigQuery has ended it, and another execution continues) → retired → open, another session → … → closed

A receipt counts only while its session is the one of the document: what was read by a retired one is read again.
Closed, before anything is published, means that the parts are settled, and no other session follows.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from bqdump.core.documents.units import Part, SharedSession
from bqdump.export.task import RunningExport, Task
from bqdump.ports.reader import ReadSession
from bqdump.repository.repository import swap
from bqdump.repository.units.ledger import UnitLedger
from bqdump.repository.units.sessions import session_id


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
