"""What a run would do: its plan, without writing anything."""

from __future__ import annotations

from bqdump.core.plan.summary import Planned, planned
from bqdump.export.carry import read_published
from bqdump.export.planning.draft import draft_plan
from bqdump.export.planning.reuse import Earlier
from bqdump.export.planning.target import check_target, of_dataset
from bqdump.export.task import Task


async def show_plan(task: Task) -> Planned:
    """The plan of a run. Raises what the run would raise before its plan is stored."""
    async with of_dataset(task.warehouse, task.settings):
        bucket = await check_target(task.store, task.settings)
    earlier = Earlier(task.store, await read_published(task.store, task.settings))
    draft = await draft_plan(task.warehouse, task.settings, task.run, task.tasks, bucket, earlier, task.of_set)
    return planned(draft.plan, draft.tables, draft.altered, task.settings.price_per_tib)
