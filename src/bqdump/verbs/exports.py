"""Exporting: one dataset or a set of them, planned and carried out.

Posting how an export ended, where an address is set.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from bqdump.core.documents.run import Owner
from bqdump.core.errors import BqdumpError
from bqdump.core.notice import run_failed, run_published
from bqdump.core.progress.events import Entered, Listener, Together, ignore
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.settings.settings import Settings
from bqdump.export.run import run as run_task
from bqdump.export.task import Task
from bqdump.observe.notify import concerns_all, notify, of_tables, post_once, post_published
from bqdump.ports.signer import PROBE
from bqdump.ports.store import ObjectStore
from bqdump.repository.repository import naming_missing_bucket, refuse_place, value_of
from bqdump.services.opened import Services
from bqdump.services.opening import open_notifier
from bqdump.telemetry import observed

if TYPE_CHECKING:
    from bqdump.core.plan.summary import Planned
    from bqdump.core.progress.export import Export
    from bqdump.export.act import TaskResult
    from bqdump.ports.signer import Signer
    from bqdump.sets.task import SetTask

log = logging.getLogger(__name__)


async def notify_set(task: SetTask, exported: Export) -> None:
    """Post that the set is published, if an address is set and no task has done so."""
    notifier = open_notifier(task.settings)
    if notifier is None or exported.state != "published":
        return

    notice = run_published(task.settings, exported)
    await post_published(lambda: notify(notifier, notice), task.store, task.layout, task.owner)


class Start(NamedTuple):
    """The start of one task of run `name`.

    tasks: how many tasks share the run.
    attempt: of this task, from 0; None where nothing restarts it.
    """

    settings: Settings
    name: str
    owner: Owner
    tasks: int
    tell: Listener = ignore
    attempt: int | None = None

    @property
    def about(self) -> dict[str, str | int]:
        """What every span and metric of the export is about."""
        settings = self.settings
        return {"bqdump.project": settings.project, "bqdump.dataset": settings.dataset, "bqdump.task": self.owner.task}


async def notify_failed(start: Start, store: ObjectStore, error: Exception) -> None:
    """Post that a run failed, where an address is set: once for an execution, not once for each of its tasks."""
    settings = start.settings
    notifier = open_notifier(settings)
    if notifier is None:
        return
    notice = run_failed(settings, start.name, error)
    if of_tables(error):
        document = settings.layout.run(start.name).notified(notice.event, start.owner.execution)
        await post_once(lambda: notify(notifier, notice), store, document, start.owner)
    elif concerns_all(error, start.owner, start.attempt):
        await notify(notifier, notice)


async def notify_published(task: Task, result: TaskResult) -> None:
    """Post that the run is published, if an address is set and no task has done so."""
    notifier = open_notifier(task.settings)
    if notifier is None or result.state != "published":
        return

    async def post() -> bool:
        from bqdump.export.act import exported

        return await notify(notifier, run_published(task.settings, await exported(task, result)))

    await post_published(post, task.store, task.settings.layout.run(result.plan.run), task.owner)


class Ended(NamedTuple):
    """A task that has done its part of a run, and how that ended."""

    task: Task
    result: TaskResult

    async def export(self) -> Export:
        """The result in full. Reads the manifest if the run was published before this task started."""
        from bqdump.export.act import exported

        return await exported(self.task, self.result)


class EndedSet(NamedTuple):
    """A task that has done its part of a set's run: the result of all datasets together."""

    whole: Export

    async def export(self) -> Export:
        """The result in full."""
        return self.whole


async def run(services: Services, start: Start) -> Ended | EndedSet:
    """Do one task's part of a run, of one dataset or of a set. Raises TablesFailedError."""
    settings = start.settings
    refuse_place(services.store, settings.target)
    if settings.ping:
        # What runs without it need not load.
        from bqdump.verbs.pinging import Shared, pinged

        names = settings.layout.set_run(start.name) if settings.names_several else settings.layout.run(start.name)
        async with pinged(settings, Shared(services.store, names, start.owner, start.attempt)) as outcome:
            ended = await _run(services, start)
            state = ended.result.state if isinstance(ended, Ended) else ended.whole.state
            outcome.ends = state == "published"
        return ended
    return await _run(services, start)


