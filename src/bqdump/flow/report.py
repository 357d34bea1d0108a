"""Storing the report of a published run beside its manifest."""

from __future__ import annotations

import logging

from bqdump.core.codec import decode
from bqdump.core.documents import Latest, Manifest
from bqdump.core.errors import BqdumpError, ConflictError
from bqdump.flow.task import Task

log = logging.getLogger(__name__)

# Comparing with the export before reads a second whole manifest: not worth the memory of a small task beyond this.
COMPARED_TABLES = 20_000


async def has_report(task: Task) -> bool:
    """Whether the run has come to its very end: the report is the last thing that a publisher writes."""
    return await task.store.stat(task.layout.report) is not None


async def store_report(task: Task, before: Latest | None) -> None:
    """Write report.html. The export is published already: what goes wrong here is told and changes nothing."""
    # Imported at the end of a run, by the one task that gets here.
    from bqdump.core.changes import compare
    from bqdump.pages.report import render_report

    try:
        manifest = await _manifest(task, task.layout.manifest)
        changes = None
        if before and before.run != task.run and len(manifest.tables) <= COMPARED_TABLES:
            changes = compare(await _manifest(task, before.manifest), manifest)
        await task.store.write(task.layout.report, render_report(manifest, changes), 0)
    except ConflictError:
        log.debug("the report of run %s is there already", task.run)
    except BqdumpError as error:
        log.warning("the export is published, and its report is missing: %s", error)


async def _manifest(task: Task, name: str) -> Manifest:
    return decode((await task.store.read(name)).data, Manifest, name)
