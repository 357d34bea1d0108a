"""What a restore has done: its ledger, which is read by listing, and the result that follows from it and the plan.

Also the result of a restore that is only planned, and the page for people.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import msgspec

from bqdump.concurrency import gathered
from bqdump.core.documents.manifest import Manifest
from bqdump.core.documents.notes import Restored, RestoreFailure
from bqdump.core.errors import BqdumpError
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.restore.bill import Bill, step_bill
from bqdump.core.restore.documents import RestoreLayout
from bqdump.core.restore.plan import INDEX, POLICY, TABLE, NotRestored, ObjectStep, RestorePlan, TableStep
from bqdump.core.restore.result import NotCreated, Restoration, RestoredObject, RestoredTable
from bqdump.core.times import time_of
from bqdump.pool.pool import Ledger as Notes
from bqdump.pool.pool import read_notes
from bqdump.ports.store import ObjectStore
from bqdump.repository.objects import write_object
from bqdump.restoration.task import RunningRestore

log = logging.getLogger(__name__)
# Ledgers of several datasets.
AT_ONCE = 16


class Ledger(Notes[int, Restored, RestoreFailure], frozen=True):
    """What became of tables and objects, by their numbers: those of tables, then of objects."""

    @property
    def tables(self) -> set[str]:
        """The names of the tables that are restored."""
        return {receipt.name for receipt in self.receipts.values() if receipt.kind == TABLE}

    def failure(self, number: int, execution: str) -> RestoreFailure | None:
        """The last attempt that failed in this execution; None where it has succeeded, or not failed."""
        return None if self.has_ended(number) else self.last_failure(number, execution)

    def missing(self, tables: int) -> list[int]:
        """The numbers of the tables that are not restored. tables: how many the plan has."""
        return [number for number in range(tables) if number not in self.receipts]


async def read_ledger(store: ObjectStore, layout: RestoreLayout, *, claims: bool = False) -> Ledger:
    """The current ledger. claims: with claims."""
    notes, _ = await read_notes(store, layout, [*[layout.claims] * claims, layout.receipts, layout.failures])
    return Ledger(notes.receipts, notes.failures, notes.claims)


async def read_ledgers(restores: Sequence[RunningRestore], *, claims: bool = False) -> dict[str, Ledger]:
    """The current ledger of each restore, by its id. claims: with claims."""

    async def read(restore: RunningRestore) -> Ledger:
        return await read_ledger(restore.state, restore.layout, claims=claims)

    ledgers = await gathered(read, restores, AT_ONCE)
    return dict(zip((restore.id for restore in restores), ledgers, strict=True))


def planned(plan: RestorePlan, manifest: Manifest, bill: Bill) -> Restoration:
    """What a restore would do, and what its queries would bill."""
    tables = tuple(_planned_table(step) for step in plan.tables)
    return Restoration(
        restore="",
        run=plan.run,
        state="planned",
        snapshot_time=time_of(manifest.snapshot),
        project=plan.target.project,
        dataset=plan.target.name,
        location=plan.target.location,
        tables=tables,
        objects=tuple(map(_object, plan.others)),
        failed=(),
        not_restored=plan.not_restored,
        kept=plan.kept,
        rows=sum(table.expected_rows or 0 for table in tables),
        bytes=sum(table.bytes for table in tables),
        bytes_billed=bill.certain,
        bytes_billed_at_most=bill.most,
    )


def restoration(
    restore: RunningRestore, ledger: Ledger, unset: Sequence[NotRestored], *, running: bool = False
) -> Restoration:
    """The result so far.

    unset: properties that could not be set.
    running: other tasks are still at work.
    """
    plan, receipts = restore.plan, ledger.receipts
    first = len(plan.tables)
    failures = [ledger.failure(number, restore.owner.execution) for number in range(first + len(plan.others))]
    failed = tuple(
        NotCreated(failure.name, failure.kind, failure.reason, failure.message) for failure in failures if failure
    )
    tables = tuple(_table(step, receipts[at]) for at, step in enumerate(plan.tables) if at in receipts)
    return Restoration(
        restore=restore.id,
        run=plan.run,
        state="running" if running else "incomplete" if failed else "restored",
        snapshot_time=time_of(restore.manifest.snapshot),
        project=plan.target.project,
        dataset=plan.target.name,
        location=plan.target.location,
        tables=tables,
        objects=tuple(_object(step) for at, step in enumerate(plan.others, first) if at in receipts),
        failed=failed,
        not_restored=(*plan.not_restored, *unset),
        kept=plan.kept,
        rows=sum(table.rows or 0 for table in tables),
        bytes=sum(table.bytes for table in tables),
        bytes_billed=sum(table.bytes_billed for table in tables),
    )


def without_changed(result: Restoration, changed: Sequence[NotCreated]) -> Restoration:
    """The result, where these are no longer as they were restored."""
    if not changed:
        return result
    names = {change.name for change in changed}
    tables = tuple(table for table in result.tables if table.table not in names)
    return msgspec.structs.replace(
        result,
        state="incomplete" if result.state == "restored" else result.state,
        tables=tables,
        objects=tuple(
            object_ for object_ in result.objects if object_.name not in names or object_.kind in (POLICY, INDEX)
        ),
        failed=(*result.failed, *changed),
        rows=sum(table.rows or 0 for table in tables),
        bytes=sum(table.bytes for table in tables),
    )


def _table(step: TableStep, receipt: Restored) -> RestoredTable:
    return msgspec.structs.replace(
        _described(step),
        rows=receipt.rows,
        jobs=receipt.jobs,
        bytes_billed=receipt.billed,
        seconds=(receipt.ended - receipt.started) / 1000,
    )


def _planned_table(step: TableStep) -> RestoredTable:
    bill = step_bill(step)
    return msgspec.structs.replace(
        _described(step),
        jobs=step.jobs,
        bytes_billed=bill.certain,
        bytes_billed_at_most=bill.most,
        like_null=step.load.like_null,
    )


def _described(step: TableStep) -> RestoredTable:
    return RestoredTable(
        table=step.name,
        action=step.action,
        rows=None,
        expected_rows=step.entry.rows if step.entry.rows is not None else step.entry.expected_rows,
        files=len(step.entry.files),
        bytes=sum(file.size for file in step.entry.files),
        casts=step.load.casts,
        as_what=step.as_what,
        altered=step.altered,
        exported=step.entry.table if step.entry.table != step.name else "",
        partitions=step.partitions,
    )


def _object(step: ObjectStep) -> RestoredObject:
    return RestoredObject(step.name, step.kind, step.action, step.as_what)


async def store_report(restore: RunningRestore, result: Restoration) -> None:
    """Write the page of a complete restore, or of an execution in which something failed. An error is only logged."""
    layout, execution = restore.layout, restore.owner.execution
    name = layout.report if result.state == "restored" else layout.failed_report(execution)
    try:
        # Imported by the one task that gets here.
        from bqdump.pages.report import render_restored

        await write_object(restore.state, name, render_restored(result), 0)
    except (BqdumpError, OSError, ImportError) as error:
        log.warning("the restore's report could not be written: %s", error, extra=LogEvent.REPORT_FAILED.extra())
