"""An event loop that does not wait: where nothing but a timer is left, time jumps to it.

Sockets, pipes and threads work as in any loop: while one of them is awaited, time passes as it does outside.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, TypeVar, TypeVarTuple, Unpack

Result = TypeVar("Result")
Args = TypeVarTuple("Args")


class _Selector(selectors.DefaultSelector):
    """Never blocks for the sake of a timer."""

    loop: SkippingLoop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """See the base class."""
        if timeout is None or timeout <= 0 or self.loop.in_threads:
            return super().select(timeout)
        if not (ready := super().select(0)):
            self.loop.skipped += timeout
        return ready


class SkippingLoop(asyncio.SelectorEventLoop):
    """See the module."""

    def __init__(self) -> None:
        self.skipped = 0.0
        self.in_threads = 0
        selector = _Selector()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        """Seconds of the monotonic clock, and those that were skipped."""
        return super().time() + self.skipped

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[Args]], Result], *args: *Args
    ) -> asyncio.Future[Result]:
        """See the base class."""
        self.in_threads += 1
        future = super().run_in_executor(executor, func, *args)
        future.add_done_callback(self._ended)
        return future

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """See the base class. It waits for the threads however long they take: a timer would be skipped."""
        self.in_threads += 1
        try:
            await super().shutdown_default_executor()
        finally:
            self.in_threads -= 1

    def _ended(self, _: asyncio.Future[Result]) -> None:
        self.in_threads -= 1


def run_skipping(main: Coroutine[Any, Any, Result], *, debug: bool | None = None) -> Result:
    """What asyncio.run does, on a loop that does not wait."""
    with asyncio.Runner(debug=debug, loop_factory=SkippingLoop) as runner:
        return runner.run(main)
