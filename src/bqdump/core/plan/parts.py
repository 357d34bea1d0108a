"""Tables that are split into several units: each unit reads a part of the streams of one read session.

A part is planned, claimed, read and verified like any unit. Outside of the export only the table is visible.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from bqdump.core.documents.run import Failure, Plan, Receipt, Unit
from bqdump.core.risks import Risk

# File numbers have room for this many parts, and a session has no more streams:
# https://cloud.google.com/bigquery/docs/reference/storage/rpc/google.cloud.bigquery.storage.v1
MOST_PARTS = 1000
# Where attempts write to final names (keep mode), each attempt has a range of this many file numbers.
ATTEMPT_NUMBERS = 1_000_000
# And each part of a table has ranges for this many attempts.
ATTEMPTS_NUMBERED = 1_000


class Part(NamedTuple):
    """One of `of` parts of a table, by its number from 0. lead: the unit of the first part, which names the table."""

    table: str
    number: int
    of: int
    lead: str


class Counts(NamedTuple):
    """Numbers of tables that are done, failed, and running."""

    done: int
    failed: int
    running: int


class Done(NamedTuple):
    """An exported table. parts: the receipts of its parts, one where it is not split. whole: their sum."""

    whole: Receipt
    parts: tuple[Receipt, ...]


def part_count(route: str, bytes_: int, tasks: int, part_bytes: int) -> int:
    """The number of parts in which a table of this size is read. part_bytes: a part's minimum, 0 for one part."""
    if route != "read" or not part_bytes:
        return 1
    return max(1, min(tasks, bytes_ // part_bytes, MOST_PARTS))


def portion(amount: int, number: int, of: int) -> int:
    """The share of part `number` (from 0) in an amount that is divided into `of` parts; the shares add up to it."""
    return amount * (number + 1) // of - amount * number // of


def parts_of(plan: Plan) -> dict[str, Part]:
    """The parts of split tables, by unit."""
    return {
        unit: Part(split.table, number, len(split.units), split.units[0])
        for split in plan.splits
        for number, unit in enumerate(split.units)
    }


def numbers_of(part: Part | None, attempt: int) -> range:
    """The numbers of an attempt's files where attempts write to final names."""
    first = ((ATTEMPTS_NUMBERED * part.number if part else 0) + attempt) * ATTEMPT_NUMBERS
    return range(first, first + ATTEMPT_NUMBERS)


def numbers_by_unit(plan: Plan, attempts: Mapping[str, Iterable[int]]) -> dict[str, list[range]]:
    """The numbers of the files of these attempts, by unit, where attempts write to final names."""
    parts = parts_of(plan)
    return {unit: [numbers_of(parts.get(unit), attempt) for attempt in of] for unit, of in attempts.items()}


def whole(units: Iterable[Unit], plan: Plan) -> list[Unit]:
    """One unit for each table, by table: of a shared one that of its first part, with the rows and bytes of all."""
    if not plan.splits:
        return sorted(units, key=lambda unit: unit.table)
    by_id = {unit.id: unit for unit in units}
    for split in plan.splits:
        first, *others = (by_id.pop(unit) for unit in split.units)
        rows, bytes_ = (sum(getattr(part, what) for part in (first, *others)) for what in ("rows", "bytes"))
        by_id[first.id] = msgspec.structs.replace(first, rows=rows, bytes=bytes_)
    return sorted(by_id.values(), key=lambda unit: unit.table)


def done_tables(receipts: Mapping[str, Receipt], plan: Plan) -> dict[str, Done]:
    """The tables that are done, by unit (of a shared one its first). A shared table is done when all its parts are."""
    shared = {unit for split in plan.splits for unit in split.units}
    done = {unit: Done(receipt, (receipt,)) for unit, receipt in receipts.items() if unit not in shared}
    for split in plan.splits:
        if all(unit in receipts for unit in split.units):
            parts = tuple(receipts[unit] for unit in split.units)
            done[split.units[0]] = Done(_together(parts), parts)
    return done


def _together(parts: Sequence[Receipt]) -> Receipt:
    rows = [part.rows for part in parts if part.rows is not None]
    risks: dict[Risk, None] = dict.fromkeys(risk for part in parts for risk in part.risks)
    return msgspec.structs.replace(
        parts[0],
        files=sum(part.files for part in parts),
        created=min(part.created for part in parts),
        started=min(part.started for part in parts),
        ended=max(part.ended for part in parts),
        rows=sum(rows) if len(rows) == len(parts) else None,
        risks=tuple(risks),
    )


def by_table(failures: Iterable[Failure]) -> list[Failure]:
    """One failure for each table, sorted by table: if one part fails, the table fails."""
    first: dict[str, Failure] = {}
    for failure in failures:
        first.setdefault(failure.table, failure)
    return sorted(first.values(), key=lambda failure: failure.table)


def counts(plan: Plan | None, done: Collection[str], failed: Collection[str], running: Collection[str]) -> Counts:
    """Tables done, failed and at work, from the units that are."""
    tally = Counts(len(done), len(failed), len(running))
    for split in plan.splits if plan else ():
        here = [sum(unit in units for unit in split.units) for units in (done, failed, running)]
        incomplete = here[0] < len(split.units)
        own = Counts(int(not incomplete), int(here[1] > 0), int(incomplete and not here[1] and any(here)))
        tally = Counts(*(all_ - parts + table for all_, parts, table in zip(tally, here, own, strict=True)))
    return tally
