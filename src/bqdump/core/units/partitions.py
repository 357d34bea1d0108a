"""Tables that are exported by partition: each partition is a unit, with a receipt and files of its own.

Outside of the export only the table is visible. Of a table's units in one share, only the first line has what they have
in common, such as the definition: a table may have 10,000 partitions.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from bqdump.core.documents.run import Partitioned, Plan, TablePlan
from bqdump.core.documents.units import Unit
from bqdump.core.sizes import counted
from bqdump.core.tables.partitioning import Partitioning, partitioning_of
from bqdump.core.tables.shape import WHOLE

NOTHING = msgspec.Raw(b"null")
# What all units of a table have in common.
OF_TABLE = ("definition", "shape", "rows_at", "look", "look_before", "reason")
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
            unit, definition=NOTHING, shape=WHOLE, rows_at=None, look=None, look_before=None, reason=""
        )
    elif unit.partition:
        described.add(unit.table)
    return msgspec.json.encode(unit) + b"\n"


def described_units(units: Iterable[Unit]) -> list[Unit]:
    """The units of shares that are complete, each with what it has in common with the first of its table."""
    first: dict[str, Unit] = {}
    found = []
    for unit in units:
        if unit.partition:
            known = first.setdefault(unit.table, unit)
            if unit is not known and unit.definition == NOTHING:
                common = {name: getattr(known, name) for name in OF_TABLE}
                unit = msgspec.structs.replace(unit, **common)
        found.append(unit)
    return found


def tables_of_partitions(units: Iterable[Unit], plan: Plan) -> list[TablePlan]:
    """One plan for each table that is exported by partition."""
    by_table: dict[str, list[Unit]] = {}
    for unit in units:
        if unit.partition:
            by_table.setdefault(unit.table, []).append(unit)
    return [_together(by_table[table.table], table) for table in plan.partitioned if table.table in by_table]


def _together(units: Sequence[Unit], table: Partitioned) -> TablePlan:
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
    others = [unit.why for unit in units if unit.route != main]
    if not others:
        return units[0].why
    return f"{len(others):,} of {counted(len(units), 'partition')} by query: {others[0]}"


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
