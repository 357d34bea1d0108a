"""Working: a task takes the units of its own share, then helps with unclaimed units."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from typing import NamedTuple

from bqdump.core.documents.run import Plan, Receipt
from bqdump.core.documents.run_layout import unit_id
from bqdump.core.documents.units import Claim, Unit
from bqdump.core.errors import DocumentError
from bqdump.core.progress.events import Started
from bqdump.core.units.shares import read_units
from bqdump.export.task import RunningExport
from bqdump.export.watch import InFlight, Shared, Slots
from bqdump.export.work.unit import Todo, finish_unit
from bqdump.pool import pool
from bqdump.pool.pool import Pool
from bqdump.pool.units import UnitLedger, looked, read_unit_ledger
from bqdump.repository.repository import replace

# After this many failed reads, the stored units count as damaged.
TIMES_READ = 3


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
        return UnitLedger.empty(self.receipts)


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
    receipts: dict[str, Receipt] = {}

    async def do(todo: Todo) -> None:
        hold = slots.hold()
        export.tell(Started(todo.unit.id, todo.unit.table, todo.unit.bytes, export.owner.task))
        try:
            if receipt := await finish_unit(export, watch, todo, hold.started):
                receipts[todo.unit.id] = receipt
        finally:
            hold.done()

    taken = await pool.work(_Units(export).todo(slots), do)
    return Worked(taken > 0, receipts)


class _Units(Pool[str, UnitLedger]):
    """The units of a run. Own shares are taken from their largest unit on, others from the smallest, which comes last
    where its owner takes it.
    """

    def __init__(self, export: RunningExport) -> None:
        super().__init__(export.store, export.owner, UnitLedger.empty())
        self._export = export
        self._read: tuple[int, list[Unit]] = (-1, [])

    async def todo(self, slots: Slots) -> AsyncIterator[Todo]:
        """The units that this task has claimed, one for each free slot."""
        shares = range(len(self._export.plan.shares))
        own = [share for share in shares if share % self._export.task.tasks == self.owner.task]
        rest = [share for share in shares if share % self._export.task.tasks != self.owner.task]
        start = self.owner.task % max(1, len(rest))
        others = [unit for share in rest[start:] + rest[:start] for unit in reversed(self._ids(share))]
        async for unit, ledger in self.take([unit for share in own for unit in self._ids(share)], others, slots):
            yield Todo(await self._unit(unit), ledger.next_attempt(unit), ledger.changed.get(unit))

    async def look(self) -> UnitLedger:
        """See Pool."""
        ledger = await read_unit_ledger(self.store, self._export.layout, self._export.plan, claims=True)
        self._export.tell(looked(ledger))
        return ledger

    async def claim(self, item: str, ledger: UnitLedger, replaces: int) -> bool:
        """See Pool."""
        unit, again = await self._unit(item), ledger.outdated.get(item)
        claim = Claim(self.owner, unit.table, unit.bytes, again.job if again else "")
        return await replace(self.store, self._export.layout.claim(item), claim, replaces) is not None

    def _ids(self, share: int) -> list[str]:
        return [unit_id(share, number) for number in range(self._export.plan.shares[share].units)]

    async def _unit(self, id_: str) -> Unit:
        """Reads only shares of which this task takes something."""
        share, number = map(int, id_.split("-"))
        if self._read[0] != share:
            self._read = share, await read_share(self._export, share)
        return self._read[1][number]


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
