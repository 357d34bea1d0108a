"""From the end of a task to its result."""

from __future__ import annotations

from typing import Literal

import msgspec

from bqdump.core.documents.document import FORMAT_VERSION, Count, Document
from bqdump.core.documents.manifest import Totals
from bqdump.core.documents.run import Skipped
from bqdump.core.documents.unchanged import Removed
from bqdump.core.errors import NotFoundError
from bqdump.core.progress.export import Export
from bqdump.core.times import time_of
from bqdump.export.run import TaskResult
from bqdump.export.task import Task
from bqdump.repository.repository import value_of

# What a task's end means for its run.
STATES: dict[str, Literal["published", "superseded", "publishing", "running"]] = {
    "published": "published",
    "superseded": "superseded",
    "elsewhere": "publishing",
    "unfinished": "running",
}


class _TableRows(msgspec.Struct, frozen=True):
    rows: Count | None = None
    expected_rows: Count | None = None


class _Numbers(msgspec.Struct, frozen=True):
    """The part of a manifest that a result needs."""

    totals: Totals
    tables: tuple[_TableRows, ...]
    skipped: tuple[Skipped, ...]
    removed: tuple[Removed, ...] = ()
    format_version: int = FORMAT_VERSION


async def exported(task: Task, result: TaskResult) -> Export:
    """The result in full. Reads the manifest where there is one."""
    numbers = await _numbers(task) if result.totals or result.state == "published" else None
    totals = numbers.totals if numbers else Totals(0, 0, 0, 0, 0)
    tables = numbers.tables if numbers else ()
    rows = [table.expected_rows if table.rows is None else table.rows for table in tables]
    return Export(
        run=result.plan.run,
        state=STATES[result.state],
        snapshot_time=time_of(result.plan.snapshot),
        tables=totals.tables,
        rows=sum(count for count in rows if count is not None),
        uncounted=rows.count(None),
        files=totals.files,
        bytes=totals.bytes,
        manifest=f"{task.store.url}/{task.layout.manifest}",
        failed=result.failed,
        skipped=numbers.skipped if numbers else result.plan.skipped,
        removed=numbers.removed if numbers else result.plan.removed,
        carried=totals.carried,
        reused=totals.reused,
    )


async def _numbers(task: Task) -> _Numbers:
    numbers = await value_of(task.store, Document(task.layout.manifest.name, _Numbers))
    if numbers is None:
        raise NotFoundError("find", f"the manifest of run {task.run}", "it has been deleted")
    return numbers
