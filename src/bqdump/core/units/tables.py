"""From units back to tables: a split table is planned, done, failed or in progress as one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from bqdump.core.documents.run import Failure, Plan, Receipt, TablePlan
from bqdump.core.documents.units import Unit
from bqdump.core.risks import Risk
from bqdump.core.units.partitions import tables_of_partitions


class Done(NamedTuple):
    """An exported table. receipt: of the complete table. attempts: the receipts of its files, in order."""

    receipt: Receipt
    attempts: tuple[Receipt, ...]


def table_plans(units: Iterable[Unit], plan: Plan) -> list[TablePlan]:
    """One for each table, by table: of one with several units that of its first, with the rows and bytes of all."""
    units = list(units)
    by_id: dict[str, TablePlan] = {unit.id: unit for unit in units if not unit.partition}
    by_id |= {table.id: table for table in tables_of_partitions(units, plan)}
    for split in plan.splits:
        first, *others = (by_id.pop(unit) for unit in split.units)
        rows, bytes_ = (sum(getattr(part, what) for part in (first, *others)) for what in ("rows", "bytes"))
        by_id[first.id] = msgspec.structs.replace(first, rows=rows, bytes=bytes_)
    return sorted(by_id.values(), key=lambda unit: unit.table)


def done_tables(receipts: Mapping[str, Receipt], plan: Plan) -> dict[str, Done]:
    """The tables that are done, by the table's id in the plan. One of several units is done when all of these are."""
    parts = {unit for split in plan.splits for unit in split.units}
    several = {lead.table: lead for lead in plan.partitioned}
    done = {
        unit: Done(receipt, (receipt,))
        for unit, receipt in receipts.items()
        if unit not in parts and receipt.table not in several
    }
    by_table: dict[str, list[Receipt]] = {}
    for receipt in receipts.values() if several else ():
        if receipt.table in several:
            by_table.setdefault(receipt.table, []).append(receipt)
    for table, some in by_table.items():
        if len(some) == several[table].units:
            ordered = sorted(some, key=lambda line: (line.unit != several[table].lead, line.unit))
            done[several[table].lead] = Done(_together(ordered), tuple(ordered))
    for split in plan.splits:
        if all(unit in receipts for unit in split.units):
            attempts = tuple(receipts[unit] for unit in split.units)
            done[split.units[0]] = Done(_together(attempts), attempts)
    return done


def _together(parts: Sequence[Receipt]) -> Receipt:
    rows = [part.rows for part in parts if part.rows is not None]
    billed = [part.billed for part in parts if part.billed is not None]
    risks: dict[Risk, None] = dict.fromkeys(risk for part in parts for risk in part.risks)
    return msgspec.structs.replace(
        parts[0],
        files=sum(part.files for part in parts),
        created=min(part.created for part in parts),
        started=min(part.started for part in parts),
        ended=max(part.ended for part in parts),
        rows=sum(rows) if len(rows) == len(parts) else None,
        billed=sum(billed) if billed else None,
        risks=tuple(risks),
    )


def by_table(failures: Iterable[Failure]) -> list[Failure]:
    """One failure for each table, sorted by table: if one part fails, the table fails."""
    first: dict[str, Failure] = {}
    for failure in failures:
        first.setdefault(failure.table, failure)
    return sorted(first.values(), key=lambda failure: failure.table)
