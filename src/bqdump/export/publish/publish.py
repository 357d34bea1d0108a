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
from bqdump.core.documents.target import Latest
from bqdump.core.errors import UnavailableError, VerificationError
from bqdump.core.plan.record import Placed, Record, make_manifest
from bqdump.export.collected import Collected
from bqdump.export.publish.clear import delete
from bqdump.export.publish.collect import all_tables, collect, partition_entries, prove, read_definitions
from bqdump.export.publish.latest import has_ended, pointer_to, read_manifest_files
from bqdump.export.task import Exported, RunningExport
from bqdump.ports.store import ObjectInfo
from bqdump.repository.ledger import Ledger
from bqdump.repository.published import move_latest, read_latest
from bqdump.repository.references import pruned_meanwhile
from bqdump.repository.repository import Loaded, replace


class Published(NamedTuple):
    """How publishing ended. `superseded`: a run with a later snapshot time is published."""

    result: Literal["published", "superseded"]
    manifest: ManifestFiles | None


async def publish(export: RunningExport, ledger: Ledger) -> Published:
    """Publish the tables in the ledger. Raises VerificationError when files are missing; nothing is published then."""
    stored = await read_manifest_files(export) or await _make_manifest(export, ledger)
    if stored is None:
        await _step_aside(export)
        return Published("superseded", None)
    manifest = stored.value
    if signer := export.task.signer:
        from bqdump.repository.signatures import sign_manifest

        await sign_manifest(export.store, export.settings.target, export.layout, signer)
    if not await _point(export, manifest, stored.generation):
        await _step_aside(export)
        return Published("superseded", manifest)
    await export.placement.clear(export, manifest)
    await export.extra.show(export, manifest)
    return Published("published", manifest)


async def _step_aside(export: RunningExport) -> None:
    """Leave the final names to a later run."""
    await export.placement.step_aside(export)
    await export.extra.withdraw(export)


async def _make_manifest(export: RunningExport, ledger: Ledger) -> Loaded[ManifestFiles] | None:
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
    return await _store(export, manifest, proved.placed) if proved else await read_manifest_files(export)


class _Proved(NamedTuple):
    """A run whose files are complete and at their final names, with the published run."""

    tables: Sequence[TablePlan]
    definitions: Definitions
    collected: Collected
    latest: Latest | None
    placed: Placed


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
    latest = await read_latest(export.store, export.settings)
    placed = await export.placement.place(export, Exported(tables, collected, failed, latest, dropped))
    return _Proved(tables, definitions, collected, latest, placed) if placed else None


async def _describe(export: RunningExport, ledger: Ledger, proved: _Proved) -> Manifest:
    tables, placed, collected = proved.tables, proved.placed, proved.collected
    files = {table: _counted(files, collected.written[table], collected.rows) for table, files in placed.files.items()}
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


async def _store(export: RunningExport, manifest: Manifest, placed: Placed) -> Loaded[ManifestFiles] | None:
    """Store the manifest, unless another task of the run has: then the other one counts."""
    if generation := await replace(export.store, export.layout.manifest, manifest, 0):
        return await _unless_pruned(export, manifest, generation, placed)
    stored = await read_manifest_files(export)
    await export.extra.drop(export, manifest, stored.value if stored else None)
    if stored:
        return stored
    cause = "the bucket has refused the manifest, and holds none"
    raise UnavailableError("publish", f"run {export.plan.run}", cause)


async def _unless_pruned(
    export: RunningExport, manifest: Manifest, generation: int, placed: Placed
) -> Loaded[ManifestFiles] | None:
    """The manifest that this task has stored; None where the run is being pruned: then nothing of it stays.

    Prune does not know what was written after it had listed the run's files.
    """
    if not (gone := await pruned_meanwhile(export.store, export.layout, export.plan)):
        document = export.layout.manifest_files
        return Loaded(decode(encode(manifest), document.type, document.name), generation, mine=True)
    await delete(export, [(export.layout.manifest.name, generation)])
    if gone == "pruned":
        await export.extra.drop(export, manifest, None)
        if not export.plan.replaces:
            await delete(export, ((file.name, file.generation) for files in placed.files.values() for file in files))
    return None


def _counted(files: list[File], written: list[ObjectInfo], rows: dict[str, int | None]) -> list[File]:
    """The files, each with the rows that were counted where it was written."""
    return [
        File(file.name, file.size, file.crc32c, file.generation, rows[info.name])
        for file, info in zip(files, written, strict=True)
    ]


async def _point(export: RunningExport, manifest: ManifestFiles, generation: int) -> bool:
    """Move latest.json to this run; False when a later run is there, or about to be."""
    ready = await pointer_to(export, manifest, generation)
    if not await export.placement.make_ready(export, ready):
        # A run that has announced itself since has published this one, if it was ready before.
        latest = await read_latest(export.store, export.settings)
        return latest is not None and latest.run == export.plan.run
    return await move_latest(export.store, export.settings, ready)
