"""The manifest of a complete run, from its plan, its receipts and the files that were found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from bqdump.core.documents.definitions import Definitions
from bqdump.core.documents.manifest import File, Manifest, PartitionEntry, TableEntry, TableFiles, Totals
from bqdump.core.documents.run import Failure, Flag, Plan, Receipt, Skipped, TablePlan
from bqdump.core.documents.units import files_by_partition
from bqdump.core.plan.carryover import Carryover, PartitionFiles
from bqdump.core.plan.definitions import with_carried
from bqdump.core.plan.guards import with_jobs
from bqdump.core.plan.hidden_data import expected_rows, hidden_rows
from bqdump.core.risks import Risk
from bqdump.core.times import rfc3339
from bqdump.core.version import VERSION


class Placed(NamedTuple):
    """Files at their final names.

    files: by the table's id in the plan.
    carry: what stays of the published export.
    left, found: see Manifest.
    """

    files: Mapping[str, list[File]]
    carry: Carryover
    left: tuple[TableFiles, ...] = ()
    found: tuple[File, ...] = ()


class Record(NamedTuple):
    """What its tasks have made of a run: all that its manifest is made from.

    tables: as planned.
    definitions: as planned.
    receipts: by the table's id in the plan.
    partitions: those that were exported by themselves, by the same id.
    failed, dropped: the tables that the export lacks, as they failed, or were dropped while the run was at work.
    placed: its files, with their rows.
    number: see Manifest.
    """

    plan: Plan
    tables: Sequence[TablePlan]
    definitions: Definitions
    receipts: Mapping[str, Receipt]
    partitions: Mapping[str, tuple[PartitionEntry, ...]]
    failed: Sequence[Failure]
    dropped: Sequence[Failure]
    placed: Placed
    number: int


def make_manifest(record: Record) -> Manifest:
    """The manifest of a run."""
    plan, carry, files = record.plan, record.placed.carry, record.placed.files
    receipts = {table: record.receipts[table] for table in files}
    hidden = hidden_rows(plan, receipts.values())
    own = [
        _with_unchanged(
            _entry(plan, table, receipts[table.id], record.partitions.get(table.id, ()), files[table.id], hidden),
            carry.partitions.get(table.table, ()),
        )
        for table in record.tables
        if table.id in receipts
    ]
    oldest = min((entry.carried.as_of for entry in carry.tables if entry.carried), default=plan.snapshot)
    failed = sorted((*record.failed, *carry.failed), key=lambda failure: failure.table)
    risks = ((receipt.table, risk) for receipt in receipts.values() for risk in receipt.risks)
    return Manifest(
        run=plan.run,
        number=record.number,
        tool=VERSION,
        status="partial" if failed else "complete",
        project=plan.project,
        dataset=plan.dataset,
        location=plan.location,
        snapshot_time=rfc3339(plan.snapshot),
        snapshot=plan.snapshot,
        mode=plan.mode,
        settings=plan.settings,
        digest=plan.digest,
        totals=totals_of(
            (*own, *carry.tables, *carry.reused),
            billed=sum(table.billed or 0 for table in own),
            carried=len(carry.tables),
            reused=len(carry.reused),
        ),
        tables=tuple(sorted((*own, *carry.tables, *carry.reused), key=lambda entry: entry.table)),
        skipped=(*plan.skipped, *_not_exported(record)),
        failed=tuple(failed),
        by_label=plan.by_label,
        left=record.placed.left,
        found=record.placed.found,
        flags=tuple(dict.fromkeys((*with_jobs(plan.flags, risks), *map(_dropped, record.dropped), *carry.flags))),
        over=carry.over,
        removed=carry.removed,
        removed_partitions=plan.removed_partitions,
        oldest_snapshot_time=rfc3339(min(oldest, plan.snapshot)),
        definitions=with_carried(record.definitions, carry.definitions, carry.names),
    )


def totals_of(tables: Sequence[TableEntry], *, billed: int, carried: int, reused: int) -> Totals:
    """The sums over the tables of a manifest, with what does not follow from them."""
    return Totals(
        tables=len(tables),
        files=sum(len(table.files) for table in tables),
        bytes=sum(file.size for table in tables for file in table.files),
        planned_rows=sum(table.planned_rows for table in tables),
        planned_bytes=sum(table.planned_bytes for table in tables),
        rows=sum(table.rows or 0 for table in tables),
        billed=billed,
        carried=carried,
        reused=reused,
    )


def _not_exported(record: Record) -> Iterator[Skipped]:
    """The dropped tables that the export before did not have either, so that none is removed from it."""
    kinds = {table.table: table.kind for table in record.tables}
    removed = {table.table for table in record.placed.carry.removed}
    for table in record.dropped:
        if table.table not in removed:
            yield Skipped(table.table, kinds[table.table], table.message)


def _dropped(failure: Failure) -> Flag:
    return Flag(Risk.DROPPED_TABLES, failure.table, (), failure.message, allowed=True)


def _entry(
    plan: Plan,
    table: TablePlan,
    receipt: Receipt,
    partitions: tuple[PartitionEntry, ...],
    files: Sequence[File],
    hidden: set[str],
) -> TableEntry:
    known = [file.rows for file in files if file.rows is not None]
    return TableEntry(
        table=table.table,
        kind=table.kind,
        route=table.route,
        unit=table.id,
        jobs=(receipt.job,),
        planned_rows=table.rows,
        planned_bytes=table.bytes,
        created=receipt.created,
        started=receipt.started,
        ended=receipt.ended,
        task=receipt.task,
        files=tuple(files),
        definition=table.definition,
        rows=sum(known) if len(known) == len(files) else receipt.rows,
        expected_rows=expected_rows(plan, table, hidden),
        read_at=table.read_at,
        why=table.why,
        format=table.format or plan.settings["format"],
        compression=table.compression or plan.settings["compression"],
        shape=table.shape,
        planned_billed=table.bills,
        billed=receipt.billed,
        look=table.look,
        look_before=table.look_before,
        changed_at=table.changed_at,
        partitions=partitions,
    )


def _with_unchanged(entry: TableEntry, unchanged: Sequence[PartitionFiles]) -> TableEntry:
    """The entry of a table with its reused partitions, in the order of their ids."""
    if not unchanged:
        return entry
    own = [PartitionFiles(partition, files) for partition, files in files_by_partition(entry)]
    every = sorted([*own, *unchanged], key=lambda partition: partition.entry.id)
    more = [added.entry for added in unchanged]
    rows = [partition.rows for partition in more]
    looked = [partition.look.rows for partition in more if partition.look]
    expected = None if entry.expected_rows is None or len(looked) < len(more) else entry.expected_rows + sum(looked)
    routes = {partition.entry.route for partition in every}
    return msgspec.structs.replace(
        entry,
        # That of most of its files: what a query reads of changed partitions is in the same form.
        route="extract" if "extract" in routes else entry.route,
        planned_rows=entry.planned_rows + sum(partition.planned_rows for partition in more),
        planned_bytes=entry.planned_bytes + sum(partition.planned_bytes for partition in more),
        rows=None if entry.rows is None or None in rows else entry.rows + sum(filter(None, rows)),
        expected_rows=expected,
        files=tuple(file for partition in every for file in partition.files),
        partitions=tuple(partition.entry for partition in every),
    )
