"""Working: a task takes the units of its own share, then helps with unclaimed units."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import NamedTuple

from bqdump.core.documents.layout import unit_id
from bqdump.core.documents.run import Failure, Plan, Receipt
from bqdump.core.errors import (
    BqdumpError,
    DocumentError,
    QuotaError,
    first_of,
    open_files_error,
    out_of_files,
    words_of,
)
from bqdump.core.progress.events import Started
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.sizes import counted
from bqdump.core.units.documents import Claim, GivenUp, Unit
from bqdump.core.units.parts import parts_of
from bqdump.core.units.shares import read_units
from bqdump.export.publish.clear import clear_written
from bqdump.export.task import RunningExport
from bqdump.export.work.in_flight import InFlight, Shared, Slots
from bqdump.export.work.jobs import extract_unit, query_unit
from bqdump.export.work.read import read_unit, withdraw_files
from bqdump.export.work.watch import Watch
from bqdump.repository.repository import replace
from bqdump.repository.units.ledger import Held, UnitLedger, looked, read_claims, read_unit_ledger, write_end

log = logging.getLogger(__name__)

# This many claims lost in a row mean that the picture of free units is outdated.
STALE_AFTER = 8
# After this many failed reads, the stored units count as damaged.
TIMES_READ = 3

# Exports one unit: see jobs.by_job for parameters and result.
Export = Callable[[RunningExport, Watch, Unit, int, Callable[[], None]], Awaitable[Receipt | Failure]]
EXPORTS: dict[str, Export] = {"extract": extract_unit, "query": query_unit, "read": read_unit}


class Todo(NamedTuple):
    """A unit to work on: the generation of the claim to replace (0 for none, None when it is ours already).

    again: see Claim.
    """

    unit: Unit
    replaces: int | None
    first_attempt: int
    again: str


class Free(NamedTuple):
    """A unit that may be taken: see Todo.replaces."""

    replaces: int | None


class Picture(NamedTuple):
    """What is done and who works on what, as one look around has shown it."""

    ledger: UnitLedger
    claims: dict[str, Held]


UNTOUCHED = Picture(UnitLedger.empty(), {})


async def work(export: RunningExport) -> bool:
    """Work until nothing is left that this task may do. Receipts and failures are stored as they come.

    Returns whether there was anything. Raises QuotaError, after the jobs in flight have ended, if a quota is exceeded.
    """
    if not export.plan.shares:
        return False
    if export.task.of_set:
        return await _work(export, export.task.of_set.in_flight(export.plan.location))
    own = Shared(export.task)
    try:
        return await _work(export, own.at(export.plan.location))
    finally:
        own.close()


async def _work(export: RunningExport, opened: InFlight) -> bool:
    slots, watch = opened
    stop: list[QuotaError] = []
    taken = False

    async def do(todo: Todo) -> None:
        hold = slots.hold()
        export.tell(Started(todo.unit.id, todo.unit.table, todo.unit.bytes, export.owner.task))
        try:
            await _finish_unit(export, watch, todo, hold.started)
        except QuotaError as error:
            stop.append(error)
        finally:
            hold.done()

    try:
        async with asyncio.TaskGroup() as group:
            async for todo in _claimed(export, slots):
                if stop:
                    break
                taken = True
                group.create_task(do(todo))
    except BaseExceptionGroup as failed:
        raise first_of(failed) from None
    if stop:
        raise stop[0]
    return taken


async def _finish_unit(export: RunningExport, watch: Watch, todo: Todo, started: Callable[[], None]) -> None:
    outcome = await _export(export, watch, todo, started)
    export.tell(outcome)
    table, called = outcome.table, _called(export.plan, todo.unit)
    if isinstance(outcome, Failure):
        failed = LogEvent.TABLE_FAILED.extra(table=table)
        log.error("%s: failed: %s: %s", called, outcome.reason, outcome.message, extra=failed)
        document = export.layout.failure(outcome.unit, outcome.attempt, export.owner.execution)
        await replace(export.store, document, outcome, 0)
        return
    files, exported = counted(outcome.files, "file"), LogEvent.TABLE_EXPORTED.extra(table=table)
    log.info("%s: exported in %s", called, files, extra=exported)
    recorded = await write_end(export.store, export.layout, export.plan, outcome)
    if isinstance(recorded, GivenUp):
        log.warning("%s: excluded from this partial export", called, extra=LogEvent.TABLE_GIVEN_UP.extra(table=table))
        await clear_written(export, export.written_by(outcome, todo.unit))
    elif recorded != outcome:
        # Another task recorded the end of the same job first, or read the same rows.
        log.debug("%s: its end is recorded already", called)
        if todo.unit.route == "read":
            await withdraw_files(export, todo.unit, outcome)


async def _export(export: RunningExport, watch: Watch, todo: Todo, started: Callable[[], None]) -> Receipt | Failure:
    """How the unit ended. An unexpected error fails its table, by name, and no other table in flight.

    Raises what ends the task: a BqdumpError about the target or a service, and what this machine refuses (OSError).
    """
    unit = todo.unit
    try:
        return await EXPORTS[unit.route](export, watch, unit, todo.first_attempt, started)
    except (BqdumpError, OSError):
        raise
    except Exception as error:
        if out_of_files(error):
            raise open_files_error("export", f"table {unit.table}") from error
        unexpected = LogEvent.UNEXPECTED_ERROR.extra(table=unit.table)
        log.exception("%s: unexpected error", _called(export.plan, unit), exc_info=error, extra=unexpected)
        return Failure(unit.id, unit.table, "", todo.first_attempt, "unexpected", words_of(error), export.owner)


def _called(plan: Plan, unit: Unit) -> str:
    """The display name of a unit."""
    part = parts_of(plan).get(unit.id) if plan.splits else None
    return f"{unit.table} (part {part.number + 1} of {part.of})" if part else unit.table


async def _claimed(export: RunningExport, slots: Slots) -> AsyncIterator[Todo]:
    """Units that this task has claimed, one for each free slot: own share first, then what others left."""
    own = [share for share in range(len(export.plan.shares)) if share % export.task.tasks == export.owner.task]
    mine = set(own)
    others = [share for share in range(len(export.plan.shares)) if share not in mine]
    start = export.owner.task % max(1, len(others))
    # A first attempt finds its own share untouched: it looks around only once a claim turns out to be taken.
    picture: Picture | None = UNTOUCHED
    # What this process has in hand looks, in a new picture, like what an earlier attempt has left behind.
    taken: set[str] = set()
    for shares, helping in ((own, False), (others[start:] + others[:start], True)):
        again = bool(shares)
        while again:
            if picture is None or helping:
                picture = await _look(export)
            again, lost = False, 0
            async for todo in _open(export, picture, shares, helping):
                if todo.unit.id in taken:
                    continue
                await slots.acquire()
                replaces = todo.replaces
                if replaces is not None and not await _claim(export, todo.unit, replaces, todo.again):
                    slots.release()
                    lost, again = lost + 1, True
                    if picture is UNTOUCHED or lost >= STALE_AFTER:
                        break
                    continue
                lost = 0
                taken.add(todo.unit.id)
                yield todo
            if again:
                # A fresh picture shows who holds a lost claim: one of an earlier attempt may have arrived late.
                picture = None


async def _claim(export: RunningExport, unit: Unit, replaces: int, again: str) -> bool:
    claim = Claim(export.owner, unit.table, unit.bytes, again)
    return await replace(export.store, export.layout.claim(unit.id), claim, replaces) is not None


async def _look(export: RunningExport) -> Picture:
    claims = await read_claims(export.store, export.layout)
    ledger = await read_unit_ledger(export.store, export.layout, export.plan)
    export.tell(looked(ledger, claims))
    return Picture(ledger, claims)


async def _open(export: RunningExport, picture: Picture, shares: list[int], helping: bool) -> AsyncIterator[Todo]:
    """What this task may work on by this picture, share after share; reads only shares with something open.

    Own shares are taken from their largest unit on, the others from their smallest, where their owner comes last.
    """
    for share in shares:
        ids = (unit_id(share, number) for number in range(export.plan.shares[share].units))
        takeable = {unit: free for unit in ids if (free := _free(export, picture, unit))}
        if not takeable:
            continue
        units = await read_share(export, share)
        for unit in reversed(units) if helping else units:
            if unit.id in takeable:
                failure = picture.ledger.last_failure(unit.id)
                again = picture.ledger.outdated.get(unit.id)
                attempt = failure.attempt + 1 if failure else 0
                yield Todo(unit, takeable[unit.id].replaces, attempt, again.job if again else "")


def _free(export: RunningExport, picture: Picture, unit: str) -> Free | None:
    """How this task may take the unit; None if it is done, failed, or in progress."""
    ledger = picture.ledger
    if unit in ledger.receipts or unit in ledger.given_up or ledger.last_failure(unit, export.owner.execution):
        return None
    held = picture.claims.get(unit)
    if held is None:
        return Free(0)
    if unit in ledger.outdated and held.claim.again != ledger.outdated[unit].job:
        # Whoever holds it is done with it: it was claimed for the session that has been retired.
        return Free(held.generation)
    if held.owner == export.owner:
        return Free(None)
    # A claim binds the tasks of its execution. Another execution of the same run may take it over: its job
    # has the same id, so at worst two tasks wait for one job.
    return None if held.owner.execution == export.owner.execution else Free(held.generation)


async def read_share(export: RunningExport, share: int) -> list[Unit]:
    """The units of one share: a read of its part of the units object only.

    Cloud Storage sends no checksum of a part. The plan has one, and a part that does not match it is read again.
    """
    where = export.plan.shares[share]
    for _ in range(TIMES_READ - 1):
        with suppress(DocumentError):
            return read_units(
                (await export.store.read(export.plan.units, where.offset, where.length)).data, export.plan, share
            )
    return read_units((await export.store.read(export.plan.units, where.offset, where.length)).data, export.plan, share)
