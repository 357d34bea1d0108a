"""Working: a task takes the units of its own share, then helps with unclaimed units."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from typing import NamedTuple

from bqdump.concurrency import task_group
from bqdump.core.documents.run import Plan, Receipt
from bqdump.core.documents.run_layout import unit_id
from bqdump.core.documents.units import Claim, Unit
from bqdump.core.errors import DocumentError, QuotaError
from bqdump.core.progress.events import Started
from bqdump.core.units.shares import read_units
from bqdump.export.task import RunningExport
from bqdump.export.watch import InFlight, Shared, Slots
from bqdump.export.work.unit import Todo, finish_unit
from bqdump.repository.repository import replace
from bqdump.repository.units import Held, UnitLedger, looked, read_claims, read_unit_ledger

# This many claims lost in a row mean that the view of free units is outdated.
STALE_AFTER = 8
# After this many failed reads, the stored units count as damaged.
TIMES_READ = 3


class Free(NamedTuple):
    """A unit that may be taken: see Todo.replaces."""

    replaces: int | None


class ClaimView(NamedTuple):
    """What is done and who works on what, read by one listing."""

    ledger: UnitLedger
    claims: dict[str, Held]


UNTOUCHED = ClaimView(UnitLedger.empty(), {})


class Worked(NamedTuple):
    """What a task has done.

    taken: it has worked on any units.
    receipts: of the units that it has seen done.
    """

    taken: bool
    receipts: dict[str, Receipt]

    def ledger(self, plan: Plan) -> UnitLedger | None:
        """The run's ledger, if this task has seen that everything is done; None if it must be read."""
        if plan.splits or len(self.receipts) < plan.unit_count:
            return None
        return UnitLedger.empty()._replace(receipts=self.receipts)


async def work(export: RunningExport) -> Worked:
    """Work until nothing is left that this task may do. Receipts and failures are stored as they come.

    Raises QuotaError, after the jobs in flight have ended, if a quota is exceeded.
    """
    if not export.plan.shares:
        return Worked(taken=False, receipts={})
    location, units = export.plan.location, export.plan.unit_count
    if of_set := export.task.of_set:
        return await _work(export, of_set.in_flight(location, of_set.number, units))
    own = Shared(export.warehouse, export.settings.concurrency, export.task.tasks, {})
    try:
        return await _work(export, own.at(location, 0, units))
    finally:
        own.close()


async def _work(export: RunningExport, opened: InFlight) -> Worked:
    slots, watch = opened
    stop: list[QuotaError] = []
    receipts: dict[str, Receipt] = {}
    taken = False

    async def do(todo: Todo) -> None:
        hold = slots.hold()
        export.tell(Started(todo.unit.id, todo.unit.table, todo.unit.bytes, export.owner.task))
        try:
            if receipt := await finish_unit(export, watch, todo, hold.started):
                receipts[todo.unit.id] = receipt
        except QuotaError as error:
            stop.append(error)
        finally:
            hold.done()

    async with task_group() as group:
        async for todo in _claimed(export, slots):
            if stop:
                break
            taken = True
            group.create_task(do(todo))
    if stop:
        raise stop[0]
    return Worked(taken, receipts)


async def _claimed(export: RunningExport, slots: Slots) -> AsyncIterator[Todo]:
    """Units that this task has claimed, one for each free slot: own share first, then what others left."""
    own = [share for share in range(len(export.plan.shares)) if share % export.task.tasks == export.owner.task]
    mine = set(own)
    rest = [share for share in range(len(export.plan.shares)) if share not in mine]
    start = export.owner.task % max(1, len(rest))
    # A first attempt finds its own share untouched: it looks around only once a claim turns out to be taken.
    view: ClaimView | None = UNTOUCHED
    # What this process has in hand looks, in a new view, like what an earlier attempt has left behind.
    taken: set[str] = set()
    for shares, helping in ((own, False), (rest[start:] + rest[:start], True)):
        again = bool(shares)
        while again:
            if view is None or helping:
                view = await _view_of_claims(export)
            again, lost = False, 0
            async for todo in _open(export, view, shares, helping):
                if todo.unit.id in taken:
                    continue
                await slots.acquire()
                replaces = todo.replaces
                if replaces is not None and not await _claim(export, todo.unit, replaces, todo.again):
                    slots.release()
                    lost, again = lost + 1, True
                    if view is UNTOUCHED or lost >= STALE_AFTER:
                        break
                    continue
                lost = 0
                taken.add(todo.unit.id)
                yield todo
            if again:
                # A fresh view shows who holds a lost claim: one of an earlier attempt may have arrived late.
                view = None


async def _claim(export: RunningExport, unit: Unit, replaces: int, again: str) -> bool:
    claim = Claim(export.owner, unit.table, unit.bytes, again)
    return await replace(export.store, export.layout.claim(unit.id), claim, replaces) is not None


async def _view_of_claims(export: RunningExport) -> ClaimView:
    claims = await read_claims(export.store, export.layout)
    ledger = await read_unit_ledger(export.store, export.layout, export.plan)
    export.tell(looked(ledger, claims))
    return ClaimView(ledger, claims)


async def _open(export: RunningExport, view: ClaimView, shares: list[int], helping: bool) -> AsyncIterator[Todo]:
    """What this task may work on by this view, share after share; reads only shares with something open.

    Own shares are taken from their largest unit on, the others from their smallest, where their owner comes last.
    """
    for share in shares:
        ids = (unit_id(share, number) for number in range(export.plan.shares[share].units))
        takeable = {unit: free for unit in ids if (free := _free(export, view, unit))}
        if not takeable:
            continue
        units = await read_share(export, share)
        for unit in reversed(units) if helping else units:
            if unit.id in takeable:
                failure = view.ledger.last_failure(unit.id)
                again = view.ledger.outdated.get(unit.id)
                attempt = failure.attempt + 1 if failure else 0
                changed = view.ledger.changed.get(unit.id)
                yield Todo(unit, takeable[unit.id].replaces, attempt, again.job if again else "", changed)


def _free(export: RunningExport, view: ClaimView, unit: str) -> Free | None:
    """How this task may take the unit; None if it is done, failed, or in progress."""
    ledger = view.ledger
    if unit in ledger.receipts or unit in ledger.given_up or ledger.last_failure(unit, export.owner.execution):
        return None
    held = view.claims.get(unit)
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
    if export.made:
        return read_units(export.made.lines[where.offset : where.offset + where.length], export.plan, share)
    for _ in range(TIMES_READ - 1):
        with suppress(DocumentError):
            return read_units(
                (await export.store.read(export.plan.units, where.offset, where.length)).data, export.plan, share
            )
    return read_units((await export.store.read(export.plan.units, where.offset, where.length)).data, export.plan, share)
