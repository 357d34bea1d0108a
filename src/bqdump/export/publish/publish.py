"""Publishing: making a run the published one. Any task may repeat any step, any number of times.

files in place → manifest (create-only) → signature (with a key) → latest.json (only forward in time) →
stale files away.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Literal, NamedTuple

from bqdump.core.documents.codec import decode, encode
from bqdump.core.documents.definitions import Definitions
from bqdump.core.documents.manifest import File, Manifest, ManifestFiles
from bqdump.core.documents.run import TablePlan
from bqdump.core.documents.target import Latest, LogEntry, Publishing, entry_of
from bqdump.core.errors import UnavailableError, VerificationError
from bqdump.core.plan.record import Record, make_manifest
from bqdump.core.progress.events import Entered
from bqdump.export.collected import Collected, Exported
from bqdump.export.publish.clear import delete, leaves_stale
from bqdump.export.publish.collect import all_tables, collect, partition_entries, prove, read_definitions
from bqdump.export.publish.latest import has_ended, pointer_to, read_manifest_files
from bqdump.export.task import InPlace, RunningExport
from bqdump.pool.tables import Ledger
from bqdump.ports.store import ObjectInfo
from bqdump.repository.manifests import contents_of
from bqdump.repository.pruned_runs import is_pruned, refuse_late
from bqdump.repository.publication import Moved, enter
from bqdump.repository.published import read_base
from bqdump.repository.repository import Known, Loaded, exists, replace

# Manifests up to this size stay in memory for the report.
KEPT_BYTES = 1 << 20


class Published(NamedTuple):
    """How publishing ended. `superseded`: a run with a later snapshot time is published.

    before: the run that was published before.
    document: the manifest as this process has stored it.
    """

    result: Literal["published", "superseded"]
    manifest: ManifestFiles | None
    before: Latest | None = None
    document: bytes | None = None


async def publish(export: RunningExport, ledger: Ledger) -> Published:
    """Publish the tables in the ledger. Raises VerificationError when files are missing; nothing is published then."""
    earlier = None if export.made else await read_manifest_files(export)
    stored = _Stored(earlier) if earlier else await _make_manifest(export, ledger)
    if stored is None:
        await _step_aside(export)
        return Published("superseded", None)
    manifest = stored.files.value
    if signer := export.task.signer:
        from bqdump.repository.signatures import sign_manifest

        await sign_manifest(export.store, export.settings.target, export.layout, signer)
    moved = await _point(export, stored)
    if not moved.shows(export.plan.run):
        await _step_aside(export)
        return Published("superseded", manifest)
    export.tell(Entered("finishing"))
    await export.placement.clear(export, manifest, moved.stored, stored.staged)
    await export.extra.show(export, manifest)
    return Published("published", manifest, moved.before, stored.document)


async def _step_aside(export: RunningExport) -> None:
    """Leave the final names to a later run."""
    await export.placement.step_aside(export)
    await export.extra.withdraw(export)


class _Stored(NamedTuple):
    """The manifest that is stored. Of one that this process has stored, also what publishing saw before.

    latest: the published run then, None for none.
    announced, staged: see InPlace.
    document: its bytes, unless it is large.
    entry: made of it for the log.
    """

    files: Loaded[ManifestFiles]
    latest: Latest | None = None
    announced: Known[Publishing] = "unread"
    staged: Sequence[ObjectInfo] | None = None
    document: bytes | None = None
    entry: LogEntry | None = None


async def _make_manifest(export: RunningExport, ledger: Ledger) -> _Stored | None:
    """Prove the files, bring them to their final names, and store the manifest.

    Returns the manifest that is stored; None when a later run has taken over.
    """
    proved = None
    try:
        if proved := await _prove(export, ledger):
            manifest = await _describe(export, ledger, proved)
    except VerificationError:
        # Files may be missing because another task has ended the run meanwhile, or a later run has replaced them.
        if not await has_ended(export):
            raise
        proved = None
    if proved:
        return await _store(export, manifest, proved)
    stored = await read_manifest_files(export)
    return _Stored(stored) if stored else None


class _Proved(NamedTuple):
    """A run whose files are complete and at their final names, with the published run."""

    tables: Sequence[TablePlan]
    definitions: Definitions
    collected: Collected
    latest: Latest | None
    in_place: InPlace


async def _prove(export: RunningExport, ledger: Ledger) -> _Proved | None:
    """Compare the files with their receipts and their rows with BigQuery's counts, and place them.

    None when the run has ended meanwhile. Raises VerificationError when files are missing or hold other rows.
    """
    tables, definitions = await asyncio.gather(all_tables(export), read_definitions(export))
    collected = await collect(export, tables, ledger.done)
    await export.extra.prepare(export, tables, collected)
    await prove(export, tables, ledger.done, collected)
    failed = frozenset(failure.table for failure in ledger.failed)
    dropped = frozenset(failure.table for failure in ledger.dropped)
    latest = await read_base(export.store, export.settings)
    exported = Exported(tables, collected, failed, latest, dropped)
    in_place = await export.placement.place(export, exported)
    return _Proved(tables, definitions, collected, latest, in_place) if in_place else None


async def _describe(export: RunningExport, ledger: Ledger, proved: _Proved) -> Manifest:
    tables, placed, collected = proved.tables, proved.in_place.placed, proved.collected
    files = {table: _counted(files, collected.written[table], collected) for table, files in placed.files.items()}
    record = Record(
        export.plan,
        tables,
        proved.definitions,
        receipts={table: done.receipt for table, done in ledger.done.items()},
        partitions={
            table.id: partition_entries(collected, table.id)
            for table in tables
            if table.partitions and table.id in files
        },
        failed=ledger.failed,
        dropped=ledger.dropped,
        placed=placed._replace(files=files),
        number=proved.latest.number + 1 if proved.latest else 1,
    )
    return await export.extra.describe(export, make_manifest(record), proved.latest)


async def _store(export: RunningExport, manifest: Manifest, proved: _Proved) -> _Stored | None:
    """Store the manifest, unless another task of the run has: then the other one counts."""
    if generation := await replace(export.store, export.layout.manifest, manifest, 0):
        return await _unless_pruned(export, manifest, generation, proved)
    stored = await read_manifest_files(export)
    await export.extra.drop(export, manifest, stored.value if stored else None)
    if stored:
        return _Stored(stored)
    cause = "the bucket has refused the manifest, and holds none"
    raise UnavailableError("publish", f"run {export.plan.run}", cause)


async def _unless_pruned(export: RunningExport, manifest: Manifest, generation: int, proved: _Proved) -> _Stored | None:
    """The manifest that this task has stored; None where the run was pruned: then nothing of it stays.

    Prune does not know what was written after it had listed the run's files.
    """
    if not await is_pruned(export.store, export.settings.layout, export.plan.run):
        document, data = export.layout.manifest_files, encode(manifest)
        files = Loaded(decode(data, document.type, document.name), generation, mine=True)
        kept, in_place = data if len(data) <= KEPT_BYTES else None, proved.in_place
        iceberg = any(table.iceberg for table in (*files.value.tables, *files.value.left))
        entry = entry_of(contents_of(data, document.name), data, generation, iceberg=iceberg)
        return _Stored(files, proved.latest, in_place.announced, in_place.staged, kept, entry)
    await delete(export, [(export.layout.manifest.name, generation)])
    await export.extra.drop(export, manifest, None)
    if not export.plan.replaces:
        every = proved.in_place.placed.files.values()
        await delete(export, ((file.name, file.generation) for files_ in every for file in files_))
    return None


def _counted(files: list[File], written: list[ObjectInfo], collected: Collected) -> list[File]:
    """The files, each with the rows that were counted, and the SHA-256 that was computed, where it was written."""
    rows, digests = collected.rows, collected.digests
    return [
        File(file.name, file.size, file.crc32c, file.generation, rows[info.name], digests.get(info.name, ""))
        for file, info in zip(files, written, strict=True)
    ]


async def _refuse_late(export: RunningExport, manifest: ManifestFiles) -> None:
    """Raise UnavailableError if a run whose files this one names was pruned too long ago, unless it is in the log.

    The manifest stays, as another task of the run may enter it at this moment, having looked in time.
    """
    plan = export.plan
    if not (plan.all_reused or manifest.totals.carried or manifest.left):
        return
    try:
        await refuse_late(export.store, export.settings, plan.run, {plan.over, manifest.over} - {""})
    except UnavailableError:
        if not await exists(export.store, export.settings.layout.entry(plan.run, plan.snapshot)):
            raise


async def _point(export: RunningExport, stored: _Stored) -> Moved:
    """Enter the run in the log, unless a later run that replaces files is there, or about to be.

    Raises UnavailableError if files that it reuses may be deleted: see `repository.pruned_runs`.
    """
    await _refuse_late(export, stored.files.value)
    pointer = await pointer_to(export, stored.files.value, stored.files.generation)
    ready = await export.placement.make_ready(export, pointer, stored.announced)
    before = stored.latest
    if ready is None:
        # A run that has announced itself since has published this one, if it was ready before.
        latest = await read_base(export.store, export.settings)
        return Moved(Loaded(latest, 0) if latest else None, before)
    clean = before if before and not leaves_stale(export, stored.files.value, before) else None
    return await enter(export.store, export.settings, ready, stored.entry, clean)
