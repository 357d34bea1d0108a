"""Posting how an export ended, where an address is set."""

from __future__ import annotations

import logging

from bqdump.core.documents.run import Owner
from bqdump.core.errors import BqdumpError
from bqdump.core.notice import run_failed, run_published
from bqdump.core.progress.export import Export
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.settings.settings import Settings
from bqdump.export.result import exported
from bqdump.export.run import TaskResult
from bqdump.export.task import Task
from bqdump.observe.notify import concerns_all, notify, notify_once, of_tables
from bqdump.ports.store import ObjectStore
from bqdump.services.opening import open_notifier

log = logging.getLogger(__name__)


async def notify_set(settings: Settings, exported: Export) -> None:
    """Post that this task has published the set, where an address is set."""

    notifier = open_notifier(settings)
    if notifier and exported.state == "published":
        await notify(notifier, run_published(settings, exported))


async def notify_failed(
    store: ObjectStore, settings: Settings, run: str, owner: Owner, error: Exception, attempt: int | None
) -> None:
    """Post that a run failed, where an address is set: once for an execution, not once for each of its tasks."""

    notifier = open_notifier(settings)
    if notifier is None:
        return
    notice = run_failed(settings, run, error)
    if of_tables(error):
        await notify_once(notifier, store, settings, notice, owner)
    elif concerns_all(error, owner, attempt):
        await notify(notifier, notice)


async def notify_published(task: Task, result: TaskResult) -> None:
    """Post that this task has published the run, where an address is set."""

    notifier = open_notifier(task.settings)
    if notifier is None or result.state != "published" or result.again is not None:
        return
    try:
        notice = run_published(task.settings, await exported(task, result))
    except BqdumpError as error:
        log.warning("not notified: %s", error, extra=LogEvent.NOTIFY_FAILED.extra())
        return
    await notify_once(notifier, task.store, task.settings, notice, task.owner)
