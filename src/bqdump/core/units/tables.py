"""From units back to tables: a split table is planned, done, failed or in progress as one.

Tables that are exported by partition: each partition is a unit, with a receipt and files of its own.

Outside of the export only the table is visible. Of a table's units in one share, only the first line has what they have
in common, such as the definition: a table may have 10,000 partitions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec
from msgspec import Struct

from bqdump.core.documents.run import Failure, Partitioned, Plan, Receipt, TablePlan
from bqdump.core.documents.units import Unit
from bqdump.core.risks import Risk
from bqdump.core.sizes import counted
from bqdump.core.tables.catalog import WHOLE
from bqdump.core.tables.partitioning import Partitioning, partitioning_of

NOTHING = msgspec.Raw(b"null")
# What all units of a table have in common.
TABLE_FIELDS = ("definition", "shape", "rows_at", "look", "look_before", "changed_at", "reason")
# The attempts from this number on are queries that follow an extract job whose files do not count. Job ids follow from
# attempts: no task may take one for the other.
FIRST_QUERY = 500


def is_by_query(attempt: int) -> bool:
    """Whether an attempt at a partition is a query after an extract job whose files do not count."""
    return attempt >= FIRST_QUERY


def line_of(unit: Unit, described: set[str]) -> bytes:
    """A unit as its share has it. described: the tables whose definitions the share has; the unit's is added."""
    if unit.partition and unit.table in described:
        unit = msgspec.structs.replace(
            unit, definition=NOTHING, shape=WHOLE, rows_at=None, look=None, look_before=None, changed_at=0, reason=""
        )
    elif unit.partition:
        described.add(unit.table)
    return msgspec.json.encode(unit) + b"\n"


def described_units(units: Iterable[Unit]) -> list[Unit]:
    """The units of shares that are complete, each with what it has in common with the first of its table."""
    first: dict[str, Unit] = {}
    described = []
    for unit in units:
        if unit.partition:
            known = first.setdefault(unit.table, unit)
            if unit is not known and unit.definition == NOTHING:
                common = {name: getattr(known, name) for name in TABLE_FIELDS}
                unit = msgspec.structs.replace(unit, **common)
        described.append(unit)
    return described


def tables_of_partitions(units: Iterable[Unit], plan: Plan) -> list[TablePlan]:
    """One plan for each table that is exported by partition."""
    by_table: dict[str, list[Unit]] = {}
    for unit in units:
        if unit.partition:
            by_table.setdefault(unit.table, []).append(unit)
    return [_combined(by_table[table.table], table) for table in plan.partitioned if table.table in by_table]


def _combined(units: Sequence[Unit], table: Partitioned) -> TablePlan:
    ordered = sorted(units, key=lambda unit: unit.partition)
    lead = next((unit for unit in ordered if unit.id == table.lead), ordered[0])
    bills = [unit.bills for unit in ordered if unit.bills is not None]
    routes = dict.fromkeys(unit.route for unit in ordered)
    main = "extract" if "extract" in routes else next(iter(routes))
    return msgspec.structs.replace(
        lead,
        route=main,
        why=_why(ordered, main),
        rows=sum(unit.rows for unit in ordered),
        bytes=sum(unit.bytes for unit in ordered),
        bills=sum(bills) if bills else None,
        bills_at_least=any(unit.bills_at_least for unit in ordered),
        partition_look=None,
        partition="",
        partitions=tuple(ordered),
    )


def _why(units: Sequence[Unit], main: str) -> str:
    """Why they take their routes: that of most of them, or (where queries read some) why those do."""
    queried = [unit.why for unit in units if unit.route != main]
    if not queried:
        return units[0].why
    return f"{len(queried):,} of {counted(len(units), 'partition')} by query: {queried[0]}"


def partitions_problem(plan: Plan, units: Iterable[Unit]) -> str:
    """Why these units cannot be those of the plan's partitions; "" where they can."""
    tables = {table.table: table for table in plan.partitioned}
    seen: set[tuple[str, str]] = set()
    known: dict[str, Partitioning | None] = {}
    for unit in units:
        if not unit.partition:
            if unit.table in tables:
                return f"unit {unit.id} is no partition of table {unit.table}"
            continue
        if unit.table not in tables:
            return f"table {unit.table} is not exported by partition"
        if (unit.table, unit.partition) in seen:
            return f"a partition of table {unit.table} appears twice"
        seen.add((unit.table, unit.partition))
        if unit.table not in known:
            known[unit.table] = partitioning_of(unit.definition)
        partitioning = known[unit.table]
        if partitioning is None or (problem := partitioning.problem(unit.partition)):
            return problem if partitioning else f"table {unit.table} has no partitions"
    return ""


def units_by_table(plan: Plan) -> dict[str, int]:
    """The number of units of each table that has several."""
    split = {table.table: len(table.units) for table in plan.splits}
    return split | {table.table: table.units for table in plan.partitioned}


class Done(Struct, frozen=True):
    """An exported table.

    receipt: of the complete table.
    attempts: the receipts of its files, in order.
    """

    receipt: Receipt
    attempts: tuple[Receipt, ...]


def table_plans(units: Iterable[Unit], plan: Plan) -> list[TablePlan]:
    """One for each table, by table: of one with several units that of its first, with the rows and bytes of all."""
    units = list(units)
    by_id: dict[str, TablePlan] = {unit.id: unit for unit in units if not unit.partition}
    by_id |= {table.id: table for table in tables_of_partitions(units, plan)}
    for split in plan.splits:
        first, *rest = (by_id.pop(unit) for unit in split.units)
        rows, bytes_ = (sum(getattr(part, what) for part in (first, *rest)) for what in ("rows", "bytes"))
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
