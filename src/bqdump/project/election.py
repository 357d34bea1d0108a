"""Which task plans a set: first its datasets and their snapshot time, then each dataset. The others wait for it.

As with single exports this only saves requests: what is planned is created only once, whoever plans it.
"""

from __future__ import annotations

from contextlib import suppress

from bqdump.core.errors import BqdumpError
from bqdump.project.task import SetTask
from bqdump.repository.repository import Loaded, load, replace


async def becomes_planner(task: SetTask) -> bool:
    """Whether planning is up to this task: it is the first of its execution, or the planner itself, restarted."""
    planner = await load(task.store, task.layout.planner)
    if planner and planner.value == task.owner:
        return True
    if planner and planner.value.execution == task.owner.execution:
        return False
    return await takes_over(task, planner.generation if planner else 0)


async def takes_over(task: SetTask, generation: int) -> bool:
    """Take over from the planner whose note has this generation (0: none); False where another task was faster."""
    return await replace(task.store, task.layout.planner, task.owner, generation) is not None


async def step_back(task: SetTask) -> None:
    """Give planning up: waiting tasks take over at once, and meet the same error."""
    # The error must be raised even if this fails.
    with suppress(BqdumpError):
        planner: Loaded[object] | None = await load(task.store, task.layout.planner)
        if planner and planner.value == task.owner:
            await task.store.delete([(task.layout.planner.name, planner.generation)])


class Silence:
    """How long another task's note has stayed the same, by this task's own clock."""

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._seen, self._since = 0, 0.0

    async def ended(self, task: SetTask, now: float) -> bool:
        """Whether this task has taken over: the planner has given up, or its note has not changed for too long."""
        planner = await load(task.store, task.layout.planner)
        generation = planner.generation if planner else 0
        if generation and generation != self._seen:
            self._seen, self._since = generation, now
            return False
        if generation and now - self._since <= self._patience:
            return False
        return await takes_over(task, generation)
