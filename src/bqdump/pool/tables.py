"""The ledger of a run: its tables that are done, in progress or failed, as its documents show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from bqdump.core.documents.run import Failure, Plan, Receipt
from bqdump.core.documents.run_layout import RunLayout
from bqdump.core.progress.events import Looked, Started
from bqdump.core.units.tables import Done, by_table, done_tables
from bqdump.pool.units import UnitLedger, list_units, looked, read_unit_ledger
from bqdump.ports.store import ObjectStore


class Ledger(NamedTuple):
    """The tables of a run.

    done: by the table's id in the plan.
    failed: one for each table.
    working: the number of tables in progress.
    running: what tasks work on, several times where they share a table.
    dropped: the tables that the run goes without because they were dropped meanwhile, one for each; not in `failed`.
    settled: the executions at work have nothing left to do.
    lost: a failure could still be retried, so that the run is incomplete.
    receipts: of all jobs that ended, for a timeline.
    seen: the same, as an event.
    """

    done: Mapping[str, Done]
    working: int
    failed: tuple[Failure, ...]
    running: tuple[Started, ...]
    settled: bool
    lost: bool
    receipts: tuple[Receipt, ...]
    seen: Looked
    dropped: tuple[Failure, ...] = ()

    @property
    def last_done(self) -> int:
        """When the last job ended, in milliseconds since 1970 UTC; 0 for none."""
        return max((receipt.ended for receipt in self.receipts), default=0)


NOTHING = Ledger({}, 0, (), (), settled=False, lost=False, receipts=(), seen=Looked({}, {}, {}))


async def read_ledger(store: ObjectStore, layout: RunLayout, plan: Plan) -> Ledger:
    """The current ledger of a run."""
    return ledger_of(plan, await read_unit_ledger(store, layout, plan, claims=True))


async def list_ledger(store: ObjectStore, layout: RunLayout, plan: Plan) -> tuple[Ledger, int]:
    """The same from one listing of the run's complete folder, staged files included; and its number of pages."""
    units, pages = await list_units(store, layout, plan)
    return ledger_of(plan, units), pages


def ledger_of(plan: Plan, units: UnitLedger, execution: str | None = None) -> Ledger:
    """The tables of these units.

    A failure counts in the execution that holds the claim; without a claim, in this execution or (None) in any.
    """
    seen = looked(units, execution)
    ended = seen.receipts.keys() | seen.failures.keys()
    running = tuple(unit for piece, unit in seen.started.items() if piece not in ended)
    done, every = done_tables(seen.receipts, plan), by_table(seen.failures.values())
    failed = [failure for failure in every if failure.table not in units.dropped]
    begun = {unit.table for unit in running} | {receipt.table for receipt in seen.receipts.values()}
    return Ledger(
        done,
        len(begun - {table.receipt.table for table in done.values()} - {failure.table for failure in every}),
        tuple(failed),
        running,
        settled=len(seen.receipts) + len(seen.failures) == plan.unit_count,
        lost=bool(seen.failures.keys() - units.given_up.keys()),
        receipts=tuple(seen.receipts.values()),
        seen=seen,
        dropped=tuple(failure for failure in every if failure.table in units.dropped),
    )
