"""The order of a simulated run depends on its seed alone, and not on what asyncio does between two steps."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable

from simulation.loop import VirtualLoop

SEED = "order"


def nothing(*_: object) -> None:
    """What asyncio itself calls is without effect on the order of tasks."""


def order(between: Callable[[], object]) -> list[str]:
    """The order in which tasks take their steps, when `between` is called in each of them."""
    steps: list[str] = []

    async def work(name: str) -> None:
        for number in range(4):
            steps.append(f"{name}{number}")
            between()
            await asyncio.sleep(0)

    async def main() -> None:
        await asyncio.gather(*(work(name) for name in "abc"))

    VirtualLoop(SEED).complete(main())
    return steps


def test_calls_between_two_steps_draw_nothing() -> None:
    # Python 3.14 calls more when a gathering ends than 3.13 does.
    plain = order(nothing)
    assert order(lambda: asyncio.get_running_loop().call_soon(nothing)) == plain
    assert plain != sorted(plain, key=lambda step: step[1])


def test_an_abandoned_generator_is_closed_at_the_end_and_draws_nothing() -> None:
    # A traceback keeps it for longer in one version than in another.
    closed: list[int] = []

    async def endless() -> AsyncGenerator[int, None]:
        try:
            while True:
                yield 1
        finally:
            closed.append(len(closed))

    def abandon() -> None:
        with contextlib.suppress(StopIteration):
            endless().asend(None).send(None)

    assert order(abandon) == order(nothing)
    assert len(closed) == 12
