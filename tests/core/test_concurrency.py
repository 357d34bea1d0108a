"""Requests are sent several at a time, and answered in the order of what was asked about."""

from __future__ import annotations

import asyncio

import pytest

from bqdump.concurrency import gathered


def test_answers_come_in_order_and_no_more_than_the_limit_are_asked_for_at_once() -> None:
    async def main() -> None:
        running, most = 0, 0

        async def ask(item: int) -> int:
            nonlocal running, most
            running += 1
            most = max(most, running)
            for _ in range(10 - item):
                await asyncio.sleep(0)
            running -= 1
            return item * item

        assert await gathered(ask, range(10), 3) == [item * item for item in range(10)]
        assert most == 3

    asyncio.run(main())


def test_the_first_error_is_raised() -> None:
    async def ask(item: int) -> int:
        raise ValueError(item)

    with pytest.raises(ValueError, match="0"):
        asyncio.run(gathered(ask, range(3), 1))
