"""Restoring an export, and proving that it can be restored."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bqdump.core.restore.drilled import Drilled
    from bqdump.core.restore.result import Restoration
    from bqdump.core.restore.rotation import Portion
    from bqdump.restoration.task import Task as RestoreTask


async def restore(task: RestoreTask, *, values: bool = False) -> Restoration:
    """Do one task's part of a restore. values: compare the values of restored tables with the files as well."""
    from bqdump.check.read_back import ReadOptions
    from bqdump.restoration.run import run as run_task
    from bqdump.services import open_reader
    from bqdump.telemetry import observed

    options = task.request.options
    about: dict[str, str | int] = {
        "bqdump.project": options.project,
        "bqdump.dataset": options.dataset,
        "bqdump.task": task.owner.task,
    }
    reader = open_reader() if values else None
    try:
        if reader:
            task = task._replace(request=task.request._replace(reading=ReadOptions(reader, checksums=True)))
        with observed("restore", task.owner.execution, about, task.tell) as hear:
            return await run_task(task._replace(tell=hear))
    finally:
        if reader:
            reader.close()


async def drill(task: RestoreTask, portion: Portion) -> Drilled:
    """Restore a portion of an export into a scratch dataset, compare every value with the files, and drop it."""
    from bqdump.adapters.memory.store import MemoryStore
    from bqdump.check.read_back import ReadOptions
    from bqdump.core.notice import drill_ended, drill_failed
    from bqdump.observe.notify import notify
    from bqdump.restoration.drill import drill as run_drill
    from bqdump.services import open_notifier, open_reader

    reader, notifier = open_reader(), open_notifier(task.settings)
    try:
        request = task.request._replace(reading=ReadOptions(reader, checksums=True))
        # Nothing resumes a drill, so its receipts need not outlive it.
        done = await run_drill(task._replace(request=request, documents=MemoryStore()), portion)
    except Exception as error:
        if notifier:
            await notify(notifier, drill_ended(task.settings, task.request.run, error))
        raise
    else:
        if notifier and done.state != "proven":
            await notify(notifier, drill_failed(task.settings, done))
        return done
    finally:
        reader.close()


async def plan_restore(task: RestoreTask) -> Restoration:
    """Show what a restore would do, without writing anything."""
    from bqdump.restoration.outcome import planned
    from bqdump.restoration.planning import draft

    drafted = await draft(task)
    return planned(drafted.plan, drafted.found.manifest)
