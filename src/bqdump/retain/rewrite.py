"""The manifests of kept runs, written anew without a table, and everything that is made from them.

The mark of an erasure in latest.json, and the files that no manifest names after it.
"""

from __future__ import annotations

from collections.abc import Container
from contextlib import suppress
from datetime import timedelta
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from bqdump.concurrency import gathered
from bqdump.core.documents.codec import decode, encode
from bqdump.core.documents.document import Document
from bqdump.core.documents.manifest import Erased, Manifest
from bqdump.core.documents.retention import Erasure, ObjectVersion
from bqdump.core.documents.run_layout import RunLayout
from bqdump.core.documents.sets import DatasetEntry, SetManifest
from bqdump.core.documents.signature import Envelope
from bqdump.core.documents.target import Erasing, IcebergTables, entry_of
from bqdump.core.errors import BqdumpError, DocumentError, NotFoundError, UsageError
from bqdump.core.retention.erased import Held, concerns, without_table
from bqdump.core.retention.pruned import Sweep
from bqdump.core.settings.settings import Settings
from bqdump.core.times import period_text, time_of
from bqdump.core.wording import COMMANDS, fill
from bqdump.ports.signer import Signer
from bqdump.ports.store import ObjectInfo, ObjectStore
from bqdump.repository.log import read_log_with_pruned
from bqdump.repository.manifests import contents_of
from bqdump.repository.objects import write_object
from bqdump.repository.publication import show_latest
from bqdump.repository.repository import Loaded, create, delete, exists, load, overwrite, read, swap, value_of
from bqdump.repository.repository import replace as store_over
from bqdump.repository.storage import READS_AT_ONCE, erasure_records
from bqdump.retain.survey import Task as Surveying
from bqdump.retain.sweep import erased_again


class Task(NamedTuple):
    """One erasure of a table from the runs of one export.

    erasing: what is requested, from now on.
    signer: signs the manifests that are written anew.
    delete: False only shows.
    """

    store: ObjectStore
    settings: Settings
    erasing: Erasing
    signer: Signer | None = None
    delete: bool = False


async def rewrite(task: Task, run: str) -> None:
    """Write the manifest of a run without the table, and what is made from it. Nothing where the run is gone."""
    store, names, erasing = task.store, task.settings.layout.run(run), task.erasing
    note = Erased(erasing.table, erasing.at, erasing.by, erasing.reason)
    while stored := await read(store, names.manifest):
        manifest = decode(stored.data, Manifest, names.manifest.name)
        due = concerns(manifest, erasing) or note not in manifest.erased
        if await is_altered(task, run, stored.data):
            raise altered_error(task, run)
        if due:
            # Its index has places in it, so it goes first.
            await _delete(store, names.contents.name)
            manifest = without_table(manifest, note)
            if task.signer and await exists(store, names.signature):
                await _sign_ahead(task, run, manifest, task.signer)
            if not await store_over(store, names.manifest, manifest, stored.generation):
                continue
        # A prune may delete the run at any time: then there is nothing to be made from it.
        with suppress(NotFoundError):
            await _update_derived(task, run, manifest)
        await show_latest(store, task.settings)
        return


async def is_altered(task: Task, run: str, manifest: bytes) -> bool:
    """Whether a run has a signature, and its manifest is not what the signer's key has signed, or was about to.

    To sign it again would make what somebody else has written there valid. False without a signer.
    """
    names = task.settings.layout.run(run)
    stored = await read(task.store, names.signature) if task.signer else None
    if task.signer is None or stored is None:
        return False
    from bqdump.repository.signatures import signature_of

    with suppress(msgspec.MsgspecError):
        mine = await signature_of(manifest, names, task.settings.target, task.signer)
        with suppress(DocumentError):
            if mine in decode(stored.data, Envelope, names.signature.name).signatures:
                return False
        # It may have been killed between the manifest and its signature.
        record = await value_of(task.store, task.settings.layout.erasure(task.erasing))
        return record is None or record.signed.get(run) != mine
    return True


def altered_error(task: Task, run: str) -> UsageError:
    """The error about a run that would be signed although this key has not signed what is there."""
    cause = f"the manifest of run {run} is not what its signature of this key is about, or another key has signed it"
    hint = "Find out who changed it. Then restore it, delete the run, or use the key that has signed it."
    return UsageError("erase", f"table {task.erasing.table}", cause, hint)


