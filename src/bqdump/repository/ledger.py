"""The ledger of a run: which units have receipts, which have failed for good. Read by listing, a page at a time."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from bqdump.core.documents.codec import decode
from bqdump.core.documents.document import Notes
from bqdump.core.documents.layout import End, RunLayout, unit_of
from bqdump.core.documents.run import Claim, Failure, GivenUp, Owner, Plan, Receipt
from bqdump.core.documents.validation import CHANGED
from bqdump.core.errors import DocumentError
from bqdump.core.plan.parts import Done, by_table, counts, done_tables, parts_of
from bqdump.core.progress.events import Looked, Started
from bqdump.ports.store import ObjectStore
from bqdump.repository.read_sessions import current_session, outdated
from bqdump.repository.repository import create, notes, swap

WRITES_AT_ONCE = 16


class Ledger(NamedTuple):
    """Receipts by unit, by unit the failures that each execution has met, and what the run goes without for good.

    outdated: receipts that do not count any more, as their read sessions have been retired.
    """

    receipts: dict[str, Receipt]
    failures: dict[str, list[Failure]]
    given_up: dict[str, Failure]
    outdated: dict[str, Receipt]

    @classmethod
    def empty(cls) -> Ledger:
        """The ledger of a run that has just begun."""
        return cls({}, {}, {}, {})

    def add_end(self, unit: str, ended: Receipt | GivenUp) -> None:
        """Take in how a unit has ended."""
        if isinstance(ended, Receipt):
            self.receipts[unit] = ended
        else:
            self.given_up[unit] = ended.failure

    def last_failure(self, unit: str, execution: str | None = None) -> Failure | None:
        """The last attempt at a unit that failed, in this execution or (None) in any."""
        met = [one for one in self.failures.get(unit, ()) if execution in (None, one.owner.execution)]
        return max(met, key=lambda failure: failure.attempt, default=None)

    def failed(self, execution: str | None = None) -> list[Failure]:
        """The last failure of each unit that has no receipt, in this execution or (None) in any, by table.

        What has been given up has failed for every execution.
        """
        ended = self.receipts.keys() | self.given_up.keys()
        open_ = (self.last_failure(unit, execution) for unit in self.failures if unit not in ended)
        return sorted([*filter(None, open_), *self.given_up.values()], key=lambda failure: failure.table)

    def done(self, plan: Plan) -> dict[str, Done]:
        """The tables that are done, by unit (of a shared one its first)."""
        return done_tables(self.receipts, plan)

    def failed_tables(self, execution: str | None = None, owner: Owner | None = None) -> list[Failure]:
        """One failure for each failed table, by table: in this execution or (None) in any, of this task or of any."""
        return by_table(failure for failure in self.failed(execution) if owner in (None, failure.owner))

    @property
    def reopened(self) -> bool:
        """Whether some of the work has to be done again, because a read session has been retired."""
        return bool(self.outdated)

    def settled(self, plan: Plan, execution: str) -> bool:
        """Whether nothing of the plan is left to do in this execution.

        Raises DocumentError where there are notes about units that the plan does not have.
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


class Tables(NamedTuple):
    """A run in tables. failed: one failure for each. last_done: when the last one or part of one was done, 0 for none.

    settled: nothing is left to do, in the executions that hold the claims. lost: whether one of the failures could
    still be repeated, so that the run is not complete.
    """

    done: int
    working: int
    failed: tuple[Failure, ...]
    last_done: int
    settled: bool
    lost: bool


def tables_of(plan: Plan, ledger: Ledger, claims: dict[str, Held]) -> Tables:
    """Which tables of the plan are done, have failed and are worked on."""
    seen = looked(ledger, claims)
    running = claims.keys() - seen.receipts.keys() - seen.failures.keys()
    done, _, working = counts(plan, seen.receipts.keys(), seen.failures.keys(), running)
    return Tables(
        done,
        working,
        tuple(by_table(seen.failures.values())),
        max((receipt.ended for receipt in seen.receipts.values()), default=0),
        settled=len(seen.receipts) + len(seen.failures) == plan.unit_count,
        lost=bool(seen.failures.keys() - ledger.given_up.keys()),
    )


