"""Working on the datasets of a set: a task begins with its own ones, and then helps with those that are not done."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection

from bqdump.concurrency import task_group
from bqdump.core.documents.sets import Ready
from bqdump.core.errors import ENDS_THE_TASK, BqdumpError
from bqdump.export.act import Complete, TaskResult
from bqdump.export.run import complete, run
from bqdump.export.task import Task
from bqdump.pool.turn import pauses
from bqdump.repository.repository import replace
from bqdump.repository.set_runs import SetProgress, read_set_progress
from bqdump.sets.plan import Planner, all_planned
from bqdump.sets.task import RunningSet, named, note_end, note_failure

Open = Callable[[int], Task]


async def export_datasets(running: RunningSet, open_task: Open, planner: Planner) -> SetProgress:
    """Do this task's part of every dataset, and publish those that are complete. Returns the notes at the end.

    With --together, none is published before every one of them is complete.
    """

    async def export(number: int) -> None:
        result = await run(open_task(number))
        await _note_result(running, number, open_task, result)

    if not running.plan.together:
        return await _each(running, planner, export, lambda progress: {*progress.ended})
    progress = await _complete_all(running, open_task, planner)
    if len({*progress.ready, *progress.ended}) < len(running.plan.datasets):
        return progress
    return await _each(running, planner, export, lambda progress: {*progress.ended})


async def _complete_all(running: RunningSet, open_task: Open, planner: Planner) -> SetProgress:
    """Export the tables of every dataset without publishing any."""

    async def work(number: int) -> None:
        result = await complete(open_task(number))
        if isinstance(result, Complete):
            task = running.task
            await replace(task.store, task.layout.ready(number), Ready(number), 0)
        else:
            await _note_result(running, number, open_task, result)

    return await _each(running, planner, work, lambda progress: {*progress.ready, *progress.ended})


async def _note_result(running: RunningSet, number: int, open_task: Open, result: TaskResult) -> None:
    """Note an export that has ended. Of one that has not, another task is at work or publishing."""
    if result.state in ("published", "superseded"):
        await note_end(running, number, open_task(number))


async def _each(
    running: RunningSet,
    planner: Planner,
    step: Callable[[int], Awaitable[None]],
    done: Callable[[SetProgress], Collection[int]],
) -> SetProgress:
    """Take the step with each dataset that is planned and not done, once; a bounded number of them at a time."""
    task = running.task
    slots, begun, pause = asyncio.Semaphore(running.at_once), set[int](), pauses()

    async def carry_on(number: int) -> None:
        try:
            await _take_step(running, number, step)
        finally:
            slots.release()

    async with task_group() as group:
        while True:
            await slots.acquire()
            await planner.watch()
            progress = await read_set_progress(task.store, task.layout)
            over = {*done(progress), *progress.failed(task.owner.execution), *begun}
            number = next((first for first in running.order if first in progress.planned and first not in over), None)
            if number is not None:
                begun.add(number)
                pause = pauses()
                group.create_task(carry_on(number))
                continue
            slots.release()
            if all_planned(progress, running):
                break
            await asyncio.sleep(next(pause))
    return await read_set_progress(task.store, task.layout)


async def _take_step(running: RunningSet, number: int, step: Callable[[int], Awaitable[None]]) -> None:
    """Take the step with one dataset. Its failure is noted, and does not hold back the others."""
    with named(running, number):
        try:
            await step(number)
        except ENDS_THE_TASK:
            raise
        except BqdumpError as error:
            await note_failure(running, number, error)