async def _sign_ahead(task: Task, run: str, manifest: Manifest, signer: Signer) -> None:
    """Record the signature of a manifest before it is stored: a repeated erasure knows it by that."""
    from bqdump.repository.signatures import signature_of

    mine = await signature_of(encode(manifest), task.settings.layout.run(run), task.settings.target, signer)

    async def step(now: Erasure | None) -> Erasure | None:
        return replace(now, signed={**now.signed, run: mine}) if now and now.signed.get(run) != mine else None

    await swap(task.store, task.settings.layout.erasure(task.erasing), step)


async def mark(task: Task) -> None:
    """Note that the erasure has begun: from now on, no run is planned. Raises UsageError if another one has begun."""
    await _delete_mark(task, (None,))
    begun = await create(task.store, task.settings.layout.erasing, task.erasing)
    if not begun.mine:
        raise UsageError("erase", f"table {task.erasing.table}", "another erasure has begun", "Repeat this.")


async def unmark(task: Task) -> None:
    """Take the mark of the erasure away."""
    await _delete_mark(task, (None, task.erasing))


async def _delete_mark(task: Task, of: Container[Erasing | None]) -> None:
    """Delete the mark if it is of one of these; None: if it is damaged."""
    document = task.settings.layout.erasing
    if stored := await read(task.store, document):
        begun = None
        with suppress(DocumentError):
            begun = decode(stored.data, document.type, document.name)
        if begun in of:
            await delete(task.store, [(document.name, stored.generation)])


async def _update_derived(task: Task, run: str, manifest: Manifest) -> None:
    """Write anew what is made from the manifest of a run."""
    # Imported where a page is rendered only.
    from bqdump.pages.report import render_report

    store, names = task.store, task.settings.layout.run(run)
    stored = await store.read(names.manifest.name)
    contents = contents_of(stored.data, names.manifest.name)
    await overwrite(store, names.contents, contents)
    document = task.settings.layout.entry(run, manifest.snapshot)
    if await exists(store, document):
        # An erasure writes the manifest anew, so the entry that is about it as well.
        iceberg = await exists(store, names.iceberg)
        await overwrite(store, document, entry_of(contents, stored.data, stored.generation, iceberg=iceberg))
    if page := await store.stat(names.report):
        await write_object(store, names.report, render_report(manifest, None), page.generation)
    await _delete_planned(store, names)
    if task.signer and await exists(store, names.signature):
        from bqdump.repository.signatures import sign_manifest

        await sign_manifest(store, task.settings.target, names, task.signer, written=manifest)
    if manifest.settings.get("iceberg"):
        folder = task.settings.layout.iceberg_table(task.erasing.table)

        async def step(now: IcebergTables | None) -> IcebergTables | None:
            if now is None:
                return None
            tables = {table: name for table, name in now.tables.items() if table != task.erasing.table}
            rewritten = tuple(file for file in now.rewritten if not file.name.startswith(folder))
            changed = replace(now, tables=tables, rewritten=rewritten)
            return None if changed == now else changed

        await swap(store, names.iceberg, step)


async def _delete_planned(store: ObjectStore, names: RunLayout) -> None:
    """Delete what was planned of columns and row access policies, which a complete run does not need."""
    with suppress(DocumentError):
        if plan := await value_of(store, names.plan):
            for name in filter(None, (plan.units, plan.definitions)):
                await _delete(store, name)


async def _delete(store: ObjectStore, name: str) -> None:
    if info := await store.stat(name):
        await delete(store, [(info.name, info.generation)])


async def earlier_records(task: Task, copies: Surveying | None) -> list[Erasure]:
    """The records of earlier erasures of the table that have files: they could not be deleted, or are there again.

    copies: where it holds copies, how to look for what tasks that are late have stored again.
    """
    again = await erased_again(copies, task.erasing.table) if copies else []
    found = [replace(record.value, files=tuple(files)) for record, files in again]
    records = await erasure_records(task.store, task.settings.layout, task.erasing.table)
    return [*found, *(record.value for record in records if record.value.done and record.value.files)]


