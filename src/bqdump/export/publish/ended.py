"""Whether a run has ended already, by another task of it or because a later run has taken over."""

from __future__ import annotations

from bqdump.core.documents.codec import decode
from bqdump.core.documents.manifest import ManifestFiles
from bqdump.core.errors import NotFoundError
from bqdump.export.task import RunningExport, Task
from bqdump.repository.published import read_latest
from bqdump.repository.repository import value_of


async def has_manifest(task: Task) -> bool:
    """Whether this run is complete, so that it is settled what it publishes."""
    return await task.store.stat(task.layout.manifest) is not None


async def read_manifest_files(task: Task) -> tuple[ManifestFiles, int] | None:
    """Which objects this run's manifest names, and the manifest's generation; None when there is none yet."""
    try:
        stored = await task.store.read(task.layout.manifest)
    except NotFoundError:
        return None
    return decode(stored.data, ManifestFiles, task.layout.manifest), stored.generation


async def has_ended(export: RunningExport) -> bool:
    """Whether the run has its manifest, or a later run is published or has announced itself."""
    if await has_manifest(export.task):
        return True
    latest = await read_latest(export.store, export.settings)
    announced = await value_of(export.store, export.settings.layout.publishing)
    return any(pointer and pointer.age > export.plan.age for pointer in (latest, announced))
