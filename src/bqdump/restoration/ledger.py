"""The ledger of a restore: what is restored, and what has failed. Read by listing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from bqdump.concurrency import gathered
from bqdump.core.documents.document import Notes
from bqdump.core.documents.notes import RestoreFailure
from bqdump.core.restore.documents import Restored, RestoreLayout
from bqdump.ports.store import ObjectStore
from bqdump.repository.repository import notes
from bqdump.restoration.task import RunningRestore

# Ledgers of several datasets.
AT_ONCE = 16


class Ledger(NamedTuple):
    """Receipts by number, and failures by number and execution. Numbers are those of tables, then of objects."""

    receipts: dict[int, Restored]
    failures: dict[int, list[RestoreFailure]]

    def next_attempt(self, number: int) -> int:
        """The number of the attempt that follows those that failed."""
        return max((failure.attempt + 1 for failure in self.failures.get(number, ())), default=0)

    def failure(self, number: int, execution: str) -> RestoreFailure | None:
        """The last attempt that failed in this execution; None where it has succeeded, or not failed."""
        if number in self.receipts:
            return None
        met = [failure for failure in self.failures.get(number, ()) if failure.owner.execution == execution]
        return max(met, key=lambda failure: failure.attempt, default=None)

    def missing(self, tables: int) -> list[int]:
        """The numbers of the tables that are not restored. tables: how many the plan has."""
        return [number for number in range(tables) if number not in self.receipts]

    def is_open(self, number: int, execution: str) -> bool:
        """Whether this one is neither restored nor failed in this execution."""
        return number not in self.receipts and self.failure(number, execution) is None


async def read_ledger(store: ObjectStore, layout: RestoreLayout) -> Ledger:
    """The current ledger."""
    ledger = Ledger({}, {})
    async for receipts in notes(store, Notes(layout.done, Restored)):
        for receipt in receipts:
            ledger.receipts[receipt.value.number] = receipt.value
    async for failures in notes(store, Notes(layout.failures, RestoreFailure)):
        for failure in failures:
            ledger.failures.setdefault(failure.value.number, []).append(failure.value)
    return ledger


async def read_ledgers(restores: Sequence[RunningRestore]) -> dict[str, Ledger]:
    """The current ledger of each restore, by its id."""
    ledgers = await gathered(lambda restore: read_ledger(restore.state, restore.layout), restores, AT_ONCE)
    return dict(zip((restore.id for restore in restores), ledgers, strict=True))
