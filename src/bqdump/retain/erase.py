"""Erasure: a table is taken out of every kept run, as a request to delete data demands.

Survey, plan, mark, record the plan, rewrite, delete, unmark. A dry run shows the plan and ends there. The mark is in
latest.json, where whoever plans a run finds it. Under it no run is at work, so nothing comes to rely on files of the
table. The record has the files, since the manifests that name them are written anew before the first is deleted. Every
step may be repeated: the same command finishes an erasure that was killed at any request.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from contextlib import suppress
from typing import NamedTuple

from msgspec.structs import replace

from bqdump.concurrency import gathered
from bqdump.core.documents.copying import Expected
from bqdump.core.documents.manifest import Erased
from bqdump.core.documents.retention import Erasure, ObjectVersion
from bqdump.core.documents.target import Latest
from bqdump.core.errors import BqdumpError, DocumentError, NotFoundError, UsageError
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.retention.erased import (
    ErasedFrom,
    Held,
    concerns,
    expected_in,
    finishing,
    leaves,
    repeats,
    versions_in,
    words_of,
)
from bqdump.core.retention.policy import Policy
from bqdump.core.sizes import counted
from bqdump.core.times import rfc3339, time_of
from bqdump.core.wording import close_name
from bqdump.repository.manifests import lost
from bqdump.repository.published import enter_again, read_latest
from bqdump.repository.repository import Loaded, create, exists, load, overwrite, read, value_of
from bqdump.repository.storage import READS_AT_ONCE, read_erasing
from bqdump.retain.rewrite import (
    Task,
    altered_error,
    delete_files,
    earlier_records,
    is_altered,
    mark,
    rewrite,
    unmark,
)
from bqdump.retain.survey import Survey, survey
from bqdump.retain.survey import Task as Surveying

log = logging.getLogger(__name__)
ERASE = "erase"
NOTHING_CHANGED = "Nothing was changed, because it may name files of the table: without it, no command deletes them."


class ErasurePlan(NamedTuple):
    """What an erasure does.

    survey: what it follows from.
    runs: those that have the table.
    files: the objects that they name of it.
    signed: those with a signature.
    altered: of these, one that the signer's key has not signed as it is, "" for none.
    partial: those that have only files of it that an earlier run has left, whose age they do not say.
    named: the tables that some run has.
    before: the note of the last erasure of this table that some run has.
    held: records of earlier erasures of the table, some of whose files could not be deleted, or are there again.
    copied: of all runs, those that are copies.
    again: the files of the table that these have (see Erasure.copied).
    """

    survey: Survey
    runs: tuple[str, ...]
    files: tuple[ObjectVersion, ...]
    signed: tuple[str, ...]
    altered: str
    partial: tuple[str, ...]
    named: frozenset[str]
    before: Erased | None
    held: tuple[Erasure, ...]
    copied: frozenset[str]
    again: tuple[Expected, ...]


async def has_begun(task: Task) -> bool:
    """Whether an earlier start of this erasure was interrupted."""
    begun = await read_erasing(task.store, task.settings.layout)
    return bool(begun and repeats(task.erasing, begun))


async def erase(task: Task) -> ErasedFrom:
    """Take the table out of the kept runs, or only show which have it.

    Raises NotFoundError without such a table, UsageError while a run is at work or another erasure has begun, and where
    signed manifests would be without a signature. Then nothing is changed.
    """
    latest = await _latest(task)
    begun = await read_erasing(task.store, task.settings.layout)
    if begun and not repeats(task.erasing, begun):
        hint = f"Finish that one first: {finishing(begun, latest.dataset)}"
        raise _refused(task, f"the erasure of table {begun.table} has begun and not ended", hint)
    if begun:
        # Who has begun it, when and why, stays.
        task = task._replace(erasing=begun)
        if not task.delete:
            raise _refused(task, "its erasure has begun and was interrupted", "Finish it with {setting:yes=True}.")
    elif not task.delete:
        plan = await _plan(task)
        await _refuse(task, plan)
        return _result(task, plan.runs, plan.files, ())
    record = await load(task.store, task.settings.layout.erasure(task.erasing)) if begun else None
    if record and record.value.refused:
        # It was killed before it took the mark away.
        await unmark(task)
        raise _refused(task, "its erasure was refused, as a run had come between", "Repeat this.")
    record = record or await _begin(task, marked=begun is not None)
    await _refuse_unsigned(task, record.value.runs)
    for run in record.value.runs:
        await rewrite(task, run)
    if any(file.name.startswith(task.settings.layout.iceberg) for file in record.value.files):
        await _forget_snapshots(task, record.value.files)
    deleted, held = await delete_files(task, record)
    await unmark(task)
    runs, files = counted(len(record.value.runs), "run"), counted(len(deleted), "file")
    message, done = "erased table %s from %s: %s deleted", LogEvent.TABLE_ERASED.extra(table=task.erasing.table)
    log.info(message, task.erasing.table, runs, files, extra=done)
    return _result(task, record.value.runs, deleted, held)


async def _begin(task: Task, *, marked: bool) -> Loaded[Erasure]:
    """The record of an erasure that nothing stands against. marked: the mark is there already.

    A start that was killed, or works beside this one, may have looked only before the mark. Each looks under it; the
    first that stores the record decides for all.
    """
    if not marked:
        await _refuse(task, await _plan(task))
        await mark(task)
    document = task.settings.layout.erasure(task.erasing)
    try:
        # What has come meanwhile is found now, and what comes later finds the mark.
        plan = await _plan(task)
        await _refuse(task, plan)
        erasure = Erasure(erasing=task.erasing, runs=plan.runs, files=plan.files, copied=plan.again)
        record = await create(task.store, document, erasure)
    except BqdumpError:
        refusal = Erasure(erasing=task.erasing, runs=(), files=(), refused=True)
        record = await create(task.store, document, refusal)
        if record.value.refused:
            await unmark(task)
            raise
        return record
    if record.value.refused:
        await unmark(task)
        raise _refused(task, "another start of its erasure was refused, as a run had come between", "Repeat this.")
    if not await _is_marked(task):
        # A run that was planned before there was a record may have found neither.
        await overwrite(task.store, document, replace(record.value, refused=True))
        await unmark(task)
        raise _refused(task, f"{task.settings.layout.erasing.name} was changed meanwhile", "Repeat this.")
    for earlier in plan.held if record.mine else ():
        # This one has their files now.
        await overwrite(task.store, task.settings.layout.erasure(earlier.erasing), replace(earlier, files=()))
    return record


async def _is_marked(task: Task) -> bool:
    with suppress(DocumentError):
        return await value_of(task.store, task.settings.layout.erasing) == task.erasing
    return False


async def _latest(task: Task) -> Latest:
    latest = await read_latest(task.store, task.settings)
    if latest is None:
        runs = await task.store.folders(task.settings.layout.runs)
        finish = "has not ended, and may have it: finish it, or repeat the copy, then this."
        hint = f"Run {runs[0]} {finish}" if runs else ""
        raise NotFoundError(ERASE, f"an export in {task.settings.target}", "nothing has been published there yet", hint)
    if latest.locked:
        hint = "Erase it elsewhere, and let the runs here be pruned once their locks end."
        info = await task.store.stat(task.settings.layout.run(latest.run).manifest.name)
        until = f" until {rfc3339(info.locked_until)}" if info and info.locked_until else ""
        cause = f"every object in {task.settings.target} is locked{until}, so no manifest is written anew"
        raise _refused(task, cause, hint)
    return latest


def _refused(task: Task, cause: str, hint: str) -> UsageError:
    return UsageError(ERASE, f"table {task.erasing.table}", cause, hint)


async def _plan(task: Task) -> ErasurePlan:
    """The runs whose manifests name the table, as of before the given time, and everything that they name of it."""
    layout, table = task.settings.layout, task.erasing.table
    try:
        known = await survey(_surveying(task))
    except UsageError as error:
        raise UsageError(ERASE, error.subject, error.cause, "Nothing was changed.") from None

    # No reader finds what was pruned, but its files wait for a day, and a tag may bring it back.
    runs = [*(run.run for run in known.complete), *(run.run for run in known.marked)]
    documents = [layout.run(run).manifest for run in runs]
    stored = await gathered(lambda document: value_of(task.store, document), documents, READS_AT_ONCE)
    manifests = [manifest for manifest in stored if manifest]
    for complete, manifest in zip(known.complete, stored, strict=False):
        # Of one that is pruned meanwhile, the mark is there.
        if manifest is None and not await exists(task.store, layout.mark(complete.run)):
            entry = layout.entry(complete.run, complete.snapshot).name
            raise lost(layout, complete.run, f"{entry} shows that the run was complete", entry, NOTHING_CHANGED)
    having = [manifest for manifest in manifests if concerns(manifest, task.erasing)]
    files = [file for manifest in having for file in versions_in(manifest, task.erasing)]
    if any(manifest.settings.get("iceberg") for manifest in having):
        files += await _metadata(task, {manifest.run for manifest in having})
    signed = [manifest.run for manifest in having if await exists(task.store, layout.run(manifest.run).signature)]
    notes = [note for manifest in manifests for note in manifest.erased if note.table == table]
    copied = frozenset(manifest.run for manifest in manifests if manifest.copy_of)
    held = await earlier_records(task, _surveying(task) if copied else None)
    files += [file for record in held for file in record.files]
    return ErasurePlan(
        known,
        runs=tuple(manifest.run for manifest in having),
        files=tuple(dict.fromkeys(files)),
        signed=tuple(signed),
        altered=next(iter([run for run in signed if await _is_altered(task, run)]), ""),
        partial=tuple(manifest.run for manifest in having if leaves(manifest, task.erasing)),
        named=frozenset(entry.table for manifest in manifests for entry in manifest.tables),
        before=max(notes, key=lambda note: note.at, default=None),
        held=tuple(held),
        copied=copied,
        again=tuple(dict.fromkeys(file for manifest in having for file in expected_in(manifest, task.erasing))),
    )


async def _metadata(task: Task, runs: Collection[str]) -> list[ObjectVersion]:
    """The Iceberg metadata of the table that is named after these runs; all of it if no run keeps the table."""
    from bqdump.core.iceberg.table import HINT, run_of

    pages = task.store.objects(task.settings.layout.iceberg_table(task.erasing.table))
    return [
        ObjectVersion(info.name, info.generation, info.size)
        async for page in pages
        for info in page
        if run_of(info.name) in runs or (not task.erasing.before and not info.name.endswith(HINT))
    ]


def _surveying(task: Task) -> Surveying:
    return Surveying(task.store, task.settings, Policy(), task.erasing.at)


async def _is_altered(task: Task, run: str) -> bool:
    stored = await read(task.store, task.settings.layout.run(run).manifest)
    return stored is not None and await is_altered(task, run, stored.data)


async def _refuse(task: Task, plan: ErasurePlan) -> None:
    """Raise for whatever stands against an erasure."""
    known = plan.survey
    if not plan.runs and not plan.held:
        table, close = task.erasing.table, close_name(task.erasing.table, plan.named)
        cause = f"no kept run has it{f'; did you mean {close!r}?' if close else ''}"
        if table in plan.named:
            cause = f"no kept run has it as of a time before {rfc3339(task.erasing.before)}"
        elif plan.before:
            cause = f"no kept run has it any more; it was {words_of(plan.before)}"
        raise NotFoundError(ERASE, f"table {task.erasing.table}", cause, "{call:ls} lists the tables of a run.")
    if known.unfinished:
        run, copied = known.unfinished[0].run, known.unfinished[0].copied
        finish = "repeat the copy" if copied else f"finish it ({{call:run run_id={run}}})"
        delete = f"{{call:prune run={run} abandoned_after=1h yes}}"
        hint = f"Let it end or {finish}, or delete it an hour after it was stopped: {delete}."
        raise _refused(task, f"run {run} has not ended, and may name files of it", hint)
    later = [run.run for run in known.complete if known.latest and run.age > known.latest.age]
    if unpublished := sorted({*later, *(known.named - {known.latest.run if known.latest else ""})}):
        run = unpublished[0]
        if run in plan.copied or run in known.named:
            hint = "Repeat the copy, then this." if run in plan.copied else "Repeat this once it is."
            raise _refused(task, f"run {run} is being published", hint)
        enter = await enter_again(task.store, task.settings, run)
        hint = f"Repeat this once it is. If its tasks have ended, {enter[0].lower()}{enter[1:]}"
        raise _refused(task, f"run {run} is complete, and not in the log yet", hint)
    if plan.signed and task.signer is None:
        raise _unsigned(task, plan.signed[0])
    if plan.altered:
        raise altered_error(task, plan.altered)
    if task.erasing.before and plan.partial:
        cause = f"run {plan.partial[0]} is partial, and does not say how old the rows are that it has of it"
        hint = f"Delete it ({{call:prune run={plan.partial[0]}}}), or erase the table without {{setting:before}}."
        raise _refused(task, cause, hint)


def _unsigned(task: Task, run: str) -> UsageError:
    cause = f"the manifest of run {run} is signed, and would be without a signature"
    return _refused(task, cause, "Sign the manifests that are written anew with {setting:sign}.")


async def _refuse_unsigned(task: Task, runs: Iterable[str]) -> None:
    """Raise UsageError where an erasure that was begun with a key would go on without it."""
    for run in runs if task.signer is None else ():
        if await exists(task.store, task.settings.layout.run(run).signature):
            raise _unsigned(task, run)


async def _forget_snapshots(task: Task, files: Collection[ObjectVersion]) -> None:
    """Take the snapshots of these files out of the Iceberg metadata of the table."""
    from bqdump.retain.iceberg import forget_table

    if latest := await read_latest(task.store, task.settings):
        await forget_table(_surveying(task), latest, files, task.erasing.table)


def _result(task: Task, runs: Iterable[str], files: Iterable[ObjectVersion], held: Iterable[Held]) -> ErasedFrom:
    deleted, erasing = list(files), task.erasing
    return ErasedFrom(
        table=erasing.table,
        target=str(task.settings.target),
        runs=tuple(runs),
        files=len(deleted),
        bytes=sum(file.size for file in deleted),
        at=time_of(erasing.at),
        by=erasing.by,
        reason=erasing.reason,
        held=tuple(held),
    )
