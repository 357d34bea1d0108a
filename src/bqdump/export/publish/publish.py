"""Publishing: making a run the published one. Any task may repeat any step, any number of times.

files in place → manifest (create-only) → signature (with a key) → latest.json (only forward in time) →
stale files away.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Literal, NamedTuple

from bqdump.core.documents.codec import decode, encode
from bqdump.core.documents.manifest import File, Manifest, ManifestFiles
from bqdump.core.errors import UnavailableError, VerificationError
from bqdump.core.plan.record import make_manifest
from bqdump.export.publish.clear import delete
from bqdump.export.publish.collect import all_tables, collect, partition_entries, prove, read_definitions
from bqdump.export.publish.latest import has_ended, pointer_to, read_manifest_files
from bqdump.export.task import Exported, Placed, RunningExport
from bqdump.ports.store import ObjectInfo
from bqdump.repository.ledger import Ledger
from bqdump.repository.published import move_latest, read_latest
from bqdump.repository.references import pruned_meanwhile
from bqdump.repository.repository import Loaded, replace

log = logging.getLogger(__name__)


class Published(NamedTuple):
    """How publishing ended. `superseded`: a run with a later snapshot time is published."""

    result: Literal["published", "superseded"]
    manifest: ManifestFiles | None


async def publish(export: RunningExport, ledger: Ledger) -> Published:
    """Publish the tables in the ledger. Raises VerificationError when files are missing; nothing is published then."""
    hints = dict[str, int]()
    made = await read_manifest_files(export) or await _make_manifest(export, ledger, hints)
    if made is None:
        await _step_aside(export)
        return Published("superseded", None)
    manifest = made.value
    if signer := export.task.signer:
        from bqdump.repository.signatures import sign_manifest

        await sign_manifest(export.store, export.settings.target, export.layout, signer)
    if not await _point(export, manifest, made.generation):
        await _step_aside(export)
        return Published("superseded", manifest)
    await export.placement.clear(export, manifest)
    if export.settings.iceberg:
        from bqdump.export.publish.iceberg import show_metadata
        from bqdump.export.publish.lake import clear_scratch

        await show_metadata(export, manifest, hints)
        await clear_scratch(export)
    return Published("published", manifest)


async def _step_aside(export: RunningExport) -> None:
    """Leave the final names, and those of Iceberg tables, to a later run."""
    await export.placement.step_aside(export)
    if export.settings.iceberg:
        from bqdump.export.publish.iceberg import withdraw_metadata

        await withdraw_metadata(export)


async def _make_manifest(export: RunningExport, ledger: Ledger, hints: dict[str, int]) -> Loaded[ManifestFiles] | None:
    """Prove the files, bring them to their final names and store the manifest. hints: see with_iceberg.

    Returns the manifest that is stored; None when a later run has taken over.
    """
    tables, definitions = await asyncio.gather(all_tables(export), read_definitions(export))
    done = ledger.done
    try:
        collected = await collect(export, tables, done)
        if export.settings.iceberg:
            # Imported by runs that need it only.
            from bqdump.export.publish.lake import add_field_ids

            await add_field_ids(export, tables, collected)
        await prove(export, tables, done, collected)
        failed = frozenset(failure.table for failure in ledger.failed)
        dropped = frozenset(failure.table for failure in ledger.dropped)
        latest = await read_latest(export.store, export.settings)
        placed = await export.placement.place(export, Exported(tables, collected, failed, latest, dropped))
    except VerificationError:
        # Files may be missing because another task has ended the run meanwhile and cleared up.
        if not await has_ended(export):
            raise
        placed = None
    if placed is None:
        return await read_manifest_files(export)
    files = {table: _counted(files, collected.written[table], collected.rows) for table, files in placed.files.items()}
    receipts = {table: result.receipt for table, result in done.items()}
    partitions = {
        table.id: partition_entries(collected, table.id) for table in tables if table.partitions and table.id in files
    }
    number = latest.number + 1 if latest else 1
    left, found, carry = placed.left, placed.found, placed.carry
    manifest = make_manifest(
        export.plan, number, receipts, partitions, ledger, tables, files, left, found, carry, definitions
    )
    if export.settings.iceberg:
        from bqdump.export.publish.iceberg import with_iceberg

        try:
            manifest = await with_iceberg(export, manifest, latest, hints)
        except VerificationError:
            # A later run may have replaced the files meanwhile.
            if not await has_ended(export):
                raise
            return await read_manifest_files(export)
    if generation := await replace(export.store, export.layout.manifest, manifest, 0):
        return await _unless_pruned(export, manifest, generation, placed)
    made = await read_manifest_files(export)
    if export.settings.iceberg:
        from bqdump.export.publish.iceberg import drop_metadata

        await drop_metadata(export, manifest, made.value if made else None)
    if made:
        return made
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
    if gone == "pruned" and export.settings.iceberg:
        from bqdump.export.publish.iceberg import drop_metadata

        await drop_metadata(export, manifest, None)
    if gone == "pruned" and export.plan.mode == "keep":
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
