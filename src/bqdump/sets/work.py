"""Working on the datasets of a set: a task begins with its own ones, and then helps with those that are not done."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from bqdump.concurrency import task_group
from bqdump.core.errors import ENDS_THE_TASK, BqdumpError
from bqdump.export.run import run
from bqdump.export.task import Task
from bqdump.pool.datasets import SetProgress, read_set_progress
from bqdump.pool.turn import pauses
from bqdump.sets.plan import Planner, all_planned
from bqdump.sets.task import RunningSet, named, note_end, note_failure

Open = Callable[[int], Task]


async def export_datasets(running: RunningSet, open_task: Open, planner: Planner) -> SetProgress:
    """Do this task's part of every dataset that is planned and has not ended. Returns the notes at the end."""
    task = running.task
    slots, begun, pause = asyncio.Semaphore(running.at_once), set[int](), pauses()

    async def carry_on(number: int) -> None:
        try:
            await _export(running, number, open_task)
        finally:
            slots.release()

    async with task_group() as group:
        while True:
            await slots.acquire()
            await planner.watch()
            progress = await read_set_progress(task.store, task.layout)
            over = {*progress.receipts, *progress.failed(task.owner.execution), *begun}
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


async def _export(running: RunningSet, number: int, open_task: Open) -> None:
    """Export one dataset, and note that it has ended. Its failure is noted, and does not hold back the others."""
    with named(running, number):
        try:
            result = await run(open_task(number))
            # Of an export that has not ended, another task is at work or publishing.
            if result.state in ("published", "superseded"):
                await note_end(running, number, open_task(number))
        except ENDS_THE_TASK:
            raise
        except BqdumpError as error:
            await note_failure(running, number, error)
