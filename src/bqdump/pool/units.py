"""The pool of an export: its units, how each has ended, and what counts of that.

A unit has ended with a receipt, or is given up, so that the run goes without its table. There are two exceptions to the
rule that the first end of a unit stays:

- A receipt counts only while its read session is that of its table: see `export.work.sessions`. Once that is retired,
  a receipt of another session replaces it, and a claim that was made for it does not bind.
- A note that an extract job's files do not count is replaced by the receipt of the query that follows.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from bqdump.concurrency import gathered
from bqdump.core.documents.run import DROPPED, Failure, Owner, Plan, Receipt
from bqdump.core.documents.run_layout import End, RunLayout
from bqdump.core.documents.units import Changed, GivenUp, parts_of
from bqdump.core.documents.validation import CHANGED
from bqdump.core.errors import DocumentError
from bqdump.core.progress.events import Looked, Started
from bqdump.core.units.tables import by_table, is_by_query
from bqdump.pool.pool import Held, Ledger, read_notes, record
from bqdump.ports.store import ObjectStore
from bqdump.repository.repository import value_of

WRITES_AT_ONCE = 16


async def outdated(store: ObjectStore, layout: RunLayout, plan: Plan, ends: Mapping[str, object]) -> set[str]:
    """The units whose receipts are from retired sessions. One request for each shared table that was begun."""
    units: set[str] = set()
    for split in plan.splits:
        receipts = [end for unit in split.units if isinstance(end := ends.get(unit), Receipt)]
        if receipts:
            current = await current_session(store, layout, split.units[0])
            units |= {receipt.unit for receipt in receipts if receipt.job != current}
    return units


async def current_session(store: ObjectStore, layout: RunLayout, lead: str) -> str:
    """The valid session of the table whose first part this is, as receipts name it; "" for none."""
    now = await value_of(store, layout.session(lead))
    return session_id(now.name) if now else ""


def session_id(name: str) -> str:
    """A session as receipts name it: the last part of its name."""
    return name.rpartition("/")[2]


class UnitLedger(Ledger[str, Receipt, Failure], frozen=True):
    """What became of units. receipts: those that count.

    given_up: the units permanently excluded from the run.
    outdated: receipts that no longer count because their read sessions were retired.
    changed: partitions that were changed while extract jobs read them.
    """

    given_up: dict[str, Failure]
    outdated: dict[str, Receipt]
    changed: dict[str, Changed]

    @classmethod
    def empty(cls, receipts: dict[str, Receipt] | None = None) -> UnitLedger:
        """The ledger of a new run, or of one of which nothing but receipts is known."""
        return cls(receipts or {}, {}, {}, {}, {}, {})

    def has_ended(self, item: str) -> bool:
        """Whether it has a receipt that counts, or is given up."""
        return item in self.receipts or item in self.given_up

    def binding(self, item: str) -> Held | None:
        """The claim on a unit. Whoever holds one for a session that has been retired since is done with it."""
        held, again = self.claims.get(item), self.outdated.get(item)
        return None if held and again and held.claim.again != again.job else held

    def failed(self, execution: str | None = None) -> list[Failure]:
        """The last failure of each unit that has no receipt, in this execution or (None) in any, by table.

        An excluded unit counts as failed in every execution.
        """
        open_ = (self.last_failure(unit, execution) for unit in self.failures if not self.has_ended(unit))
        return sorted([*filter(None, open_), *self.given_up.values()], key=lambda failure: failure.table)

    def failed_tables(self, execution: str | None = None, owner: Owner | None = None) -> list[Failure]:
        """One failure for each failed table, by table: in this execution or (None) in any, of this task or of any."""
        return by_table(failure for failure in self.failed(execution) if owner in (None, failure.owner))

    @property
    def dropped(self) -> frozenset[str]:
        """The tables that the run goes without because they were dropped while it was at work."""
        return frozenset(failure.table for failure in self.given_up.values() if failure.reason == DROPPED)

    @property
    def reopened(self) -> bool:
        """Whether work must be repeated because a read session was retired."""
        return bool(self.outdated)

    def settled(self, plan: Plan, execution: str) -> bool:
        """Whether this execution has nothing left to do.

        Raises DocumentError for notes about units that are not in the plan.
        """
        if strange := [unit for unit in (*self.receipts, *self.failures, *self.given_up) if not plan.has(unit)]:
            wrong = f"some are about {strange[0] or 'nothing'}, which is no unit of its plan"
            raise DocumentError("read", f"the receipts and failures of run {plan.run}", wrong, CHANGED)
        return len(self.receipts) + len(self.failed(execution)) == plan.unit_count


def looked(ledger: UnitLedger, execution: str | None = None) -> Looked:
    """The units by ledger.

    A failure counts in the execution that holds the claim; without a claim in this execution or (None) in any.
    """
    claims = ledger.claims
    started = {
        unit: Started(unit, held.claim.table, held.claim.bytes, held.owner.task) for unit, held in claims.items()
    }
    failures = {
        unit: failure
        for unit in ledger.failures
        if unit not in ledger.receipts
        and (failure := ledger.last_failure(unit, claims[unit].owner.execution if unit in claims else execution))
    }
    return Looked(started, ledger.receipts, failures | ledger.given_up)


async def read_unit_ledger(store: ObjectStore, layout: RunLayout, plan: Plan, *, claims: bool = False) -> UnitLedger:
    """The current ledger. claims: with claims, which whoever only wants to know how units have ended need not list."""
    return (await _read(store, layout, plan, *[layout.claims] * claims, layout.receipts, layout.failures))[0]


async def list_units(store: ObjectStore, layout: RunLayout, plan: Plan) -> tuple[UnitLedger, int]:
    """The same from one listing of the run's complete folder, staged files included; and the number of its pages."""
    return await _read(store, layout, plan, layout.root)


