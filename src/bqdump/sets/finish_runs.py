"""Finishing the runs of a set that were stopped while they replaced published files: each dataset has its own."""

from __future__ import annotations

from collections.abc import Sequence

from bqdump.core.sets.member import one_dataset
from bqdump.repository.exports import names_in_set
from bqdump.restoration.finish_run import finish_run
from bqdump.restoration.task import Task
from bqdump.sets.exports import sets_at


async def finish_runs(tasks: Sequence[Task]) -> None:
    """Finish the runs that were stopped while they replaced the published files.

    tasks: one for each place where the export may be.
    """
    sets = await sets_at(tasks)
    for task in tasks if not sets else ():
        await finish_run(task)
    for one in sets:
        # Also of datasets that have left the set: their last exports can be restored.
        for name in await names_in_set(one.task.store, one.task.settings):
            await finish_run(one.task._replace(settings=one_dataset(one.task.settings, name)))
