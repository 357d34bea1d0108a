"""Listings whose pages fail: they are continued where they were, however many pages there are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from bqdump.adapters.memory import MemoryStore
from bqdump.adapters.retry import RetryingStore
from bqdump.core.errors import UnavailableError
from bqdump.ports.store import ObjectInfo

PAGES = 40


class Failing(MemoryStore):
    """Every other page is not answered. pages: how many were asked for."""

    pages = 0

    async def objects(self, prefix: str, start: str = "") -> AsyncIterator[list[ObjectInfo]]:
        async for page in super().objects(prefix, start):
            self.pages += 1
            if self.pages % 2 == 0:
                raise UnavailableError("list", prefix, "no answer")
            yield page


@pytest.mark.usefixtures("no_waiting")
def test_a_listing_is_continued_at_the_page_that_failed() -> None:
    async def listed() -> tuple[list[str], int]:
        store = Failing("bucket", page=2)
        for number in range(PAGES):
            await store.write(f"p/{number:03}", b"", 0)
        pages = RetryingStore(store).objects("p/")
        return [info.name async for page in pages for info in page], store.pages

    names, pages = asyncio.run(listed())
    assert names == [f"p/{number:03}" for number in range(PAGES)]
    assert pages < 4 * PAGES
