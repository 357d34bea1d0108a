"""Which task makes the plan: the others wait for it, and take over when it shows no sign of life.

This only saves requests: two tasks may plan at once, since the plan itself is created only once.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from bqdump.core.errors import BqdumpError
from bqdump.export.task import Task
from bqdump.repository.prefix_owner import release_prefix
from bqdump.repository.repository import load, replace, value_of


async def become_planner(task: Task) -> bool:
    """Whether planning is up to this task: it is the first, or the planner itself, restarted."""
    return await replace_planner(task, 0) or await value_of(task.store, task.layout.planner) == task.owner


async def replace_planner(task: Task, generation: int) -> bool:
    """Take over from the planner whose note has this generation; False where another task was faster."""
    return await replace(task.store, task.layout.planner, task.owner, generation) is not None


async def step_back(task: Task) -> None:
    """Remove all traces of a plan that cannot be made. Waiting tasks then plan, and meet the same refusal."""
    # The refusal must be raised even if this fails.
    with suppress(BqdumpError):
        planner = await load(task.store, task.layout.planner)
        if planner and planner.value == task.owner:
            await task.store.delete([(task.layout.planner.name, planner.generation)])
            await release_prefix(task.store, task.settings, task.run)


@asynccontextmanager
async def stepping_back(task: Task) -> AsyncIterator[None]:
    """Step back if the work inside is refused permanently."""
    try:
        yield
    except BqdumpError as error:
        if not error.retryable:
            await step_back(task)
        raise
