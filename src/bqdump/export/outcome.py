"""From the end of a task to what is told of it."""

from __future__ import annotations

from bqdump.core.progress.outcome import Export
from bqdump.core.times import moment_text
from bqdump.export.run import Outcome
from bqdump.export.task import Task
from bqdump.repository.published import read_manifest


async def exported(task: Task, outcome: Outcome) -> Export:
    """The outcome in full: reads the manifest where a run was published before this task came."""
    totals = outcome.totals
    if totals is None and outcome.result == "published":
        totals = (await read_manifest(task.store, task.settings, task.run)).totals
    return Export(
        run=outcome.plan.run,
        state=outcome.result,
        snapshot_time=moment_text(outcome.plan.snapshot),
        tables=totals.tables if totals else 0,
        rows=totals.planned_rows if totals else 0,
        files=totals.files if totals else 0,
        bytes=totals.bytes if totals else 0,
        manifest=f"{task.store.url}/{task.layout.manifest}",
        failed=outcome.failed,
        skipped=outcome.plan.skipped,
        removed=outcome.plan.removed,
        carried=totals.carried if totals else 0,
    )
