"""The units of a run: those with receipts, those that failed permanently, and claims. Read by listing, page by page.

The read sessions of split tables, as their documents record them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from bqdump.concurrency import gathered
from bqdump.core.documents.codec import decode
from bqdump.core.documents.document import Notes
from bqdump.core.documents.run import DROPPED, Failure, Owner, Plan, Receipt
from bqdump.core.documents.run_layout import ENDS, End, RunLayout, unit_of
from bqdump.core.documents.units import Changed, Claim, GivenUp, parts_of
from bqdump.core.documents.validation import CHANGED
from bqdump.core.errors import DocumentError
from bqdump.core.progress.events import Looked, Started
from bqdump.core.units.tables import by_table, is_by_query
from bqdump.ports.store import ObjectStore
from bqdump.repository.repository import create, notes, swap, value_of


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


WRITES_AT_ONCE = 16


class UnitLedger(NamedTuple):
    """Receipts by unit, failures by unit and execution, and the units permanently excluded from the run.

    outdated: receipts that no longer count because their read sessions were retired.
    changed: partitions that were changed while extract jobs read them.
    """

    receipts: dict[str, Receipt]
    failures: dict[str, list[Failure]]
    given_up: dict[str, Failure]
    outdated: dict[str, Receipt]
    changed: dict[str, Changed]

    @classmethod
    def empty(cls) -> UnitLedger:
        """The ledger of a new run."""
        return cls({}, {}, {}, {}, {})

    def add_end(self, unit: str, ended: Receipt | GivenUp | Changed) -> None:
        """Add the end of a unit, or that it must be read in another way."""
        if isinstance(ended, Receipt):
            self.receipts[unit] = ended
        elif isinstance(ended, Changed):
            self.changed[unit] = ended
        else:
            self.given_up[unit] = ended.failure

    def last_failure(self, unit: str, execution: str | None = None) -> Failure | None:
        """The last attempt at a unit that failed, in this execution or (None) in any."""
        met = [failure for failure in self.failures.get(unit, ()) if execution in (None, failure.owner.execution)]
        return max(met, key=lambda failure: failure.attempt, default=None)

    def failed(self, execution: str | None = None) -> list[Failure]:
        """The last failure of each unit that has no receipt, in this execution or (None) in any, by table.

        An excluded unit counts as failed in every execution.
        """
        ended = self.receipts.keys() | self.given_up.keys()
        open_ = (self.last_failure(unit, execution) for unit in self.failures if unit not in ended)
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


class Held(NamedTuple):
    """A claim as it is stored."""

    claim: Claim
    generation: int

    @property
    def owner(self) -> Owner:
        """Who holds it."""
        return self.claim.owner


def looked(ledger: UnitLedger, claims: Mapping[str, Held], execution: str | None = None) -> Looked:
    """The units by ledger and claims.

    A failure counts in the execution that holds the claim; without a claim in this execution or (None) in any.
    """
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


async def read_all(store: ObjectStore, layout: RunLayout, plan: Plan) -> tuple[UnitLedger, dict[str, Held], int]:
    """UnitLedger and claims from one listing of the run's complete folder, and the number of pages."""
    pages, every = 0, []
    async for page in store.notes(layout.root):
        pages += 1
        every += page
    claims = {}
    ledger = UnitLedger.empty()
    for note in every:
        unit = unit_of(note.name)
        if note.name.startswith(layout.receipts):
            ledger.add_end(unit, decode(note.data, ENDS, note.name))
        elif note.name.startswith(layout.claims):
            claims[unit] = Held(decode(note.data, Claim, note.name), note.generation)
        elif note.name.startswith(layout.failures):
            ledger.failures.setdefault(unit, []).append(decode(note.data, Failure, note.name))
    await _set_apart(store, layout, plan, ledger)
    return ledger, claims, pages


async def read_unit_ledger(store: ObjectStore, layout: RunLayout, plan: Plan) -> UnitLedger:
    """The current ledger."""
    ledger = UnitLedger.empty()
    async for ends in notes(store, Notes(layout.receipts, ENDS)):
        for end in ends:
            ledger.add_end(unit_of(end.name), end.value)
    async for failures in notes(store, Notes(layout.failures, Failure)):
        for failure in failures:
            ledger.failures.setdefault(unit_of(failure.name), []).append(failure.value)
    await _set_apart(store, layout, plan, ledger)
    return ledger


async def _set_apart(store: ObjectStore, layout: RunLayout, plan: Plan, ledger: UnitLedger) -> None:
    """Separate receipts that no longer count. Sessions are read last, so that no outdated receipt counts."""
    for unit in await outdated(store, layout, plan, ledger.receipts):
        ledger.outdated[unit] = ledger.receipts.pop(unit)


async def give_up(store: ObjectStore, layout: RunLayout, plan: Plan, failed: list[Failure]) -> UnitLedger:
    """Exclude these units from the run; returns the ledger after that, in which some may have a receipt nevertheless.

    A task that still works on such a unit can no longer finish it: every task publishes the same.
    """
    await gathered(lambda failure: write_end(store, layout, plan, GivenUp(failure)), failed, WRITES_AT_ONCE)
    return await read_unit_ledger(store, layout, plan)


async def write_end(store: ObjectStore, layout: RunLayout, plan: Plan, end: End) -> End:
    """Record the end of a unit unless one is recorded; returns the recorded one.

    Only a receipt whose read session was retired is replaced; and a note that an extract job's files do not count, by
    the receipt of the query that follows, or as the unit is given up.
    """
    document = layout.receipt(end.failure.unit if isinstance(end, GivenUp) else end.unit)

    async def step(known: End | None) -> End | None:
        stays = known == end or (known and not await _makes_room(store, layout, plan, known, end))
        return None if stays else end

    stored = await create(store, document, end)
    if await step(stored.value):
        stored = await swap(store, document, step) or stored
    return stored.value


async def _makes_room(store: ObjectStore, layout: RunLayout, plan: Plan, stored: End, end: End) -> bool:
    if isinstance(stored, Changed):
        return isinstance(end, GivenUp) or (isinstance(end, Receipt) and is_by_query(end.attempt))
    part = parts_of(plan).get(stored.unit) if isinstance(stored, Receipt) and plan.splits else None
    if part is None or not isinstance(stored, Receipt):
        return False
    current = await current_session(store, layout, part.lead)
    return stored.job != current and (isinstance(end, GivenUp) or end.job == current)


async def read_claims(store: ObjectStore, layout: RunLayout) -> dict[str, Held]:
    """All current claims, by unit."""
    claims = {}
    async for page in notes(store, Notes(layout.claims, Claim)):
        for claim in page:
            claims[unit_of(claim.name)] = Held(claim.value, claim.generation)
    return claims
