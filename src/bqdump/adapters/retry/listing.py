"""Listings and streams that are continued after an error."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TypeVar

from bqdump.adapters.patience import Attempts, Retrying
from bqdump.core.errors import BqdumpError
from bqdump.ports.reader import Batch

Item = TypeVar("Item")


async def listed(
    retrying: Retrying,
    listing: Callable[[str], AsyncIterator[list[Item]]],
    place: Callable[[Item], str] | None,
) -> AsyncIterator[list[Item]]:
    """The pages of a listing, which is continued after an error. Every page resets the patience.

    listing: lists from the item with this key on. place: the key by which it is sorted. None: after an error the
    listing begins again, and repeats all items.
    """
    given = ""
    attempts = Attempts(retrying)
    while True:
        try:
            async for page in listing(given):
                fresh = [item for item in page if place(item) > given] if place and given else page
                yield fresh
                if place and fresh:
                    given = place(fresh[-1])
                    attempts.reset()
        except BqdumpError as error:
            pause = attempts.failed(error)
        else:
            return
        await asyncio.sleep(pause)


def resumed(retrying: Retrying, read: Callable[[int], Iterator[Batch]], offset: int) -> Iterator[Batch]:
    """The batches of a stream, which resumes after the last row that has arrived. Every batch resets the patience.

    read: reads from the row with this number on. It waits in this thread.
    """
    attempts = Attempts(retrying)
    while True:
        try:
            for batch in read(offset):
                offset += batch.rows
                attempts.reset()
                yield batch
        except BqdumpError as error:
            pause = attempts.failed(error)
        else:
            return
        time.sleep(pause)
