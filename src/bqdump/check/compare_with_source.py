"""Comparing an export with BigQuery as it was at the snapshot time: rows, and checksums of columns and of rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from bqdump.check.findings import Finding, FindingKind
from bqdump.concurrency import gathered
from bqdump.core.documents.manifest import Manifest, TableEntry
from bqdump.core.documents.manifest_index import snapshot_of
from bqdump.core.errors import BqdumpError, JobFailedError, NotFoundError, UsageError
from bqdump.core.formats.formats import altered_types
from bqdump.core.formats.types import columns
from bqdump.core.sizes import counted, size_text
from bqdump.core.sql import statements as sql
from bqdump.core.sql.checksums import Leaf, bigquery_statement, chunks, leaves
from bqdump.core.tables.catalog import Dataset, Shape
from bqdump.core.tables.columns import exported
from bqdump.ports.data_reader import Digest
from bqdump.ports.warehouse import Warehouse

QUERIES_AT_ONCE = 16
DAY = 86_400_000
# https://cloud.google.com/bigquery/docs/time-travel
LONGEST_DAYS = 7


class Question(NamedTuple):
    """A query for the checksums of some columns of a table, and the bytes it will bill.

    start: the index in a file's digest at which the sums of these columns begin.
    """

    entry: TableEntry
    columns: Sequence[Leaf]
    select: str
    start: int
    bills: int = 0


class Source(NamedTuple):
    """BigQuery, the maximum bytes billed by all queries (0: no limit), and a callback that gets the estimate first.

    hint: how to fix a limit that is too low.
    spent: what other queries bill, which count too.
    """

    warehouse: Warehouse
    max_bytes_billed: int = 0
    on_bill: Callable[[int], None] = lambda bytes_billed: None
    hint: str = "Raise it, or leave out {setting:source}."
    spent: int = 0


class Questions(NamedTuple):
    """The queries about a run. findings: tables whose data at the snapshot time BigQuery no longer has."""

    dataset: Dataset
    questions: list[Question]
    findings: list[Finding]
    not_compared: tuple[str, ...]


class Compared(NamedTuple):
    """The findings, the number of tables compared, and the bytes billed."""

    findings: list[Finding]
    tables: int
    bytes_billed: int
    not_compared: tuple[str, ...]


async def questions(source: Source, manifest: Manifest) -> Questions:
    """The queries to run, each with the bytes it will bill according to a dry run (dry runs are free).

    Raises NotFoundError if the snapshot is too old for time travel, UsageError if the queries would exceed the limit.
    """
    dataset = await source.warehouse.dataset(manifest.project, manifest.dataset)
    now = await source.warehouse.now(dataset.location)
    past = now - manifest.snapshot
    if past > LONGEST_DAYS * DAY:
        raise NotFoundError(
            "compare the export with",
            f"BigQuery at {manifest.snapshot_time}",
            f"time travel lasts {LONGEST_DAYS} days at most, and that is {past // DAY} days ago",
            "{setting:read} compares with the manifest.",
        )
    tables = [
        entry
        for entry in manifest.tables
        if entry.read_at == "snapshot" and now - snapshot_of(manifest, entry) <= LONGEST_DAYS * DAY
    ]
    able, unable = await priced(
        source, dataset, [question for entry in tables for question in _about(dataset, manifest, entry)]
    )
    compared = {entry.table for entry in tables}
    without = tuple(entry.table for entry in manifest.tables if entry.table not in compared)
    return Questions(dataset, able, unable, without)


async def priced(source: Source, dataset: Dataset, needed: Sequence[Question]) -> tuple[list[Question], list[Finding]]:
    """The queries with the bytes that each will bill, and those that BigQuery refuses. `expected` gets the sum.

    Raises UsageError if they would exceed the limit.
    """

    async def estimated(question: Question) -> Question | Finding:
        try:
            dry_run = await source.warehouse.estimate(dataset, question.entry.table, question.select, {})
        except JobFailedError as error:
            return _gone(question, error)
        return question._replace(bills=dry_run.bytes)

    estimates = await gathered(estimated, needed, QUERIES_AT_ONCE)
    able = [estimate for estimate in estimates if isinstance(estimate, Question)]
    total = sum(question.bills for question in able)
    if source.max_bytes_billed and total + source.spent > source.max_bytes_billed:
        in_addition = f" in addition to {size_text(source.spent)} of other queries" if source.spent else ""
        subject, cause = size_text(source.max_bytes_billed), f"the queries would bill {size_text(total)}{in_addition}"
        raise UsageError("verify", subject, cause, source.hint, setting="max_bytes_billed")
    source.on_bill(total)
    return able, list(dict.fromkeys(estimate for estimate in estimates if isinstance(estimate, Finding)))


async def compare(source: Source, prepared: Questions, digests: dict[str, Digest]) -> Compared:
    """Run the queries and compare their results with the files of each table whose files were all read."""

    async def answer(question: Question) -> list[int] | Finding:
        table = question.entry.table
        try:
            return await source.warehouse.ask(prepared.dataset, table, question.select, question.bills)
        except JobFailedError as error:
            return _gone(question, error)

    ready = [
        candidate
        for candidate in prepared.questions
        if all(_has_sums(digests.get(file.name)) for file in candidate.entry.files)
    ]
    answers = await gathered(answer, ready, QUERIES_AT_ONCE)
    findings = list(prepared.findings)
    for question, expected in zip(ready, answers, strict=True):
        if isinstance(expected, Finding):
            findings.append(expected)
        else:
            findings += _differences(question, expected, _sums_of_files(question, digests))
    lost = {finding.table for finding in findings if finding.kind == FindingKind.SOURCE}
    tables = {question.entry.table for question in ready} - lost
    billed = sum(question.bills for question in ready)
    return Compared(list(dict.fromkeys(findings)), len(tables), billed, prepared.not_compared)


def _about(dataset: Dataset, manifest: Manifest, entry: TableEntry) -> list[Question]:
    return questions_about(dataset, manifest, entry, snapshot_of(manifest, entry), entry.shape)


def questions_about(
    dataset: Dataset, manifest: Manifest, entry: TableEntry, snapshot: int | None, shape: Shape
) -> list[Question]:
    """The queries for the checksums of what an export holds of a table.

    dataset: where that table is, as of `snapshot` (None: now).
    shape: what its files hold of it.
    """
    held = exported(columns(entry.definition), entry.shape)
    # Masked columns are excluded: neither their type nor the salt is available here.
    known = tuple(column.name for column in held if column.type and column.name != entry.shape.partition_times)
    format_ = entry.format or manifest.settings["format"]
    alike = altered_types(format_, entry.route)
    groups = chunks(leaves(held))
    # Only its own columns: the names of all of them in each statement would be quadratic.
    own = [dict.fromkeys(leaf.path[0].name for leaf in some) for some in groups]
    parts = [tuple(name for name in names if name != entry.shape.partition_times) or known[:1] for names in own]
    unmasked = msgspec.structs.replace(shape, masks={})
    sources = sql.select_parts(dataset, entry.table, snapshot, entry.definition, unmasked, parts)
    asked, start = [], 0
    for some, source in zip(groups, sources, strict=True):
        asked.append(Question(entry, some, bigquery_statement(f"({source})", some, format_, alike), start))
        start += 2 * len(some) + 1
    return asked


def _has_sums(digest: Digest | None) -> bool:
    """Whether a file was decoded and has the columns of its table."""
    return digest is not None and bool(digest.sums)


def _sums_of_files(question: Question, digests: dict[str, Digest]) -> list[int]:
    """The sums over a table's files, in the form of BigQuery's result."""
    files = [digests[file.name] for file in question.entry.files]
    places = range(question.start, question.start + 2 * len(question.columns) + 1)
    return [sum(file.rows for file in files), *(sum(file.sums[place] for file in files) for place in places)]


def _gone(question: Question, error: BqdumpError) -> Finding:
    return Finding(FindingKind.SOURCE, question.entry.table, "", "", error.cause.partition("\n")[0])


def _differences(question: Question, expected: list[int], read: list[int]) -> list[Finding]:
    """expected: from BigQuery.
    read: from the files. Each: rows, values and checksum by column, checksum of rows.
    """
    table = question.entry.table
    if expected[0] != read[0]:
        # With different row counts every checksum differs as well.
        there = f"{counted(expected[0], 'row')} in BigQuery"
        return [Finding(FindingKind.ROWS, table, "", there, counted(read[0], "row"))]
    findings = []
    for number, leaf in enumerate(question.columns):
        theirs, ours = expected[2 * number + 1 : 2 * number + 3], read[2 * number + 1 : 2 * number + 3]
        if theirs != ours:
            findings.append(Finding(FindingKind.VALUES, table, "", _words(leaf.name, theirs), _words(leaf.name, ours)))
    if not findings and expected[-1] != read[-1]:
        findings.append(
            Finding(FindingKind.VALUES, table, "", "the same values in each row", "values of other rows mixed")
        )
    return findings


def _words(column: str, sums: Sequence[int]) -> str:
    return f"{column}: {counted(sums[0], 'value')}, checksum {sums[1]:x}"