async def _run(services: Services, start: Start) -> Ended | EndedSet:
    if start.settings.names_several:
        return EndedSet(await _run_set(services, start))
    return await run_one(services, start)


async def run_one(services: Services, start: Start) -> Ended:
    """Do one task's part of a run, and publish when every task's part is done. Raises TablesFailedError."""
    # Before anything else: a key that cannot be used is found before the export.
    signer, read_route = services.signer, services.read_route.open
    await _refuse_unusable(signer)
    settings, name, owner, tasks, tell, _ = start
    task = Task(services.store, services.warehouse, settings, name, owner, tasks, tell, read_route, signer=signer)
    try:
        async with naming_missing_bucket(task.store):
            with observed("run", name, start.about, tell) as hear:
                result = await run_task(replace(task, tell=hear))
    except Exception as error:
        await notify_failed(start, task.store, error)
        raise
    if result.state == "published":
        tell(Entered("published"))
    await notify_published(task, result)
    if (
        settings.prune
        and result.state == "published"
        and (result.again is None or await _makes_up(task, result.plan.run))
    ):
        await _prune_after(services, settings)
    return Ended(task, result)


async def _makes_up(task: Task, run: str) -> bool:
    """Whether this task makes up for one that published the run and may have been stopped before it pruned."""
    if not task.owner.task:
        return True
    with suppress(BqdumpError):
        return await value_of(task.store, task.settings.layout.run(run).publisher) == task.owner
    return False


async def _refuse_unusable(signer: Signer | None) -> None:
    """Raise the error of a key that cannot sign, such as one without permission, before anything is exported."""
    if signer:
        await signer.sign(PROBE)


async def _prune_after(services: Services, settings: Settings) -> None:
    """Prune. An error is only logged: the export is published."""
    from bqdump.verbs.retention import prune

    try:
        # It is part of the run, which pings.
        await prune(services.store_at, replace(settings, ping=""), services.warehouse.at_work, delete=True)
    except BqdumpError as error:
        message = "the export is published, but earlier runs could not be pruned: %s"
        log.warning(message, error, extra=LogEvent.PRUNE_FAILED.extra())


async def _run_set(services: Services, start: Start) -> Export:
    """Do one task's part of a run of a set of datasets. Raises DatasetsFailedError."""
    from bqdump.core.progress.export import exported_set
    from bqdump.sets.run import run_set

    await _refuse_unusable(services.signer)
    settings, store = start.settings, services.store
    try:
        async with naming_missing_bucket(store):
            with observed("run", start.name, start.about, start.tell) as hear:
                result = await run_set(_set_task(services, start._replace(tell=hear)))
    except Exception as error:
        await notify_failed(start, store, error)
        raise
    if result.state == "published":
        start.tell(Entered("published"))
    # The task that stored the set's manifest may have been stopped before it pruned: one of them makes up for that.
    if settings.prune and (result.mine or (result.state == "published" and not start.owner.task)):
        await _prune_after(services, settings)
    document = str(settings.layout.set_manifest)
    exported = exported_set(result.state, result.plan, result.manifest, store.url, document)
    await notify_set(result.task, exported)
    return exported


async def plan(services: Services, settings: Settings, name: str, tasks: int) -> Planned:
    """Plan run `name`, of one dataset or of a set, for this many tasks, without writing anything."""
    from bqdump.export.planning.obtain import show_plan
    from bqdump.sets.plan import plan_set

    me = Owner(name, 0)
    refuse_place(services.store, settings.target)
    if settings.names_several:
        return await plan_set(_set_task(services, Start(settings, name, me, tasks)))
    task = Task(services.store, services.warehouse, settings, name, me, tasks, signer=services.signer)
    return await show_plan(task)


def _set_task(services: Services, start: Start) -> SetTask:
    from bqdump.sets.task import SetTask

    settings, name, owner, tasks, tell, _ = start
    hear, read_route = Together(tell).of, services.read_route.open
    warehouse, signer = services.warehouse, services.signer
    return SetTask(services.store, warehouse, settings, name, owner, tasks, read_route, hear, signer)
