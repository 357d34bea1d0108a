"""The requests of all tasks stay below BigQuery's limit, in any second."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from bqdump.adapters.bigquery.gate import PER_SECOND, RateLimit
from simulation.loop import VirtualLoop

LIMIT = 100


def starts(tasks: int, each: int, rate_limits: int = 0) -> list[float]:
    """The start times, in virtual seconds, of `each` requests by each of `tasks` tasks that start together."""
    moments: list[float] = []
    loop = VirtualLoop("limits")

    async def task() -> None:
        limit = RateLimit(tasks)
        for number in range(each):
            await limit.start()
            moments.append(loop.time())
            if number < rate_limits:
                limit.slow_down()

    async def all_tasks() -> None:
        await asyncio.gather(*(task() for _ in range(tasks)))

    loop.complete(all_tasks())
    return sorted(moments)


@pytest.mark.parametrize(("tasks", "each"), [(1, 500), (7, 60), (10, 50), (100, 5)])
def test_no_second_has_more_requests_than_the_limit(tasks: int, each: int) -> None:
    moments = starts(tasks, each)
    most = max(sum(moment <= later < moment + 1 for later in moments) for moment in moments)
    assert most <= LIMIT


def test_one_task_alone_uses_almost_the_complete_limit() -> None:
    moments = starts(1, 1000)
    assert 1000 / moments[-1] > PER_SECOND * 0.99


def test_a_rate_limit_halves_the_rate_which_then_recovers() -> None:
    moments = starts(1, 2000, rate_limits=3)
    after = [later - moment for moment, later in pairwise(moments)]
    assert after[4] == pytest.approx(8 / PER_SECOND)
    assert after[-1] == pytest.approx(1 / PER_SECOND)
