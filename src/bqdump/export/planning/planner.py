"""Which task makes the plan: the others wait for it, and take over when it shows no sign of life.

This saves requests and nothing else: two tasks may plan at once, since the plan itself is created only once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from bqdump.core.documents.codec import decode, encode
from bqdump.core.documents.run import Owner
from bqdump.core.errors import BqdumpError, ConflictError, NotFoundError
from bqdump.export.task import Task
from bqdump.repository.prefix_owner import release_prefix

PULSE_SECONDS = 10.0


async def become_planner(task: Task) -> bool:
    """Whether planning is up to this task: it is the first, or the planner itself, restarted."""
    try:
        await task.store.write(task.layout.planner, encode(task.owner), 0)
    except ConflictError:
        planner, _ = await read_planner(task)
        return planner == task.owner
    return True


async def replace_planner(task: Task, generation: int) -> bool:
    """Take over from the planner whose note has this generation; False where another task was faster."""
    try:
        await task.store.write(task.layout.planner, encode(task.owner), generation)
    except ConflictError:
        return False
    return True


async def read_planner(task: Task) -> tuple[Owner | None, int]:
    """The task that is planning, and the generation of that note; (None, 0) where none is."""
    try:
        stored = await task.store.read(task.layout.planner)
    except NotFoundError:
        return None, 0
    return decode(stored.data, Owner, task.layout.planner), stored.generation


async def step_back(task: Task) -> None:
    """Remove all traces of a plan that cannot be made. Waiting tasks then plan, and meet the same refusal."""
    # The refusal is what counts, whatever prevents this.
    with suppress(BqdumpError):
        planner, generation = await read_planner(task)
        if planner == task.owner:
            await task.store.delete([(task.layout.planner, generation)])
            await release_prefix(task.store, task.settings, task.run)


@asynccontextmanager
async def pulse(task: Task) -> AsyncIterator[None]:
    """Rewrite the planner's note regularly, so that waiting tasks see that planning goes on."""

    async def beat() -> None:
        while True:
            await asyncio.sleep(PULSE_SECONDS)
            await task.store.write(task.layout.planner, encode(task.owner), None)

    beating = asyncio.create_task(beat())
    try:
        yield
    finally:
        beating.cancel()
        with suppress(asyncio.CancelledError):
            await beating