def looked(ledger: Ledger, claims: dict[str, Held]) -> Looked:
    """The picture that ledger and claims give. A failure counts in the execution that holds the claim."""
    started = {
        unit: Started(unit, held.claim.table, held.claim.bytes, held.owner.task) for unit, held in claims.items()
    }
    failures = {
        unit: failure
        for unit in ledger.failures
        if unit not in ledger.receipts
        and (failure := ledger.last_failure(unit, claims[unit].owner.execution if unit in claims else None))
    }
    return Looked(started, ledger.receipts, failures | ledger.given_up)


async def read_all(store: ObjectStore, layout: RunLayout, plan: Plan) -> tuple[Ledger, dict[str, Held], int]:
    """Ledger and claims from one listing of the run's whole folder, and how many pages that took."""
    pages, every = 0, []
    async for page in store.notes(layout.root):
        pages += 1
        every += page
    claims = {}
    ledger = Ledger.empty()
    for note in every:
        unit = unit_of(note.name)
        if note.name.startswith(layout.receipts):
            ledger.add_end(unit, decode(note.data, End, note.name))
        elif note.name.startswith(layout.claims):
            claims[unit] = Held(decode(note.data, Claim, note.name), note.generation)
        elif note.name.startswith(layout.failures):
            ledger.failures.setdefault(unit, []).append(decode(note.data, Failure, note.name))
    await _set_apart(store, layout, plan, ledger)
    return ledger, claims, pages


async def read_ledger(store: ObjectStore, layout: RunLayout, plan: Plan) -> Ledger:
    """The ledger as it is now."""
    ledger = Ledger.empty()
    async for ends in notes(store, Notes(layout.receipts, End)):
        for end in ends:
            ledger.add_end(unit_of(end.name), end.value)
    async for failures in notes(store, Notes(layout.failures, Failure)):
        for failure in failures:
            ledger.failures.setdefault(unit_of(failure.name), []).append(failure.value)
    await _set_apart(store, layout, plan, ledger)
    return ledger


async def _set_apart(store: ObjectStore, layout: RunLayout, plan: Plan, ledger: Ledger) -> None:
    """Take receipts that do not count any more out of the others. Sessions are looked at last: none counts too long."""
    for unit in await outdated(store, layout, plan, ledger.receipts):
        ledger.outdated[unit] = ledger.receipts.pop(unit)


async def give_up(store: ObjectStore, layout: RunLayout, plan: Plan, failed: list[Failure]) -> Ledger:
    """Settle that the run goes without these; the ledger after that, in which some may have a receipt all the same.

    Whoever still works on such a unit cannot finish it any more: every task publishes the same.
    """
    slots = asyncio.Semaphore(WRITES_AT_ONCE)

    async def one(failure: Failure) -> None:
        async with slots:
            await write_end(store, layout, plan, GivenUp(failure))

    await asyncio.gather(*map(one, failed))
    return await read_ledger(store, layout, plan)


async def write_end(store: ObjectStore, layout: RunLayout, plan: Plan, end: Receipt | GivenUp) -> Receipt | GivenUp:
    """Store how a unit has ended, unless that is recorded already; returns what is recorded.

    Only a receipt of a read session that has been retired since makes room for another end.
    """
    document = layout.receipt(end.unit if isinstance(end, Receipt) else end.failure.unit)

    async def step(found: Receipt | GivenUp | None) -> Receipt | GivenUp | None:
        stays = found == end or (found and not await _makes_room(store, layout, plan, found, end))
        return None if stays else end

    stored = await create(store, document, end)
    if await step(stored.value):
        stored = await swap(store, document, step) or stored
    return stored.value


async def _makes_room(
    store: ObjectStore, layout: RunLayout, plan: Plan, found: Receipt | GivenUp, end: Receipt | GivenUp
) -> bool:
    part = parts_of(plan).get(found.unit) if isinstance(found, Receipt) and plan.splits else None
    if part is None or not isinstance(found, Receipt):
        return False
    current = await current_session(store, layout, part.lead)
    return found.job != current and (isinstance(end, GivenUp) or end.job == current)


async def read_claims(store: ObjectStore, layout: RunLayout) -> dict[str, Held]:
    """All claims by unit, as they are now."""
    claims = {}
    async for page in notes(store, Notes(layout.claims, Claim)):
        for claim in page:
            claims[unit_of(claim.name)] = Held(claim.value, claim.generation)
    return claims
