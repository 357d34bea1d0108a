"""The ledger of a run: which units have receipts, which have failed for good. Read by listing, a page at a time."""

from __future__ import annotations

from typing import NamedTuple

from bqdump.core.codec import decode
from bqdump.core.documents import Claim, Failure, Owner, Plan, Receipt
from bqdump.core.layout import RunLayout, unit_of
from bqdump.ports import ObjectStore


class Ledger(NamedTuple):
    """Receipts by unit, and failures by unit (the latest attempt of each)."""

    receipts: dict[str, Receipt]
    failures: dict[str, Failure]

    def complete(self, plan: Plan) -> bool:
        """Whether every unit of the plan has its receipt."""
        return len(self.receipts) == plan.tables

    def failed(self, execution: str | None = None) -> list[Failure]:
        """Units without a receipt that have failed, in this execution or (None) in any, by table."""
        open_ = [
            failure
            for unit, failure in self.failures.items()
            if unit not in self.receipts and execution in (None, failure.owner.execution)
        ]
        return sorted(open_, key=lambda failure: failure.table)

    def settled(self, plan: Plan, execution: str) -> bool:
        """Whether nothing of the plan is left to do in this execution."""
        return len(self.receipts) + len(self.failed(execution)) == plan.tables


class Held(NamedTuple):
    """A claim as it is stored."""

    owner: Owner
    generation: int


async def read_ledger(store: ObjectStore, layout: RunLayout) -> Ledger:
    """The ledger as it is now."""
    receipts = {}
    async for notes in store.notes(layout.receipts):
        for note in notes:
            receipts[unit_of(note.name)] = decode(note.data, Receipt, note.name)
    failures: dict[str, Failure] = {}
    async for notes in store.notes(layout.failures):
        for note in notes:
            failure = decode(note.data, Failure, note.name)
            unit = unit_of(note.name)
            if unit not in failures or failures[unit].attempt < failure.attempt:
                failures[unit] = failure
    return Ledger(receipts, failures)


async def read_claims(store: ObjectStore, layout: RunLayout) -> dict[str, Held]:
    """All claims by unit, as they are now."""
    claims = {}
    async for notes in store.notes(layout.claims):
        for note in notes:
            claims[unit_of(note.name)] = Held(decode(note.data, Claim, note.name).owner, note.generation)
    return claims
