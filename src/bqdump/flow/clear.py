"""Clearing up behind a publication: stale files of earlier exports, then this run's staging.

Nothing is deleted but what a manifest or this run's staging names, each at exactly its generation.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from bqdump.core.codec import decode, encode_indented
from bqdump.core.documents import File, ManifestFiles, Plan
from bqdump.core.errors import BqdumpError, ConflictError, NotFoundError
from bqdump.flow.planning import read_latest
from bqdump.flow.task import Task


async def clear(task: Task, plan: Plan, manifest: ManifestFiles) -> None:
    """Delete what the published manifest has made stale. Does nothing where a later run has published since."""
    if plan.mode == "keep":
        return
    latest, generation = await read_latest(task.store, task.settings)
    if latest and latest.run == plan.run:
        kept = {file.name for table in (*manifest.tables, *manifest.left) for file in table.files}
        stale = [file for file in manifest.found if file.name not in kept]
        for pointer in latest.uncleared:
            stale += [file for file in await _files(task, pointer.manifest) if file.name not in kept]
        await delete(task, ((file.name, file.generation) for file in stale))
        if latest.uncleared:
            cleared = msgspec.structs.replace(latest, uncleared=())
            try:
                await task.store.write(task.settings.layout.latest, encode_indented(cleared), generation)
            except ConflictError:
                # A later run has published meanwhile; it clears what is left.
                return
    await clear_staging(task)


async def clear_staging(task: Task) -> None:
    """Delete everything that this run has staged."""
    async for page in task.store.objects(task.layout.staging):
        await delete(task, ((info.name, info.generation) for info in page))


async def delete(task: Task, objects: Iterable[tuple[str, int]]) -> None:
    """Delete these generations; one that has gone or changed is no longer ours to delete. Raises what else fails."""
    for result in await task.store.delete(list(objects)):
        if isinstance(result, BqdumpError):
            raise result


async def _files(task: Task, manifest: str) -> list[File]:
    """Every object at a final name that an earlier manifest names."""
    try:
        stored = await task.store.read(manifest)
    except NotFoundError:
        return []
    earlier = decode(stored.data, ManifestFiles, manifest)
    return [file for table in (*earlier.tables, *earlier.left) for file in table.files] + list(earlier.found)
