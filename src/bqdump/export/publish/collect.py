"""Collecting: the files that a run has written, found by listing and compared with its receipts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from bqdump.core.documents.manifest import File
from bqdump.core.documents.run import Receipt, Unit
from bqdump.core.errors import VerificationError
from bqdump.core.plan.draft import read_units
from bqdump.core.plan.exact_rows import expected_rows, hidden_rows
from bqdump.core.plan.parts import Done, whole
from bqdump.core.settings.path_template import shard_name, split_shard
from bqdump.core.sizes import counted
from bqdump.core.times import rfc3339
from bqdump.export.publish.count import count_rows
from bqdump.export.task import RunningExport
from bqdump.ports.store import ObjectInfo


class Collected:
    """What a run has written.

    written: the files of each table in order, by its unit. surplus: files that failed attempts have left at names of
    the same patterns, or of failed tables. rows: the rows that each file reports, by its name; None where
    it does not.
    """

    def __init__(self) -> None:
        self.written: dict[str, list[ObjectInfo]] = {}
        self.surplus: list[ObjectInfo] = []
        self.rows: dict[str, int | None] = {}

    def rows_of(self, unit: str) -> int | None:
        """The rows of all files of a unit, None if one of them does not record them."""
        counts = [self.rows[info.name] for info in self.written[unit]]
        known = [count for count in counts if count is not None]
        return sum(known) if len(known) == len(counts) else None


async def all_units(export: RunningExport) -> list[Unit]:
    """The tables of the plan, a unit for each, by table: of a shared table its parts together."""
    if not export.plan.tables:
        return []
    stored = await export.store.read(export.plan.units)
    return whole(read_units(stored.data, export.plan), export.plan)


async def collect(export: RunningExport, units: list[Unit], done: Mapping[str, Done]) -> Collected:
    """Find the files of every table that is done.

    Raises VerificationError when a file that BigQuery has reported is not there.
    """
    written: dict[str, list[Receipt]] = {}
    for unit in units:
        for receipt in done[unit.id].parts if unit.id in done else ():
            written.setdefault(export.written(unit.pattern, receipt.unit, receipt.attempt), []).append(receipt)
    # Of tables that have failed, too: what their attempts have left at final names must not look like an export.
    patterns = {*written, *(export.written(unit.pattern, unit.id, 0) for unit in units)}
    found: dict[str, dict[int, ObjectInfo]] = {pattern: {} for pattern in written}
    collected = Collected()
    async for page in export.store.objects(_common_prefix(export, patterns)):
        for info in page:
            if (split := split_shard(info.name, patterns)) is None:
                # Staged by an attempt that failed, or no file of this run.
                continue
            pattern, number = split
            if any(number in _numbers(receipt) for receipt in written.get(pattern, ())):
                found[pattern][number] = info
            else:
                collected.surplus.append(info)
    for unit in units:
        if unit.id in done:
            collected.written[unit.id] = [
                info
                for receipt in done[unit.id].parts
                for info in _files_of(unit, receipt, found, export.written(unit.pattern, receipt.unit, receipt.attempt))
            ]
    return collected


def _files_of(
    unit: Unit, receipt: Receipt, found: Mapping[str, Mapping[int, ObjectInfo]], pattern: str
) -> Iterator[ObjectInfo]:
    files = found[pattern]
    for number in _numbers(receipt):
        if number not in files:
            missing = shard_name(pattern, number)
            cause = f"{counted(receipt.files, 'file')} were reported, and {missing} is not there"
            hint = "Something has deleted it: run the export again."
            raise VerificationError("publish", f"table {unit.table}", cause, hint)
        yield files[number]


def file_of(info: ObjectInfo) -> File:
    """An object as a manifest lists it."""
    return File(info.name, info.size, info.crc32c, info.generation)


def _numbers(receipt: Receipt) -> range:
    """The numbers of its files."""
    return range(receipt.first, receipt.first + receipt.files)


async def prove(export: RunningExport, units: list[Unit], done: Mapping[str, Done], collected: Collected) -> None:
    """Count the rows of files that record them, and compare them with BigQuery's count at the snapshot time
    and with the job's statistics.

    Raises VerificationError when a table's files do not hold its rows, DocumentError for a damaged file.
    """
    exported = [unit for unit in units if unit.id in done]
    for format_ in sorted({export.format_of(unit) for unit in exported}):
        of_format = [unit for unit in exported if export.format_of(unit) == format_]
        files = [info for unit in of_format for info in collected.written[unit.id]]
        collected.rows |= await count_rows(export.store, format_, files)
    hidden = hidden_rows(export.plan, (table.whole for table in done.values()))
    for unit in exported:
        rows, told = collected.rows_of(unit.id), done[unit.id].whole.rows
        expected = expected_rows(export.plan, unit, hidden)
        if rows is not None and told is not None and rows != told:
            raise _wrong_rows(unit, rows, f"BigQuery reported {told:,}")
        if expected and not collected.written[unit.id]:
            raise _wrong_rows(unit, 0, f"BigQuery had {expected:,} at {rfc3339(export.plan.snapshot)}")
        rows = told if rows is None else rows
        if rows is not None and expected is not None and rows != expected:
            raise _wrong_rows(unit, rows, f"BigQuery had {expected:,} at {rfc3339(export.plan.snapshot)}")


def _wrong_rows(unit: Unit, rows: int, wanted: str) -> VerificationError:
    cause = f"its files hold {counted(rows, 'row')}, and {wanted}"
    hint = "Nothing was published: run the export again, under another run id."
    return VerificationError("publish", f"table {unit.table}", cause, hint)


def _common_prefix(export: RunningExport, patterns: Iterable[str]) -> str:
    heads = sorted(pattern.partition("*")[0] for pattern in patterns)
    if not heads:
        return export.layout.staging
    first, last = heads[0], heads[-1]
    same = next((at for at, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))
    return first[:same]
