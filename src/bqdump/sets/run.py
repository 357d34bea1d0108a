"""One task of the export of a set of datasets, from the settings to project.json."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Literal, NamedTuple

from bqdump.core.documents.project import Project, ProjectPlan
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.sets.selection import Chosen, by_target, choose_datasets
from bqdump.core.settings.settings import Settings
from bqdump.core.sizes import counted
from bqdump.export.task import Task
from bqdump.export.watch import Shared
from bqdump.sets.finish import publish_set, refuse_failed
from bqdump.sets.member import member_task
from bqdump.sets.obtain import list_project, obtain_set, stored_set
from bqdump.sets.plan import Planner
from bqdump.sets.task import SetTask
from bqdump.sets.work import export_datasets

log = logging.getLogger(__name__)


class SetResult(NamedTuple):
    """How a task of a set's run ended. `unfinished`: other tasks are still at work.

    task: the one that ended. project: project.json as it is stored now, None where nothing is published or not all
    datasets have ended. mine: this task has written it.
    """

    task: SetTask
    state: Literal["published", "superseded", "unfinished"]
    plan: ProjectPlan
    project: Project | None
    mine: bool = False


async def run_sets(settings: Settings, tasks: Sequence[SetTask]) -> list[SetResult]:
    """Do one task's part of the sets that go to these targets: one target, or one for each location.

    settings: with the default target. What is planned already is not chosen again. A target that fails does not hold
    back the others; its error is raised when they have ended. Raises what `choose_datasets` and `by_target` raise.
    """
    stored = [await stored_set(task) for task in tasks]
    parts: list[tuple[SetTask, Chosen, Sequence[str]]] = [(task, Chosen(()), ()) for task in tasks]
    if not all(stored):
        parts = await _chosen(settings, tasks, [running is not None for running in stored])
    results = await asyncio.gather(*(run_set(*part) for part in parts), return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return [result for result in results if isinstance(result, SetResult)]


async def _chosen(
    settings: Settings, tasks: Sequence[SetTask], stored: Sequence[bool]
) -> list[tuple[SetTask, Chosen, Sequence[str]]]:
    """The tasks that have something to do, each with its datasets and those of the project."""
    listing = await list_project(tasks[0].warehouse, settings)
    chosen = choose_datasets(listing, settings)
    groups = by_target(chosen.datasets, settings)
    listed = [dataset.name for dataset in listing]
    return [
        (task, Chosen(groups.get(task.settings.target, ()), chosen.skipped), listed)
        for task, known in zip(tasks, stored, strict=True)
        if known or task.settings.target in groups
    ]


async def run_set(task: SetTask, chosen: Chosen, listed: Sequence[str]) -> SetResult:
    """Do this task's part of every dataset of the set, and publish the set when all of them have ended.

    chosen, listed: see obtain_set. Raises DatasetsFailedError where datasets have failed; the others are published all
    the same, unless they are published together.
    """
    running = await obtain_set(task, chosen, listed)
    # What counts for the limits is the same for every dataset.
    first = member_task(running, 0, lambda _: shared.at(""))
    shared = Shared(first.warehouse, first.concurrency, first.tasks)

    def open_task(number: int) -> Task:
        return member_task(running, number, shared.at)

    planner = Planner(running, open_task)
    try:
        await planner.begin()
        board = await export_datasets(running, open_task, planner)
    finally:
        await planner.end()
        shared.close()
    settled = board.settled(running.plan, task.owner.execution)
    stored = await publish_set(running, board) if settled else None
    project = stored.value if stored else None
    refuse_failed(running, board)
    if not settled:
        open_ = counted(len(running.plan.datasets) - len(board.ended), "dataset")
        log.info("done; waiting for other tasks to export %s", open_, extra=LogEvent.TASK_DONE.extra())
        return SetResult(task, "unfinished", running.plan, None)
    published = project is not None and project.run == running.plan.run
    return SetResult(
        task, "published" if published else "superseded", running.plan, project, stored is not None and stored.mine
    )
