"""What is stored beside the manifest of a published run: its index, its summary, and a report for people."""

from __future__ import annotations

import logging
from collections.abc import Awaitable

from bqdump.core.codec import decode, encode
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
    """Write the index, the summary and report.html. The export is published already: an error is told, no more."""
    # Imported at the end of a run, by the one task that gets here.
    from bqdump.core.changes import compare
    from bqdump.core.contents import contents_of, summary_of
    from bqdump.pages.report import render_report

    try:
        data = (await task.store.read(task.layout.manifest)).data
        contents = contents_of(data, task.layout.manifest)
        await _once(task.layout.contents, task.store.write(task.layout.contents, encode(contents), 0))
        summary = task.settings.layout.summary(task.run)
        await _once(summary, task.store.write_note(summary, encode(summary_of(contents)), 0))
        manifest = decode(data, Manifest, task.layout.manifest)
        changes = None
        if before and before.run != task.run and len(manifest.tables) <= COMPARED_TABLES:
            earlier = await task.store.read(before.manifest)
            changes = compare(decode(earlier.data, Manifest, before.manifest), manifest)
        report = render_report(manifest, changes)
        await _once(task.layout.report, task.store.write(task.layout.report, report, 0))
    except BqdumpError as error:
        log.warning("the export is published, and its report is missing: %s", error)


async def _once(name: str, write: Awaitable[int]) -> None:
    try:
        await write
    except ConflictError:
        log.debug("%s is there already", name)
