"""latest.json as a run that is complete writes it: when it is published, and again where the object was damaged."""

from __future__ import annotations

import logging

import msgspec

from bqdump.core.documents.codec import COPIED
from bqdump.core.documents.document import Document
from bqdump.core.documents.manifest import ManifestFiles
from bqdump.core.documents.target import Latest, Pointer
from bqdump.core.errors import DocumentError
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.times import rfc3339
from bqdump.export.publish.ended import read_manifest_files
from bqdump.export.task import RunningExport
from bqdump.repository.newest_complete import newest_complete
from bqdump.repository.published import read_latest
from bqdump.repository.repository import replace, value_of

log = logging.getLogger(__name__)


async def pointer_to(export: RunningExport, manifest: ManifestFiles, generation: int) -> Latest:
    """latest.json that names this run, complete except for `uncleared`. generation: that of its manifest."""
    iceberg = ""
    if export.settings.iceberg:
        from bqdump.export.publish.iceberg import name_metadata

        iceberg = await name_metadata(export, manifest)
    return Latest(
        run=export.plan.run,
        number=manifest.number,
        project=export.plan.project,
        dataset=export.plan.dataset,
        snapshot_time=rfc3339(export.plan.snapshot),
        snapshot=export.plan.snapshot,
        status=manifest.status,
        mode=export.plan.mode,
        manifest=export.layout.manifest.name,
        manifest_generation=generation,
        over=manifest.over,
        carried=manifest.totals.carried,
        oldest_snapshot_time=manifest.oldest_snapshot_time,
        iceberg=iceberg,
    )


async def restore_latest(export: RunningExport) -> None:
    """Write latest.json again where it cannot be read and this is the newest complete run: the one that it named.

    So the next run compares with what is published, and no table leaves the export unnamed. Raises DocumentError
    where another run is newer: the error names that one.
    """
    if not await _is_damaged(export):
        return
    damaged = await export.store.stat(export.settings.layout.latest.name)
    made = await read_manifest_files(export)
    if damaged and made and await newest_complete(export.store, export.settings) == export.plan.run:
        ready = await pointer_to(export, made.value, made.generation)
        uncleared = await _replaced(export, made.value) if ready.replaces else ()
        pointer = msgspec.structs.replace(ready, uncleared=uncleared)
        if await replace(export.store, export.settings.layout.latest, pointer, damaged.generation):
            message, restored = "wrote latest.json again: run %s is the published run", LogEvent.LATEST_RESTORED.extra()
            log.warning(message, export.plan.run, extra=restored)
    # What is still damaged is an error, with the run that may write it.
    await read_latest(export.store, export.settings)


async def _is_damaged(export: RunningExport) -> bool:
    """Whether latest.json is there and cannot be read, except as part of a copy."""
    try:
        await value_of(export.store, export.settings.layout.latest)
    except DocumentError as error:
        if error.hint == COPIED:
            raise
        return True
    return False


async def _replaced(export: RunningExport, manifest: ManifestFiles) -> tuple[Pointer, ...]:
    """The export that this run has replaced, whose files may not all be deleted yet."""
    if not manifest.over:
        return ()
    earlier = export.settings.layout.run(manifest.over)
    plan = await value_of(export.store, earlier.plan)
    there = await value_of(export.store, Document(earlier.manifest.name, ManifestFiles))
    return (Pointer(manifest.over, plan.snapshot, earlier.manifest.name),) if plan and there else ()