async def delete_files(task: Task, record: Loaded[Erasure]) -> tuple[list[ObjectVersion], list[Held]]:
    """Delete the files of the record that no manifest names any more; what is deleted, and what the store holds."""
    store, layout, left = task.store, task.settings.layout, Sweep(record.value.files)

    pruned = (await read_log_with_pruned(store, layout)).pruned

    async def look(run: str) -> None:
        with suppress(NotFoundError):
            if stored := await load(store, layout.run(run).manifest_files):
                left.mark(stored.value)
            elif copying := await value_of(store, layout.run(run).copying):
                left.keep(copying.names)

    runs = [run for run in await store.folders(layout.runs) if run not in pruned]
    await gathered(look, runs, READS_AT_ONCE)
    files, deleted, held = left.files, list[ObjectVersion](), list[Held]()
    answers = await store.delete([(file.name, file.generation) for file in files])
    bucket = await _bucket(task)
    for file, answer in zip(files, answers, strict=True):
        if isinstance(answer, BqdumpError):
            info = await store.stat(file.name)
            held.append(_held_until(file, answer, info, bucket))
        elif answer:
            deleted.append(file)
    remaining = tuple(file for file in files if any(held_file.name == file.name for held_file in held))
    await overwrite(store, layout.erasure(task.erasing), replace(record.value, files=remaining, done=True))
    return deleted, held


async def _bucket(task: Task) -> int:
    """How long the bucket keeps objects, in seconds; 0 for not, or where that may not be seen."""
    with suppress(BqdumpError):
        return (await task.store.describe()).retention_seconds
    return 0


def _held_until(file: ObjectVersion, error: BqdumpError, info: ObjectInfo | None, retention_seconds: int) -> Held:
    """An object that the store has refused to delete. retention_seconds: how long its bucket keeps objects."""
    until = time_of(info.locked_until) if info and info.locked_until else None
    if until is None and info and info.updated and retention_seconds:
        until = time_of(info.updated) + timedelta(seconds=retention_seconds)
    return Held(file.name, fill(error.cause, COMMANDS), until)


async def not_erased(task: Task) -> list[str]:
    """What the erasure does not reach, in sentences."""
    others = "Copies of these runs in other places are not touched: erase the table there as well."
    with suppress(BqdumpError):
        bucket = await task.store.describe()
        if bucket.versions:
            return [others, f"{task.store.url} keeps deleted files as noncurrent versions: delete these, too."]
        if bucket.soft_delete_seconds:
            kept = period_text(bucket.soft_delete_seconds)
            return [others, f"{task.store.url} keeps deleted files for {kept} (soft delete)."]
    return [others]


async def refuse_unfinished_set(store: ObjectStore, settings: Settings, table: str) -> None:
    """Raise UsageError while a run of a set has not ended: it would name manifests as they were."""
    layout = settings.layout
    newest, manifest = await value_of(store, layout.newest), await value_of(store, layout.set_manifest)
    if manifest and manifest.locked:
        # Each of its datasets is refused, until when it is locked.
        return
    if newest and manifest and newest.run != manifest.run:
        hint = "Let it end, finish it, or start another one."
        raise UsageError("erase", f"table {table}", f"run {newest.run} of the set has not ended", hint)


async def update_set(store: ObjectStore, settings: Settings) -> None:
    """Let the document of a set name the manifests of its datasets as erasures have left them."""

    async def entry_now(entry: DatasetEntry) -> DatasetEntry:
        stored = await load(store, Document(entry.manifest, Manifest)) if entry.manifest else None
        if stored is None or not stored.value.erased:
            return entry
        totals, of = stored.value.totals, stored.generation
        sums = {"tables": totals.tables, "rows": totals.rows, "files": totals.files, "bytes": totals.bytes}
        return replace(entry, manifest_generation=of, **sums)

    async def step(now: SetManifest | None) -> SetManifest | None:
        if now is None or now.locked:
            return None
        changed = replace(now, datasets=tuple([await entry_now(entry) for entry in now.datasets]))
        return None if changed == now else changed

    await swap(store, settings.layout.set_manifest, step)
    now = await value_of(store, settings.layout.set_manifest)
    page = now and not now.locked and await store.stat(name := settings.layout.set_run(now.run).report)
    if now and page:
        # Imported where a page is rendered only.
        from bqdump.pages.report import render_set

        await write_object(store, name, render_set(now), page.generation)
