"""Clearing up after a publication: stale files of earlier exports, then this run's staging.

It deletes only files that a manifest lists or this run staged, and only at the recorded generation; and what carries
the mark of a run that was never published because this one took its place.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import TypeVar

import msgspec

from bqdump.core.documents.codec import decode
from bqdump.core.documents.document import Document
from bqdump.core.documents.layout import Layout
from bqdump.core.documents.manifest import File, IcebergFile, ManifestFiles, TableFiles
from bqdump.core.documents.path_template import split_shard
from bqdump.core.documents.retention import RetainedFiles
from bqdump.core.documents.run import Plan
from bqdump.core.documents.target import Latest, Pointer
from bqdump.core.errors import DeniedError, DocumentError
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.sizes import counted
from bqdump.export.task import RunningExport
from bqdump.ports.store import ObjectInfo
from bqdump.repository.objects import looked_up
from bqdump.repository.repository import Loaded, load, replace, value_of
from bqdump.repository.repository import delete as delete_objects

log = logging.getLogger(__name__)
T = TypeVar("T")


def origin(plan: Plan) -> str:
    """What a copy made by this run carries: the run, and the prefix that it belongs to."""
    return f"{plan.run}/{plan.nonce}/{prefix_of(plan)}"


def prefix_of(plan: Plan) -> str:
    """The prefix of this run's export."""
    return plan.units.partition(Layout("").runs)[0]


async def clear_stale(export: RunningExport, manifest: ManifestFiles, seen: Loaded[Latest] | None = None) -> None:
    """Delete the files that the published manifest has made stale; none where a later run has published since.

    Nor any of a new run whose id an earlier one had, which was pruned before its files were cleared, and of another
    dataset's run, whose prefix was handed over.

    seen: latest.json, which counts where this process has just written it.
    """
    stored = seen if seen and seen.mine else await load(export.store, export.settings.layout.latest)
    if stored and (latest := stored.value).run == export.plan.run:
        kept = {file.name for table in (*manifest.tables, *manifest.left) for file in table.objects}
        past: list[Sequence[File | IcebergFile | ObjectInfo]] = [manifest.found]
        for pointer in latest.uncleared:
            try:
                earlier = await value_of(export.store, Document(pointer.manifest, RetainedFiles))
            except DocumentError as error:
                message = "the stale files of run %s stay, as its manifest cannot be read: %s"
                log.warning(message, pointer.run, error, extra=LogEvent.CLEANUP_FAILED.extra())
                continue
            if earlier is None:
                past.append(await _placed_by(export, pointer))
            elif earlier.snapshot == pointer.snapshot and _is_ours(export, earlier):
                past += _listed(earlier)
        stale = [file for files in past for file in files if file.name not in kept]
        await delete(export, ((file.name, file.generation) for file in stale))
        if latest.uncleared:
            cleared = msgspec.structs.replace(latest, uncleared=())
            # Where this loses, latest.json was written meanwhile: the next publication clears these files once more.
            await replace(export.store, export.settings.layout.latest, cleared, stored.generation)


def leaves_stale(export: RunningExport, manifest: ManifestFiles, before: Latest) -> bool:
    """Whether this manifest makes files of the run before stale; True as well where only a request would tell.

    manifest: that of this run.
    """
    over = export.made.over if export.made else None
    if over is None or not over.is_of(before):
        return True
    kept = {file.name for table in (*manifest.tables, *manifest.left) for file in table.objects}
    return any(
        file.name not in kept for files in _listed(decode(over.data, ManifestFiles, over.name)) for file in files
    )


def _listed(manifest: ManifestFiles) -> list[tuple[File | IcebergFile, ...]]:
    """Every object that an earlier manifest names."""
    return [manifest.found, *(table.objects for table in (*manifest.tables, *manifest.left))]


async def clear_staging(export: RunningExport) -> None:
    """Delete everything that this run has staged."""
    async for page in export.store.objects(export.layout.staging):
        await delete(export, ((info.name, info.generation) for info in page))


async def clear_written(export: RunningExport, pattern: str) -> None:
    """Delete the files that a job wrote for a table excluded from its run: no manifest lists them."""
    async for page in export.store.objects(pattern.partition("*")[0]):
        await discard(export, [(info.name, info.generation) for info in page if split_shard(info.name, {pattern})])


async def discard(export: RunningExport, files: Sequence[tuple[str, int]]) -> None:
    """Delete files of these names and generations, which no manifest names or will name.

    Where each run has a folder, an account without permission to delete them leaves them, with a warning: prune deletes
    them with the run.
    """
    try:
        await delete(export, files)
    except DeniedError as error:
        if export.plan.replaces:
            raise
        message = "%s of attempts that do not count cannot be deleted, and no manifest names them: %s"
        files_ = counted(len(files), "file")
        log.warning(message, files_, error, extra=LogEvent.CLEANUP_FAILED.extra())


async def delete(export: RunningExport, objects: Iterable[tuple[str, int]]) -> None:
    """Delete these generations; one that was deleted or replaced is skipped. Raises all other errors."""
    await delete_objects(export.store, objects)


async def read_earlier(export: RunningExport, latest: Latest) -> list[TableFiles]:
    """The files that the manifest of the published run lists, by table (see `published_manifest`)."""
    earlier = await published_manifest(export, latest, ManifestFiles)
    return [*earlier.tables, *earlier.left] if earlier else []


async def published_manifest(export: RunningExport, latest: Latest, type_: type[T]) -> T | None:
    """The manifest of the published run, None if it was deleted.

    The one that was planned with is in memory and is not read again, so it is returned even if it was deleted since.
    """
    over = export.made.over if export.made else None
    if over and over.is_of(latest):
        return decode(over.data, type_, over.name)
    return await value_of(export.store, Document(latest.manifest, type_))


async def _placed_by(export: RunningExport, pointer: Pointer) -> list[ObjectInfo]:
    """What a run without a manifest has placed at final names, which it announced before."""
    names = export.settings.layout.run(pointer.run)
    plan, intent = await value_of(export.store, names.plan), await value_of(export.store, names.intent)
    if plan is None or intent is None or plan.age != pointer.age or not _is_ours(export, plan):
        return []
    infos = await looked_up(export.store, intent.names)
    return [info for info in infos if info and info.origin == origin(plan)]


def _is_ours(export: RunningExport, other: RetainedFiles | Plan) -> bool:
    return (other.project, other.dataset) == (export.plan.project, export.plan.dataset)