async def _read(store: ObjectStore, layout: RunLayout, plan: Plan, *folders: str) -> tuple[UnitLedger, int]:
    notes, pages = await read_notes(store, layout, folders)
    ledger = UnitLedger({}, notes.failures, notes.claims, {}, {}, {})
    for unit, end in notes.receipts.items():
        if isinstance(end, Receipt):
            ledger.receipts[unit] = end
        elif isinstance(end, Changed):
            ledger.changed[unit] = end
        else:
            ledger.given_up[unit] = end.failure
    # Sessions are read last, so that no outdated receipt counts.
    for unit in await outdated(store, layout, plan, ledger.receipts):
        ledger.outdated[unit] = ledger.receipts.pop(unit)
    return ledger, pages


async def give_up(store: ObjectStore, layout: RunLayout, plan: Plan, failed: list[Failure]) -> UnitLedger:
    """Exclude these units from the run; returns the ledger after that, in which some may have a receipt nevertheless.

    A task that still works on such a unit can no longer finish it: every task publishes the same.
    """
    await gathered(lambda failure: record_end(store, layout, plan, GivenUp(failure)), failed, WRITES_AT_ONCE)
    return await read_unit_ledger(store, layout, plan)


async def record_end(store: ObjectStore, layout: RunLayout, plan: Plan, end: End) -> End:
    """Record the end of a unit, or that it must be read in another way, unless an end is recorded; the recorded one."""
    document = layout.receipt(end.failure.unit if isinstance(end, GivenUp) else end.unit)
    return (await record(store, document, end, partial(_makes_room, store, layout, plan))).value


async def _makes_room(store: ObjectStore, layout: RunLayout, plan: Plan, stored: End, end: End) -> bool:
    if isinstance(stored, Changed):
        return isinstance(end, GivenUp) or (isinstance(end, Receipt) and is_by_query(end.attempt))
    part = parts_of(plan).get(stored.unit) if isinstance(stored, Receipt) and plan.splits else None
    if part is None or not isinstance(stored, Receipt):
        return False
    current = await current_session(store, layout, part.lead)
    return stored.job != current and (isinstance(end, GivenUp) or end.job == current)
