"""Exporting: one dataset or a set of them, planned and carried out."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

from bqdump.core.errors import BqdumpError
from bqdump.core.progress.events import Listener, ignore
from bqdump.core.progress.log_events import LogEvent
from bqdump.verbs.notices import notify_failed, notify_published, notify_set
from bqdump.verbs.retention import prune

if TYPE_CHECKING:
    from bqdump.core.documents.run import Owner
    from bqdump.core.plan.summary import Planned
    from bqdump.core.progress.export import Export
    from bqdump.core.settings.settings import Settings
    from bqdump.export.run import TaskResult
    from bqdump.export.task import Task
    from bqdump.ports.store import ObjectStore
    from bqdump.services.opened import Services
    from bqdump.sets.task import SetTask


log = logging.getLogger(__name__)


class Ended(NamedTuple):
    """A task that has done its part of a run, and how that ended."""

    task: Task
    result: TaskResult

    async def export(self) -> Export:
        """The result in full. Reads the manifest if the run was published before this task started."""
        from bqdump.export.result import exported

        return await exported(self.task, self.result)


async def run(
    services: Services,
    settings: Settings,
    name: str,
    owner: Owner,
    tasks: int,
    tell: Listener = ignore,
    *,
    attempt: int | None = None,
) -> Ended:
    """Do one task's part of run `name`, and publish when every task's part is done. Raises TablesFailedError.

    attempt: of this task, from 0; None where nothing restarts it.
    """
    from bqdump.export.run import run as run_task
    from bqdump.export.task import Task
    from bqdump.telemetry import observed

    task = Task(services.store, services.warehouse, settings, name, owner, tasks, tell, services.read_route.open)
    try:
        with observed("run", name, _about(settings, owner), tell) as hear:
            result = await run_task(task._replace(tell=hear))
    except Exception as error:
        await notify_failed(task.store, settings, name, owner, error, attempt)
        raise
    await notify_published(task, result)
    if settings.prune and result.state == "published" and result.again is None:
        await _prune_after(services, settings)
    return Ended(task, result)


def _about(settings: Settings, owner: Owner) -> dict[str, str | int]:
    """What every span and metric of an export is about."""
    return {"bqdump.project": settings.project, "bqdump.dataset": settings.dataset, "bqdump.task": owner.task}


async def _prune_after(services: Services, settings: Settings, store: ObjectStore | None = None) -> None:
    """Prune. An error is only logged: the export is published."""
    try:
        await prune(lambda _: store or services.store, settings, services.warehouse.at_work, delete=True)
    except BqdumpError as error:
        message = "the export is published, but earlier runs could not be pruned: %s"
        log.warning(message, error, extra=LogEvent.PRUNE_FAILED.extra())


async def run_set(
    services: Services,
    settings: Settings,
    name: str,
    owner: Owner,
    tasks: int,
    tell: Listener = ignore,
    *,
    attempt: int | None = None,
) -> Export:
    """Do one task's part of run `name` of a set of datasets. Raises DatasetsFailedError.

    attempt: see run.
    """
    from bqdump.sets.result import exported_set
    from bqdump.sets.run import run_sets
    from bqdump.telemetry import observed

    made = _set_tasks(services, settings, name, owner, tasks, tell)
    try:
        with observed("run", name, _about(settings, owner), tell) as hear:
            results = await run_sets(settings, _set_tasks(services, settings, name, owner, tasks, hear))
    except Exception as error:
        await notify_failed(made[0].store, made[0].settings, name, owner, error, attempt)
        raise
    for result in results:
        if settings.prune and result.mine:
            await _prune_after(services, result.task.settings, result.task.store)
    exported = exported_set(results)
    if any(result.mine for result in results):
        await notify_set(settings, exported)
    return exported


async def plan(services: Services, settings: Settings, name: str, tasks: int) -> Planned:
    """Plan run `name` for this many tasks, without writing anything."""
    from bqdump.core.plan.summary import planned
    from bqdump.export.carry import read_published
    from bqdump.export.planning.draft import draft_plan
    from bqdump.export.planning.reuse import Earlier
    from bqdump.export.planning.target import check_target, of_dataset

    async with of_dataset(services.warehouse, settings):
        bucket = await check_target(services.store, settings)
    published = await read_published(services.store, settings)
    earlier = Earlier(services.store, published)
    draft = await draft_plan(services.warehouse, settings, name, tasks, bucket, earlier)
    return planned(draft.plan, draft.tables, draft.altered, settings.price_per_tib)


async def plan_set(services: Services, settings: Settings, name: str, tasks: int) -> Planned:
    """Plan run `name` of a set of datasets for this many tasks, without writing anything."""
    from bqdump.core.documents.run import Owner
    from bqdump.sets.plan import plan_sets

    return await plan_sets(settings, _set_tasks(services, settings, name, Owner(name, 0), tasks, ignore))


def _set_tasks(
    services: Services, settings: Settings, name: str, owner: Owner, tasks: int, tell: Listener
) -> list[SetTask]:
    """The task of the set that goes to each target."""
    from msgspec.structs import replace

    from bqdump.core.progress.together import Together
    from bqdump.sets.task import SetTask

    hear = Together(tell).of
    read_route = services.read_route.open
    return [
        SetTask(store, services.warehouse, replace(settings, target=at), name, owner, tasks, read_route, hear)
        for at, store in services.stores.items()
    ]
