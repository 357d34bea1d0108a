"""Collecting: the files that a run has written, found by listing and compared with its receipts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from bqdump.concurrency import gathered
from bqdump.core.documents.codec import decode
from bqdump.core.documents.definitions import Definitions
from bqdump.core.documents.manifest import File, PartitionEntry
from bqdump.core.documents.path_template import shard_name, split_shard
from bqdump.core.documents.run import Receipt, TablePlan
from bqdump.core.errors import VerificationError
from bqdump.core.plan.hidden_data import expected_rows, hidden_rows
from bqdump.core.sizes import counted
from bqdump.core.times import rfc3339
from bqdump.core.units.shares import read_tables
from bqdump.core.units.tables import Done, is_by_query
from bqdump.export.collected import Attempt, Collected
from bqdump.export.publish.count import count_rows
from bqdump.export.task import RunningExport
from bqdump.ports.store import ObjectInfo
from bqdump.repository.repository import value_of

# After this many counts, rows that differ from what BigQuery reported are a difference of the stored files.
TIMES_COUNTED = 3
DIGESTS_AT_ONCE = 16


async def all_tables(export: RunningExport) -> list[TablePlan]:
    """The tables of the plan, by name."""
    if not export.plan.tables:
        return []
    if export.made:
        return read_tables(export.made.lines, export.plan)
    stored = await export.store.read(export.plan.units)
    return read_tables(stored.data, export.plan)


async def read_definitions(export: RunningExport) -> Definitions:
    """The definitions that the plan records; none in a plan of an earlier version."""
    if export.made:
        return export.made.definitions
    if not export.plan.definitions:
        return Definitions()
    stored = await export.store.read(export.plan.definitions)
    return decode(stored.data, Definitions, export.plan.definitions)


async def collect(export: RunningExport, tables: list[TablePlan], done: Mapping[str, Done]) -> Collected:
    """Find the files of every table that is done.

    Raises VerificationError when a file that BigQuery has reported is not there.
    """
    written: dict[str, list[Receipt]] = {}
    for table in tables:
        for piece, receipt in _attempts(table, done):
            written.setdefault(export.written_by(receipt, piece), []).append(receipt)
    # Of tables that have failed, too: what their attempts have left at final names must not look like an export.
    patterns = {*written, *(export.written(piece) for table in tables for piece in table.pieces)}
    infos: dict[str, dict[int, ObjectInfo]] = {pattern: {} for pattern in written}
    collected = Collected()
    async for page in export.store.objects(_common_prefix(export, patterns)):
        for info in page:
            if (split := split_shard(info.name, patterns)) is None:
                # Staged by an attempt that failed, or no file of this run.
                collected.others = True
                continue
            pattern, number = split
            if any(number in _numbers(receipt) for receipt in written.get(pattern, ())):
                infos[pattern][number] = info
            else:
                collected.surplus.append(info)
    for table in tables:
        if table.id in done:
            collected.add(
                table,
                _attempts(table, done),
                lambda piece, receipt: _files_of(piece, receipt, infos, export.written_by(receipt, piece)),
            )
    await _add_digests(export, collected)
    return collected


async def _add_digests(export: RunningExport, collected: Collected) -> None:
    """Add the SHA-256 of files that tasks have written. Raises VerificationError where they are not of these files."""

    async def add(attempt: Attempt) -> None:
        receipt = attempt.receipt
        digests = receipt.sha256
        if not digests:
            stored = await value_of(export.store, export.layout.digests(receipt.unit, receipt.attempt))
            digests = stored.sha256 if stored else ()
        if len(digests) != receipt.files:
            cause = f"{counted(receipt.files, 'file')} were written, and {len(digests)} SHA-256 recorded"
            raise VerificationError("publish", f"table {receipt.table}", cause, "Run the export again.")
        collected.digests.update(zip((info.name for info in attempt.files), digests, strict=True))

    attempts = (attempt for some in collected.attempts.values() for attempt in some)
    await gathered(add, [one for one in attempts if one.plan.route == "read" and one.receipt.files], DIGESTS_AT_ONCE)


def _attempts(table: TablePlan, done: Mapping[str, Done]) -> list[tuple[TablePlan, Receipt]]:
    """The attempts whose files a table has, in their order, each with the plan of what it exported."""
    if table.id not in done:
        return []
    receipts = done[table.id].attempts
    if not table.partitions:
        return [(table, receipt) for receipt in receipts]
    by_unit = {receipt.unit: receipt for receipt in receipts}
    return [(piece, by_unit[piece.id]) for piece in table.partitions]


def _files_of(
    table: TablePlan, receipt: Receipt, infos: Mapping[str, Mapping[int, ObjectInfo]], pattern: str
) -> Iterator[ObjectInfo]:
    files = infos[pattern]
    for number in _numbers(receipt):
        if number not in files:
            missing = shard_name(pattern, number)
            cause = f"{counted(receipt.files, 'file')} were reported, and {missing} is not there"
            hint = "Something has deleted it: run the export again."
            raise VerificationError("publish", f"table {table.table}", cause, hint)
        yield files[number]


def file_of(info: ObjectInfo) -> File:
    """An object as a manifest lists it."""
    return File(info.name, info.size, info.crc32c, info.generation)


def _numbers(receipt: Receipt) -> range:
    """The numbers of its files."""
    return range(receipt.first, receipt.first + receipt.files)


async def prove(export: RunningExport, tables: list[TablePlan], done: Mapping[str, Done], collected: Collected) -> None:
    """Count the rows of files that record them, and compare them with BigQuery's count at the snapshot time
    and with the job's statistics. A table that differs is counted again, since parts of files come without checksums.

    Raises VerificationError when a table's files do not hold its rows, DocumentError for a damaged file.
    """
    unproved = [table for table in tables if table.id in done]
    hidden = hidden_rows(export.plan, (table.receipt for table in done.values()))
    differences: list[VerificationError] = []
    for _ in range(TIMES_COUNTED):
        await _count(export, unproved, collected)
        compared = [(table, _difference(export, table, done[table.id], collected, hidden)) for table in unproved]
        unproved = [table for table, difference in compared if difference]
        differences = [difference for _, difference in compared if difference]
        if not differences:
            return
    raise differences[0]


async def _count(export: RunningExport, tables: list[TablePlan], collected: Collected) -> None:
    for format_ in sorted({export.format_of(table) for table in tables}):
        of_format = [table for table in tables if export.format_of(table) == format_]
        files = [info for table in of_format for info in collected.written[table.id]]
        collected.rows |= await count_rows(export.store, format_, files)


def _difference(
    export: RunningExport, table: TablePlan, done: Done, collected: Collected, hidden: set[str]
) -> VerificationError | None:
    """How the rows of a table's files differ from what BigQuery reported; None if they do not."""
    if table.partitions and (different := _different_partition(table, collected, hidden)):
        return different
    rows, reported = collected.rows_of(table.id), done.receipt.rows
    if rows is None and reported is None and table.partitions and hidden.isdisjoint((table.table, "")):
        rows = _known_rows(table, collected)
    expected = expected_rows(export.plan, table, hidden)
    if rows is not None and reported is not None and rows != reported:
        return _wrong_rows(table, rows, f"BigQuery reported {reported:,}")
    if expected and not collected.written[table.id]:
        return _wrong_rows(table, 0, f"BigQuery had {expected:,} at {rfc3339(export.plan.snapshot)}")
    rows = reported if rows is None else rows
    if rows is not None and expected is not None and rows != expected:
        return _wrong_rows(table, rows, f"BigQuery had {expected:,} at {rfc3339(export.plan.snapshot)}")
    return None


