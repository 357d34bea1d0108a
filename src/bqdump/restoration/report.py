"""The page for people about a restore."""

from __future__ import annotations

import logging

from bqdump.core.errors import BqdumpError
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.restore.result import Restoration
from bqdump.repository.objects import write_object
from bqdump.restoration.task import RunningRestore

log = logging.getLogger(__name__)


async def store_report(restore: RunningRestore, result: Restoration) -> None:
    """Write the page of a complete restore, or of an execution in which something failed. An error is only logged."""
    layout, execution = restore.layout, restore.owner.execution
    name = layout.report if result.state == "restored" else layout.failed_report(execution)
    try:
        # Imported by the one task that gets here.
        from bqdump.pages.restored import render_restored

        await write_object(restore.state, name, render_restored(result), 0)
    except (BqdumpError, OSError, ImportError) as error:
        log.warning("the restore's report could not be written: %s", error, extra=LogEvent.REPORT_FAILED.extra())
