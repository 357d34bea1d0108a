"""Whether a run has ended already, by another task of it or because a later run has taken over."""

from __future__ import annotations

from bqdump.core.documents.manifest import ManifestFiles
from bqdump.export.task import RunningExport
from bqdump.repository.published import read_latest
from bqdump.repository.repository import Loaded, exists, load, value_of


async def has_manifest(export: RunningExport) -> bool:
    """Whether this run is complete, so that it is settled what it publishes."""
    return await exists(export.store, export.layout.manifest)


async def read_manifest_files(export: RunningExport) -> Loaded[ManifestFiles] | None:
    """Which objects this run's manifest names; None when there is none yet."""
    return await load(export.store, export.layout.manifest_files)


async def has_ended(export: RunningExport) -> bool:
    """Whether the run has its manifest, or a later run is published or has announced itself."""
    if await has_manifest(export):
        return True
    latest = await read_latest(export.store, export.settings)
    announced = await value_of(export.store, export.settings.layout.publishing)
    return any(pointer and pointer.age > export.plan.age for pointer in (latest, announced))