def _different_partition(table: TablePlan, collected: Collected, hidden: set[str]) -> VerificationError | None:
    """How the rows of a partition's files differ from those that its job, or its readings, report; None if not."""
    for attempt in collected.attempts[table.id]:
        rows, plan = collected.rows_of_attempt(attempt), attempt.plan
        named = msgspec.structs.replace(table, table=f"{table.table}${plan.partition}")
        reported = attempt.receipt.rows
        if rows is not None and reported is not None and rows != reported:
            return _wrong_rows(named, rows, f"BigQuery reported {reported:,}")
        seen = _rows_seen(attempt, table, hidden)
        if rows is not None and seen is not None and rows != seen:
            return _wrong_rows(named, rows, f"BigQuery had {seen:,} at the snapshot time")
        if seen and not attempt.files:
            return _wrong_rows(named, 0, f"BigQuery had {seen:,} at the snapshot time")
    return None


def _rows_seen(attempt: Attempt, table: TablePlan, hidden: set[str]) -> int | None:
    """The rows of a partition at the snapshot time, by equal readings before it and after the job."""
    whole = not table.shape.where and hidden.isdisjoint((table.table, ""))
    return (
        attempt.plan.partition_look.rows
        if whole and attempt.receipt.unchanged and attempt.plan.partition_look
        else None
    )


def _known_rows(table: TablePlan, collected: Collected) -> int | None:
    """The rows of a table by partition: of its files, its job, or the readings of it; None if one is not known."""
    total = 0
    for attempt in collected.attempts[table.id]:
        known = (collected.rows_of_attempt(attempt), attempt.receipt.rows, _rows_seen(attempt, table, set()))
        rows = next((count for count in known if count is not None), None)
        if rows is None:
            return None
        total += rows
    return total


def _wrong_rows(table: TablePlan, rows: int, expected: str) -> VerificationError:
    cause = f"its files hold {counted(rows, 'row')}, and {expected}"
    hint = "Nothing was published: run the export again, under another run id."
    return VerificationError("publish", f"table {table.table}", cause, hint)


def _common_prefix(export: RunningExport, patterns: Iterable[str]) -> str:
    heads = sorted(pattern.partition("*")[0] for pattern in patterns)
    if not heads:
        return export.layout.staging
    first, last = heads[0], heads[-1]
    same = next((at for at, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))
    return first[:same]


def partition_entries(collected: Collected, table: str) -> tuple[PartitionEntry, ...]:
    """The partitions of a table that was exported by partition, by the table's id in the plan."""
    return tuple(
        PartitionEntry(
            id=attempt.plan.partition,
            route="query" if is_by_query(attempt.receipt.attempt) else attempt.plan.route,
            job=attempt.receipt.job,
            files=len(attempt.files),
            planned_rows=attempt.plan.rows,
            planned_bytes=attempt.plan.bytes,
            rows=attempt.receipt.rows if (rows := collected.rows_of_attempt(attempt)) is None else rows,
            billed=attempt.receipt.billed,
            look=attempt.plan.partition_look if attempt.receipt.unchanged else None,
        )
        for attempt in collected.attempts[table]
    )
