"""Finishing a run that was stopped while it replaced the published files: until then, they cannot be restored."""

from __future__ import annotations

import logging
import secrets

from msgspec.structs import replace

from bqdump.core.documents.run import Owner
from bqdump.core.progress.log_events import LogEvent
from bqdump.export.run import run
from bqdump.export.task import Task as ExportTask
from bqdump.repository.replacing import read_replacing
from bqdump.restoration.task import Task

log = logging.getLogger(__name__)


async def finish_run(task: Task) -> None:
    """Finish such a run, if there is one. All of its tables are exported, so the source is not needed.

    It may be at work meanwhile: every step of publishing may be repeated.
    """
    found = await read_replacing(task.store, task.settings)
    if found is None:
        return
    message = "finishing run %s, which has begun to replace the published files"
    log.info(message, found.run, extra=LogEvent.RUN_FINISHED.extra(run=found.run))
    settings = replace(found.settings, patience=task.settings.patience)
    me = Owner(f"finish-{secrets.token_hex(4)}", 0)
    await run(ExportTask(task.store, task.destination, settings, found.run, me, 1))
