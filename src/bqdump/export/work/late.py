"""What attempts leave behind that end after their run has: cleared by whoever comes to the run again.

An attempt by the read route that comes second deletes its own files. One whose process was killed before that cannot:
its restarted task, which finds the run at its end, does it then, and so does `bqdump run --run-id`.
"""

from __future__ import annotations

import logging

from bqdump.core.documents.layout import attempt_of, unit_of
from bqdump.core.errors import BqdumpError
from bqdump.core.plan.draft import read_units
from bqdump.core.plan.parts import numbers_of, parts_of
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.settings.path_template import split_shard
from bqdump.export.publish.clear import clear_staging, delete
from bqdump.export.publish.publish import read_manifest_files
from bqdump.export.task import RunningExport, Task

log = logging.getLogger(__name__)


async def clear_late(export: RunningExport) -> None:
    """Delete the files that attempts have left beside those of a run whose manifest is there.

    What the run publishes is settled, so that nobody will ever name these; an attempt that is still under way finds
    its own gone. In replace mode that is all of the run's staging; with files at final names, those of attempts that
    the run has noted, by their numbers, and not what its manifest names. The export is not touched: an error is told,
    no more.
    """
    try:
        if export.plan.mode == "replace":
            await clear_staging(export.task)
        elif begun := await _begun(export.task):
            await _clear(export, begun)
    except BqdumpError as error:
        message = "the export is published, but files of late attempts could not be deleted: %s"
        log.warning(message, error, extra=LogEvent.CLEANUP_FAILED.extra())


async def _begun(task: Task) -> dict[str, list[int]]:
    """The attempts by the read route, by unit, of units for which the manifest may not name the files of every one."""
    begun: dict[str, list[int]] = {}
    async for notes in task.store.notes(task.layout.readings):
        for note in notes:
            if (attempt := attempt_of(note.name)) is not None:
                begun.setdefault(unit_of(note.name), []).append(attempt)
    return {unit: attempts for unit, attempts in begun.items() if len(attempts) > 1 or task.settings.allow_partial}


async def _clear(export: RunningExport, begun: dict[str, list[int]]) -> None:
    if (made := await read_manifest_files(export.task)) is None:
        return
    named = {file.name for table in made[0].tables for file in table.files}
    parts = parts_of(export.plan)
    for unit in read_units((await export.store.read(export.plan.units)).data, export.plan):
        ranges = [numbers_of(parts.get(unit.id), attempt) for attempt in begun.get(unit.id, ())]
        if not ranges:
            continue
        async for page in export.store.objects(unit.pattern.partition("*")[0]):
            split = {info: split_shard(info.name, (unit.pattern,)) for info in page if info.name not in named}
            left = [info for info, found in split.items() if found and any(found[1] in range_ for range_ in ranges)]
            await delete(export.task, ((info.name, info.generation) for info in left))
