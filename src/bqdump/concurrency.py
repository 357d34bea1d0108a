"""Several requests at a time, but no more than a limit."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")


async def gathered(ask: Callable[[Item], Awaitable[Answer]], items: Iterable[Item], at_once: int) -> list[Answer]:
    """The answers about these items, in their order. Raises the first error, and leaves the other requests running.

    at_once: items that are worked on at the same time.
    """
    slots = asyncio.Semaphore(at_once)

    async def one(item: Item) -> Answer:
        async with slots:
            return await ask(item)

    return list(await asyncio.gather(*map(one, items)))
