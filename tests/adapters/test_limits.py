"""Requests stay below BigQuery's limit, together and in whichever second."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from bqdump.adapters.limits import PER_SECOND, Pace
from simulation.loop import VirtualLoop

LIMIT = 100


def starts(tasks: int, each: int, complaints: int = 0) -> list[float]:
    """When so many tasks start so many requests each, all at once, in virtual seconds."""
    moments: list[float] = []
    loop = VirtualLoop("limits")

    async def task() -> None:
        pace = Pace(tasks)
        for number in range(each):
            await pace.start()
            moments.append(loop.time())
            if number < complaints:
                pace.slow_down()

    async def all_tasks() -> None:
        await asyncio.gather(*(task() for _ in range(tasks)))

    loop.complete(all_tasks())
    return sorted(moments)


@pytest.mark.parametrize(("tasks", "each"), [(1, 500), (7, 60), (10, 50), (100, 5)])
def test_no_second_sees_more_requests_than_allowed(tasks: int, each: int) -> None:
    moments = starts(tasks, each)
    most = max(sum(moment <= later < moment + 1 for later in moments) for moment in moments)
    assert most <= LIMIT


def test_one_task_alone_uses_nearly_the_whole_limit() -> None:
    moments = starts(1, 1000)
    assert 1000 / moments[-1] > PER_SECOND * 0.99


def test_a_complaint_halves_the_rate_and_it_comes_back() -> None:
    moments = starts(1, 2000, complaints=3)
    after = [later - moment for moment, later in pairwise(moments)]
    assert after[4] == pytest.approx(8 / PER_SECOND)
    assert after[-1] == pytest.approx(1 / PER_SECOND)
