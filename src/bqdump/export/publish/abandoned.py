"""The staged files of runs that were abandoned: a later run that is published deletes them.

A run that is older than the published one can never be published itself, so nothing needs its staged files any more,
even where it is still at work: it ends as superseded. Only what BigQuery is still writing would come back, so the files
of a run that has a job at work are left to the next publication.

One listing finds all runs that may have staged files, however many runs there have been: each writes a note before
its plan is stored. A run that is published removes its own note. Of a run that never was, the note stays until the
snapshot time is too old for time travel: then it can stage nothing any more.
"""

from __future__ import annotations

import logging

from bqdump.core.documents.document import Notes
from bqdump.core.documents.run import Plan
from bqdump.core.documents.target import Stages
from bqdump.core.errors import BqdumpError, DocumentError
from bqdump.core.progress.events import Cleared
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.sizes import counted, size_text
from bqdump.export.publish.clear import delete
from bqdump.export.task import RunningExport
from bqdump.repository.repository import notes, value_of

log = logging.getLogger(__name__)

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
            message = "staged files of run %s stay, because its jobs are still running"
            log.info(message, other.run, extra=LogEvent.STAGING_KEPT.extra())
        elif (staging := await _clear(export, other.run)).files:
            cleared.append(staging)
            deleted = (counted(staging.files, "file"), size_text(staging.bytes))
            # Another task may have published the run, and not have deleted its staged files yet.
            message = "deleted the staged files of run %s, which no longer needs them: %s, %s"
            log.info(message, staging.run, *deleted, extra=LogEvent.STAGING_DELETED.extra())
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
