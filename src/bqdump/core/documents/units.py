"""The documents about units: what a task claims, reads and gives up.

Plan, receipts and failures, which name tables, are in `core.documents.run`.

Tables that are split into several units: each unit reads a part of the streams of one read session.

A part is planned, claimed, read and verified like any unit. Outside of the export only the table is visible.

The files of each partition of a table that was exported by partition.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Generic, NamedTuple, Protocol, TypeVar

import msgspec
from msgspec import Struct

from bqdump.core.documents.document import LARGEST, Count, Notes, UnitId
from bqdump.core.documents.manifest import File, PartitionEntry
from bqdump.core.documents.run import Failure, Owner, Plan, TablePlan
from bqdump.core.sizes import counted

Ended = TypeVar("Ended")
Fault = TypeVar("Fault")


class Unit(TablePlan, frozen=True, omit_defaults=True):
    """The unit of work: a table, one of its partitions, or a part of it where the plan splits it among tasks.

    rows, bytes: of a part, its share of the table's; of a partition, its own.
    """


class Claim(msgspec.Struct, frozen=True, omit_defaults=True):
    """The task that works on a unit.

    table, bytes: of the unit, for those who watch the run.
    again: the job of a receipt that the unit has already, from a session that has been retired.
    """

    owner: Owner
    table: str = ""
    bytes: Count = 0
    again: str = ""


class Folders(NamedTuple, Generic[Ended, Fault]):
    """The folders of the notes of a pool: who works on an item, how it has ended, and why attempts have failed."""

    claims: Notes[Claim]
    receipts: Notes[Ended]
    failures: Notes[Fault]


class ReadAttempt(msgspec.Struct, frozen=True):
    """An attempt at a unit with the read route, and its owner. nonce: distinguishes attempts of one owner."""

    owner: Owner
    nonce: str


class SharedSession(msgspec.Struct, frozen=True, omit_defaults=True):
    """The read session of a split table: all of its parts read from it.

    schema: of its rows, as an Arrow IPC message.
    execution: the one that opened it.
    closed: the parts are settled. Without a name: the session before has ended, and the next one is not open yet.
    """

    name: str
    streams: tuple[str, ...]
    schema: bytes
    execution: str
    closed: bool = False

    @property
    def retired(self) -> bool:
        """Whether another session must be opened."""
        return not self.name


class Changed(msgspec.Struct, frozen=True, tag_field="outcome", tag="changed"):
    """A partition that was changed while an extract job read it, so that its files do not count.

    A query reads it as of the snapshot time instead. Stored under the name of the unit's receipt until there is one,
    so that all tasks do the same.

    job: the extract job.
    """

    unit: UnitId
    job: str


class GivenUp(msgspec.Struct, frozen=True, tag_field="outcome", tag="given up"):
    """A unit that a partial export lacks; no task can finish it any more.

    Stored under the name of the unit's receipt, so that only one of the two exists and all tasks see the same.
    """

    failure: Failure


# File numbers have room for this many parts, and a session has no more streams:
# https://cloud.google.com/bigquery/docs/reference/storage/rpc/google.cloud.bigquery.storage.v1
MOST_PARTS = 1000
# Where attempts write to final names (keep mode), each attempt has a range of this many file numbers.
ATTEMPT_NUMBERS = 1_000_000
# The shortest possible line of a unit.
LEAST_UNIT_BYTES = 80
# And each part of a table has ranges for this many attempts.
ATTEMPTS_NUMBERED = 1_000


class Part(Struct, frozen=True):
    """One of `of` parts of a table, by its number from 0. lead: the unit of the first part, which names the table."""

    table: str
    number: int
    of: int
    lead: str


def part_count(route: str, bytes_: int, tasks: int, part_bytes: int) -> int:
    """The number of parts in which a table of this size is read. part_bytes: a part's minimum, 0 for one part."""
    if route != "read" or not part_bytes:
        return 1
    return max(1, min(tasks, bytes_ // part_bytes, MOST_PARTS))


def nth_part(amount: int, number: int, of: int) -> int:
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


def shares_problem(plan: Plan) -> str:
    """Why the shares and parts of a plan cannot be those of its tables; "" where they can."""
    offset = 0
    for share in plan.shares:
        if share.offset != offset or not 0 < share.units * LEAST_UNIT_BYTES <= share.length:
            return "its shares are not contiguous"
        offset += share.length
    if offset > LARGEST:
        return f"its units have {offset:,} bytes"
    parts = [unit for split in plan.splits for unit in split.units]
    if len(set(parts)) != len(parts) or not all(map(plan.has, parts)):
        return "parts of its tables are not among its units"
    if any(not 1 < len(split.units) <= MOST_PARTS for split in plan.splits):
        return f"a table cannot have fewer than 2 or more than {MOST_PARTS:,} parts"
    by_partition = sum(table.units for table in plan.partitioned)
    if len({table.table for table in plan.partitioned}) != len(plan.partitioned) or not all(
        plan.has(table.lead) and table.units for table in plan.partitioned
    ):
        return "its partitions are not among its units"
    if plan.unit_count - len(parts) + len(plan.splits) - by_partition + len(plan.partitioned) != plan.tables:
        return f"its shares do not add up to {counted(plan.tables, 'table')}"
    return ""


class HasPartitions(Protocol):
    """An entry of a manifest, or the part of it that planning reads."""

    @property
    def files(self) -> tuple[File, ...]:
        """All files, partition by partition."""

    @property
    def partitions(self) -> tuple[PartitionEntry, ...]:
        """The partitions, in the order of their files."""


def files_by_partition(entry: HasPartitions) -> Iterator[tuple[PartitionEntry, tuple[File, ...]]]:
    """Each partition of an entry with its files, in their order; nothing for a table that was exported as one."""
    first = 0
    for partition in entry.partitions:
        yield partition, entry.files[first : first + partition.files]
        first += partition.files
