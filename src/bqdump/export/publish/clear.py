"""Clearing up after a publication: stale files of earlier exports, then this run's staging.

It deletes only files that a manifest lists or this run staged, and only at the recorded generation.

The staged files of runs that were abandoned: a later run that is published deletes them.

A run that is older than the published one can never be published itself, so nothing needs its staged files any more,
even where it is still at work: it ends as superseded. Only what BigQuery is still writing would come back, so the files
of a run that has a job at work are left to the next publication.

One listing finds all runs that may have staged files, however many runs there have been: each writes a note before
its plan is stored. A run that is published removes its own note. Of a run that never was, the note stays until the
snapshot time is too old for time travel: then it can stage nothing any more.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

import msgspec

from bqdump.core.documents.document import Document, Notes
from bqdump.core.documents.manifest import File, IcebergFile, ManifestFiles, TableFiles
from bqdump.core.documents.path_template import split_shard
from bqdump.core.documents.run import Plan
from bqdump.core.documents.target import Stages
from bqdump.core.errors import BqdumpError, DeniedError, DocumentError
from bqdump.core.progress.events import Cleared
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.sizes import counted, size_text
from bqdump.export.task import RunningExport
from bqdump.ports.store import ObjectInfo
from bqdump.repository.repository import delete as delete_objects
from bqdump.repository.repository import load, notes, replace, value_of

log = logging.getLogger(__name__)


async def clear_stale(export: RunningExport, manifest: ManifestFiles) -> None:
    """Delete the files that the published manifest has made stale; none where a later run has published since."""
    stored = await load(export.store, export.settings.layout.latest)
    if stored and (latest := stored.value).run == export.plan.run:
        kept = {file.name for table in (*manifest.tables, *manifest.left) for file in table.objects}
        past: list[tuple[File | IcebergFile, ...]] = [manifest.found]
        for pointer in latest.uncleared:
            if earlier := await _read(export, pointer.manifest):
                past += [earlier.found, *(table.objects for table in (*earlier.tables, *earlier.left))]
        stale = [file for files in past for file in files if file.name not in kept]
        await delete(export, ((file.name, file.generation) for file in stale))
        if latest.uncleared:
            cleared = msgspec.structs.replace(latest, uncleared=())
            # Where this loses, a later run has published meanwhile, and clears these manifests' files once more.
            await replace(export.store, export.settings.layout.latest, cleared, stored.generation)


async def clear_staging(export: RunningExport) -> None:
    """Delete everything that this run has staged."""
    async for page in export.store.objects(export.layout.staging):
        await delete(export, ((info.name, info.generation) for info in page))


async def clear_written(export: RunningExport, pattern: str) -> None:
    """Delete the files that a job wrote for a table excluded from its run: no manifest lists them."""
    async for page in export.store.objects(pattern.partition("*")[0]):
        await discard(export, [info for info in page if split_shard(info.name, {pattern})])


async def discard(export: RunningExport, files: Sequence[ObjectInfo]) -> None:
    """Delete files that no manifest names or will name.

    Where each run has a folder, an account without permission to delete them leaves them, with a warning: prune deletes
    them with the run.
    """
    try:
        await delete(export, ((info.name, info.generation) for info in files))
    except DeniedError as error:
        if export.plan.mode != "keep":
            raise
        message = "%s of attempts that do not count cannot be deleted, and no manifest names them: %s"
        files_ = counted(len(files), "file")
        log.warning(message, files_, error, extra=LogEvent.CLEANUP_FAILED.extra())


async def delete(export: RunningExport, objects: Iterable[tuple[str, int]]) -> None:
    """Delete these generations; one that was deleted or replaced is skipped. Raises all other errors."""
    await delete_objects(export.store, objects)


async def read_earlier(export: RunningExport, manifest: str) -> list[TableFiles]:
    """The files that an earlier manifest lists, by table; none if it was deleted."""
    earlier = await _read(export, manifest)
    return [*earlier.tables, *earlier.left] if earlier else []


async def _read(export: RunningExport, manifest: str) -> ManifestFiles | None:
    return await value_of(export.store, Document(manifest, ManifestFiles))


# Time travel reaches back 7 days at most, and a job runs for 6 hours at most.
STAGES_NO_MORE_MS = 8 * 86_400_000


async def clear_abandoned(export: RunningExport) -> list[Cleared]:
    """Delete the staged files of older runs, now that this one is published; the runs that had any.

    An error is only logged: the export is published, and the next one tries again.
    """
    try:
        return await _clear_all(export)
    except BqdumpError as error:
        message = "the export is published, but staged files of unfinished runs could not be deleted: %s"
        log.warning(message, error, extra=LogEvent.CLEANUP_FAILED.extra())
        return []


async def _clear_all(export: RunningExport) -> list[Cleared]:
    layout, plans, generations = export.settings.layout, list[Plan](), dict[str, int]()
    async for page in notes(export.store, Notes(layout.staged, Stages)):
        for note in page:
            run = note.value.run
            generations[run] = note.generation
            if run != export.plan.run and (other := await _plan_of(export, run)) and other.age < export.plan.age:
                plans.append(other)
    jobs = await export.warehouse.at_work(min(other.began for other in plans)) if plans else set()
    cleared, empty = [], [export.plan]
    for other in plans:
        if any(job.startswith(other.job_prefix) for job in jobs):
            message = "run %s was never published; its staged files stay, because its jobs are still running"
            log.info(message, other.run, extra=LogEvent.STAGING_KEPT.extra())
        elif (found := await _clear(export, other.run)).files:
            cleared.append(found)
            deleted = (counted(found.files, "file"), size_text(found.bytes))
            message = "deleted the staged files of run %s, which was never published: %s, %s"
            log.info(message, found.run, *deleted, extra=LogEvent.STAGING_DELETED.extra())
        elif export.plan.began - other.began > STAGES_NO_MORE_MS:
            empty.append(other)
    await delete(
        export,
        [
            (layout.stages(unfinished.run).name, generations[unfinished.run])
            for unfinished in empty
            if unfinished.run in generations
        ],
    )
    return cleared


async def _plan_of(export: RunningExport, run: str) -> Plan | None:
    """The plan of an earlier run, None where it has none yet, or where it cannot be read."""
    try:
        return await value_of(export.store, export.settings.layout.run(run).plan)
    except DocumentError as error:
        log.warning("the staged files of run %s stay: %s", run, error, extra=LogEvent.CLEANUP_FAILED.extra())
        return None


async def _clear(export: RunningExport, run: str) -> Cleared:
    """Delete what this run has staged, each file at the generation that was listed."""
    files = size = 0
    async for page in export.store.objects(export.settings.layout.run(run).staging):
        await delete(export, ((info.name, info.generation) for info in page))
        files, size = files + len(page), size + sum(info.size for info in page)
    return Cleared(run, files, size)
