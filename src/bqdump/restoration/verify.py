"""Comparing the values of restored tables with the files, and these with the source while time travel lasts."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from bqdump.check.compare_with_source import Questions, Source, about, compare, priced, questions
from bqdump.check.findings import Finding, FindingKind
from bqdump.check.read_back import ReadOptions, check_room, read_back
from bqdump.core.documents.manifest import Manifest, TableEntry
from bqdump.core.errors import NotFoundError
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.restore.result import NotCreated
from bqdump.restoration.ledger import Ledger
from bqdump.restoration.task import RunningRestore

log = logging.getLogger(__name__)

VALUES = "values"
HINT = "Raise it, or leave out {setting:verify}."
OF_A_DRILL = "Raise it, or compare fewer tables at a time with {setting:tables}."


class Compared(NamedTuple):
    """The number of tables whose values are those of the files, and the tables that differ."""

    tables: int
    different: list[NotCreated]


async def compare_values(restore: RunningRestore, ledger: Ledger, reading: ReadOptions) -> Compared:
    """Read the files of every restored table back, and compare checksums of its columns with those in BigQuery.

    Raises UsageError if all queries together would bill more than max_bytes_billed; then none was made.
    """
    restored = [step for number, step in enumerate(restore.plan.tables) if number in ledger.receipts]
    names = {step.entry.table: step.name for step in restored}
    exported = _of(restore, [step.entry for step in restored])
    manifest = _of(restore, [msgspec.structs.replace(step.entry, table=step.name) for step in restored])
    check_room(manifest, reading)
    request, limit = restore.task.request, restore.task.settings.max_bytes_billed
    hint = OF_A_DRILL if request.options.temporary else HINT
    casts = sum(receipt.billed for receipt in ledger.receipts.values())
    source = Source(restore.destination, limit, hint=hint, spent=request.spent + casts)
    target = restore.target
    comparisons = [
        question
        for entry in manifest.tables
        for question in about(target, manifest, entry, None, msgspec.structs.replace(entry.shape, where=""))
    ]
    able, unable = await priced(source, target, comparisons)
    spent = source.spent + sum(question.bills for question in able)
    of_source = await _of_source(source._replace(spent=spent), exported)
    request.on_bill(sum(question.bills for question in (*able, *(of_source.questions if of_source else ()))))
    back = await read_back(restore.task.store, manifest, reading, (), restore.task.tell)
    found = await compare(source, Questions(target, able, unable, ()), back.digests)
    with_source = await compare(source, of_source, back.digests) if of_source else None
    differences = [
        msgspec.structs.replace(finding, table=names[finding.table])
        for finding in (with_source.findings if with_source else ())
        if finding.kind != FindingKind.SOURCE
    ]
    findings = [*back.findings, *found.findings, *differences]
    different = {finding.table: _named(finding) for finding in reversed(findings)}
    return Compared(
        found.tables - len(different.keys() & {entry.table for entry in manifest.tables}), [*different.values()]
    )


async def _of_source(source: Source, manifest: Manifest) -> Questions | None:
    """The queries about the source at the snapshot time; None where that can no longer be read."""
    try:
        return await questions(source, manifest)
    except NotFoundError as error:
        # Here the source is gone, not a document.
        message = "not compared with the source: %s"
        log.info(message, error.cause, extra=LogEvent.SOURCE_NOT_COMPARED.extra())
        return None


def _of(restore: RunningRestore, entries: Sequence[TableEntry]) -> Manifest:
    """The manifest with these tables only."""
    return msgspec.structs.replace(restore.manifest, tables=tuple(entries))


def _named(finding: Finding) -> NotCreated:
    where = f" ({finding.file})" if finding.file else ""
    message = f"{finding.kind.value}{where}: expected {finding.expected}, found {finding.found}"
    return NotCreated(finding.table, "TABLE", VALUES, message)
