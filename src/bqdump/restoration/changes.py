"""Whether what was restored is still what was restored: rows and definitions, for free; values, by queries.

Values are compared with the files, and these with the source while time travel lasts.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import NamedTuple

from msgspec.structs import replace

from bqdump.check.compare_with_source import Question, Questions, Source, compare, priced, questions, questions_about
from bqdump.check.findings import Finding, FindingKind
from bqdump.check.read_back import ReadOptions, check_room, read_back
from bqdump.concurrency import gathered
from bqdump.core.documents.manifest import Manifest, TableEntry
from bqdump.core.documents.notes import Restored
from bqdump.core.errors import NotFoundError, TargetError
from bqdump.core.formats.types import columns
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.restore.names import partition_range
from bqdump.core.restore.objects import same_query
from bqdump.core.restore.partitions import layout_of
from bqdump.core.restore.plan import INDEX, POLICY, ROUTINE, ObjectStep, TableStep
from bqdump.core.restore.result import NotCreated, Restoration
from bqdump.core.settings.target import Target
from bqdump.core.sizes import counted, named
from bqdump.core.tables.catalog import Table
from bqdump.core.tables.partitioning import NULL, UNPARTITIONED, partitioning_of
from bqdump.core.wording import placeholder
from bqdump.restoration.ledger import Ledger, without_changed
from bqdump.restoration.task import RunningRestore

log = logging.getLogger(__name__)

# Requests for definitions.
AT_ONCE = 16
# Partitions that a message names, and those of a range that are searched for rows.
SHOWN, LOOKED_AT = 10, 100
# The reason of a table that is no longer as it was restored.
CHANGED = "changed"
VALUES = "values"
NO_CONDITIONS: Mapping[str, str] = {}
HINT = "Raise it, or leave out {setting:verify}."
OF_A_DRILL = "Raise it, or compare fewer tables at a time with {setting:tables}."


async def with_changes(restore: RunningRestore, result: Restoration, ledger: Ledger) -> Restoration:
    """The result, where what is no longer as it was restored is no longer named as restored."""
    changed = await _changed(restore, ledger)
    if not changed:
        return result
    for change in changed:
        first = "Delete it first. " if restore.decision.options.schema_only else ""
        hint = f"{first}To restore it again: {_again(restore, change.name)}"
        error = TargetError("verify", change.name, change.message, hint)
        log.error("%s", error, extra=LogEvent.TARGET_CHANGED.extra(table=change.name))
    return without_changed(result, changed)


def _again(restore: RunningRestore, name: str) -> str:
    """The placeholder of the command that restores one object again: in a set, of its dataset only."""
    options, via, dataset = restore.task.request.options, restore.task.via, restore.task.dataset
    exported = {step.name: step.entry.table for step in restore.plan.tables}.get(name, name)
    arguments: dict[str, str | bool] = {
        "run": restore.decision.run,
        "into": f"{restore.target.project}.{restore.target.name}",
        "via": str(_outer(via.target, dataset)) if via else "",
        "datasets": dataset,
        "include": "" if options.partitions else exported,
        "partitions": ",".join(some for some in options.partitions if some.startswith(f"{exported}$")),
        "as_": name if exported != name else "",
        "schema_only": options.schema_only,
        "data_only": options.data_only,
        "with_policies": options.with_policies,
        "keep_references": options.keep_references,
        # Definitions alone do not replace a table, as its rows would be lost.
        "missing_only" if options.schema_only else "replace": True,
        # This command may be the very one that is finished.
        "again": options.replace,
        "yes": restore.plan.in_place,
    }
    return placeholder("restore", {argument: value for argument, value in arguments.items() if value})


def _outer(target: Target, dataset: str) -> Target:
    """Where a set has the documents of its restores. dataset: "" for an export of one dataset."""
    folder = f"{dataset}/" if dataset else ""
    return replace(target, prefix=target.prefix.removesuffix(folder))


async def _changed(restore: RunningRestore, ledger: Ledger) -> list[NotCreated]:
    plan = restore.plan
    steps: dict[int, TableStep | ObjectStep] = dict(enumerate((*plan.tables, *plan.objects)))

    async def change(number: int) -> NotCreated | None:
        step, receipt = steps[number], ledger.receipts[number]
        table = await restore.destination.table(restore.target, receipt.name)
        if isinstance(step, TableStep) and step.parts and table:
            table = replace(table, rows=await _rows_in(restore, step.name, receipt.parts or step.parts))
        difference = _difference(step, receipt, table, rows=not restore.decision.options.schema_only)
        return NotCreated(receipt.name, receipt.kind, CHANGED, difference) if difference else None

    restored = (number for number in steps if number in ledger.receipts)
    compared = [number for number in restored if ledger.receipts[number].kind not in (ROUTINE, INDEX)]
    return [table for table in await gathered(change, compared, AT_ONCE) if table]


async def _rows_in(restore: RunningRestore, table: str, parts: Sequence[str]) -> int:
    """The rows of these partitions of a table."""
    names = [f"{table}${id_}" for id_ in parts]
    tables = await gathered(lambda name: restore.destination.table(restore.target, name), names, AT_ONCE)
    return sum(table.rows for table in tables if table)


async def name_without_rows(restore: RunningRestore, step: TableStep, rows: int, done: Sequence[str]) -> None:
    """Log the partitions that stay empty, since the export has no rows in them.

    rows: those that are restored.
    done: the ids of the partitions that were put in place one by one.
    """
    state, what = restore.decision.state, "nothing is restored of them"
    if step.parts:
        rows_there, what = ((state and state.rows) or {}).get(step.name, {}), "they stay as they are"
        left = [id_ for id_ in step.parts if id_ not in done and (rows_there.get(id_) or id_ in step.partitions)]
    elif not step.load.where or (rows and len(step.partitions) == 1):
        return
    else:
        left = [some for some in step.partitions if not rows or await _is_empty(restore, step, some)]
    if left:
        message, extra = "%s: the export has no rows in %s: %s", LogEvent.PARTITIONS_WITHOUT_ROWS.extra(table=step.name)
        log.warning(message, step.name, named(left, SHOWN, "partition"), what, extra=extra)


async def _is_empty(restore: RunningRestore, step: TableStep, some: str) -> bool:
    """Whether a range of partitions of a table has no rows; False where that would take too many requests."""
    chosen, partitioning = partition_range(f"{step.entry.table}${some}"), partitioning_of(step.entry.definition)
    if partitioning is None or chosen.first in (NULL, UNPARTITIONED):
        return False
    ids = [*islice(partitioning.between(chosen.first, chosen.last), LOOKED_AT + 1)]
    return len(ids) <= LOOKED_AT and not await _rows_in(restore, step.name, ids)


def _difference(step: TableStep | ObjectStep, receipt: Restored, table: Table | None, *, rows: bool) -> str:
    """How something differs from what was restored; "" where it does not. rows: they are compared, too."""
    if table is None:
        return "it was restored, and no longer exists"
    if table.kind != receipt.kind:
        return f"it was restored, and now is an object of kind {table.kind}"
    if isinstance(step, ObjectStep):
        return (
            "" if same_query(table.definition, step.definition) else "its query is no longer the one that was restored"
        )
    if rows and table.rows != receipt.rows:
        return f"it has {counted(table.rows, 'row')} now, and {receipt.rows:,} when it was restored"
    if columns(table.definition) != columns(step.create):
        return "its columns are no longer those that were restored"
    now, then = layout_of(table.definition), layout_of(step.create)
    return "" if now == then else f"it is {now} now, and was {then} when it was restored"


class Compared(NamedTuple):
    """The number of tables whose values are those of the files, and the tables that differ."""

    tables: int
    different: list[NotCreated]


async def compare_values(restore: RunningRestore, ledger: Ledger, reading: ReadOptions) -> Compared:
    """Read the files of every restored table back, and compare checksums of its columns with those in BigQuery.

    Tables whose rows are hidden from this account are not compared, and named. Raises UsageError if all queries
    together would bill more than max_bytes_billed; then none was made.
    """
    restored_steps = [step for number, step in enumerate(restore.plan.tables) if number in ledger.receipts]
    hidden = await _hidden(restore, ledger, restored_steps)
    restored = [step for step in restored_steps if step.name not in hidden and not _is_unreadable(step)]
    names = {step.entry.table: step.name for step in restored}
    # The source has all partitions, and other rows in them by now.
    exported = _manifest_of(restore, [step.entry for step in restored if not step.partitions])
    manifest = _manifest_of(restore, [replace(step.entry, table=step.name) for step in restored])
    check_room(manifest, reading)
    request, limit = restore.task.request, restore.task.settings.max_bytes_billed
    hint = OF_A_DRILL if request.options.temporary else HINT
    casts = sum(receipt.billed for receipt in ledger.receipts.values())
    source = Source(restore.destination, limit, hint=hint, spent=request.spent + casts)
    target = restore.target
    held = {step.name: step.held for step in restored}
    able, unable = await priced(source, target, _questions(restore, manifest, held))
    spent = source.spent + sum(question.bills for question in able)
    of_source = await _of_source(source._replace(spent=spent), exported)
    request.on_bill(sum(question.bills for question in (*able, *(of_source.questions if of_source else ()))))
    back = await read_back(restore.task.store, manifest, reading, (), restore.task.tell)
    compared = await compare(source, Questions(target, able, unable, ()), back.digests)
    with_source = await compare(source, of_source, back.digests) if of_source else None
    differences = [
        replace(finding, table=names[finding.table])
        for finding in (with_source.findings if with_source else ())
        if finding.kind != FindingKind.SOURCE
    ]
    findings = [*back.findings, *compared.findings, *differences]
    different = {finding.table: _named(finding) for finding in reversed(findings)}
    return Compared(
        compared.tables - len(different.keys() & {entry.table for entry in manifest.tables}), [*different.values()]
    )


async def _hidden(restore: RunningRestore, ledger: Ledger, steps: Sequence[TableStep]) -> set[str]:
    """The tables whose row access policies were created since, by an earlier start of the restore or by others."""
    if not restore.resumed:
        return set()
    listed = await gathered(lambda step: restore.destination.row_policies(restore.target, step.name), steps, AT_ONCE)
    created = {receipt.table for receipt in ledger.receipts.values() if receipt.kind == POLICY}
    hidden = {
        step.name
        for step, policies in zip(steps, listed, strict=True)
        if policies or (policies is None and step.name in created)
    }
    for name in sorted(hidden):
        message = "%s: not compared: row access policies may hide rows of it from this account"
        log.warning(message, name, extra=LogEvent.VALUES_NOT_COMPARED.extra(table=name))
    return hidden


async def scratch_difference(restore: RunningRestore, step: TableStep, scratch: str) -> str:
    """How the values of a scratch table differ from the files of the table that it is to replace; "" if they do not.

    Raises UsageError if the queries would bill more than max_bytes_billed.
    """
    reading = restore.task.request.reading
    if reading is None or step.load.where:
        return ""
    manifest = _manifest_of(restore, [replace(step.entry, table=scratch)])
    async with restore.comparing:
        check_room(manifest, reading)
        request, limit = restore.task.request, restore.task.settings.max_bytes_billed
        source = Source(restore.destination, limit, request.on_bill, HINT, request.spent)
        able, unable = await priced(source, restore.target, _questions(restore, manifest))
        back = await read_back(restore.task.store, manifest, reading, (), restore.task.tell)
        compared = await compare(source, Questions(restore.target, able, unable, ()), back.digests)
    return next((_named(finding).message for finding in (*back.findings, *compared.findings)), "")


def _is_unreadable(step: TableStep) -> bool:
    """Whether the files of a table have other rows than what was restored: they are not by partition."""
    if step.load.where:
        message = "%s: not compared: its files have all partitions, and only some were restored"
        log.warning(message, step.name, extra=LogEvent.VALUES_NOT_COMPARED.extra(table=step.name))
    return bool(step.load.where)


def _questions(restore: RunningRestore, manifest: Manifest, held: Mapping[str, str] = NO_CONDITIONS) -> list[Question]:
    """The queries about the tables of a manifest in the target, which have what was exported.

    held: the condition for the rows that do, by table; "" for all.
    """
    return [
        question
        for entry in manifest.tables
        for question in questions_about(
            restore.target, manifest, entry, None, replace(entry.shape, where=held.get(entry.table, ""))
        )
    ]


async def _of_source(source: Source, manifest: Manifest) -> Questions | None:
    """The queries about the source at the snapshot time; None where that can no longer be read."""
    try:
        return await questions(source, manifest)
    except NotFoundError as error:
        # Here the source is gone, not a document.
        message = "not compared with the source: %s"
        log.info(message, error.cause, extra=LogEvent.SOURCE_NOT_COMPARED.extra())
        return None


def _manifest_of(restore: RunningRestore, entries: Sequence[TableEntry]) -> Manifest:
    """The manifest with these tables only."""
    return replace(restore.manifest, tables=tuple(entries))


def _named(finding: Finding) -> NotCreated:
    where = f" ({finding.file})" if finding.file else ""
    message = f"{finding.kind.value}{where}: expected {finding.expected}, found {finding.found}"
    return NotCreated(finding.table, "TABLE", VALUES, message)
