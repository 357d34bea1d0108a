"""Several requests at a time, but no more than a limit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import TypeVar

from bqdump.core.errors import first_of

Item = TypeVar("Item")
Answer = TypeVar("Answer")


async def gathered(ask: Callable[[Item], Awaitable[Answer]], items: Iterable[Item], at_once: int) -> list[Answer]:
    """The answers about these items, in their order. Raises the first error, and leaves the other requests running.

    at_once: items that are worked on at the same time.
    """
    slots = asyncio.Semaphore(at_once)

    async def bounded(item: Item) -> Answer:
        async with slots:
            return await ask(item)

    return list(await asyncio.gather(*map(bounded, items)))


@asynccontextmanager
async def task_group() -> AsyncIterator[asyncio.TaskGroup]:
    """A group of tasks. The first error of one of them ends the others, and is raised itself, not in a group."""
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except BaseExceptionGroup as error:
        raise first_of(error) from None
