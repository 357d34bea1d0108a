"""An event loop in virtual time: no clock, no threads, no sockets, and every choice made by one seeded generator.

Time stands still while anything is ready, then jumps to the next timer. Ready tasks take their steps in a seeded order.
The same seed and the same program give the same run, in any process, under any version of Python: what asyncio itself
calls between two steps, which differs from version to version, runs at once and draws nothing.
"""

from __future__ import annotations

import asyncio
import heapq
import random
import sys
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextvars import Context
from typing import Any, TypeVar, TypeVarTuple, Unpack

Result = TypeVar("Result")
Args = TypeVarTuple("Args")
MOST_STEPS = 400_000


class StuckError(Exception):
    """Nothing is ready, no timer runs, and what was waited for has not come; or it goes on without an end."""


class StoppedError(Exception):
    """`stop` was called before the end."""


class VirtualTask(asyncio.Task[Any]):
    """A task whose hash is a serial number, so that a set of tasks has the same order in every run."""

    serial = 0

    def __hash__(self) -> int:
        return self.serial


class VirtualLoop(asyncio.BaseEventLoop):
    """See the module. `started` is told of every new task, from within the context that makes it."""

    def __init__(self, seed: str, started: Callable[[asyncio.Task[Any]], None] = lambda task: None) -> None:
        super().__init__()
        self.steps = 0
        self._random = random.Random(seed)
        self._started = started
        self._now = 0.0
        self._serial = 0
        self._steps: list[asyncio.Handle] = []
        self._calls: deque[asyncio.Handle] = deque()
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._tasks: dict[asyncio.Task[Any], None] = {}
        # Generators that were left before their end. When Python notices that differs from version to version.
        self._abandoned: list[AsyncGenerator[Any, Any]] = []
        self._stopped = self._ending = False
        self.set_exception_handler(lambda loop, context: None)

    def time(self) -> float:
        """Virtual seconds since the start."""
        return self._now

    def stop(self) -> None:
        """Let `complete` end at once."""
        self._stopped = True

    def complete(self, main: Coroutine[Any, Any, Result]) -> Result:
        """Run until `main` is done; then end whatever still runs. Raises StuckError and StoppedError."""
        hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(finalizer=self._keep)
        asyncio._set_running_loop(self)
        try:
            results: list[Result] = []

            async def wait() -> None:
                results.append(await main)

            task = self.create_task(wait())
            self._turn(task.done)
            task.result()
            return results[0]
        finally:
            self._end_all()
            asyncio._set_running_loop(None)
            sys.set_asyncgen_hooks(*hooks)
            self.close()

    def call_soon(
        self, callback: Callable[[Unpack[Args]], object], *args: *Args, context: Context | None = None
    ) -> asyncio.Handle:
        """See the base class."""
        handle = asyncio.Handle(callback, args, self, context)
        of_a_task = isinstance(getattr(callback, "__self__", None), asyncio.Task)
        (self._steps if of_a_task else self._calls).append(handle)
        return handle

    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[Args]], object],
        *args: *Args,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """See the base class."""
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        self._serial += 1
        heapq.heappush(self._timers, (when, self._serial, handle))
        return handle

    def call_later(
        self,
        delay: float,
        callback: Callable[[Unpack[Args]], object],
        *args: *Args,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """See the base class."""
        return self.call_at(self._now + delay, callback, *args, context=context)

    def create_task(self, coro: Any, *, name: object = None, context: Context | None = None) -> asyncio.Task[Any]:
        """See the base class."""
        task = VirtualTask(coro, loop=self, context=context)
        self._serial += 1
        task.serial = self._serial
        self._tasks[task] = None
        task.add_done_callback(self._forget)
        if not self._ending:
            self._started(task)
        return task

    def is_running(self) -> bool:
        """See the base class."""
        return asyncio._get_running_loop() is self

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._tasks.pop(task, None)

    def _keep(self, generator: AsyncGenerator[Any, Any]) -> None:
        self._abandoned.append(generator)

    def _turn(self, done: Callable[[], bool]) -> None:
        steps, calls, pick = self._steps, self._calls, self._random.random
        while not done():
            if self._stopped:
                raise StoppedError
            if calls:
                # At once loses no order of steps: a task that is ready earlier may still be picked later.
                handle = calls.popleft()
            elif steps:
                if (waiting := len(steps)) > 1:
                    chosen = int(pick() * waiting)
                    steps[chosen], steps[-1] = steps[-1], steps[chosen]
                handle = steps.pop()
                self.steps += 1
            else:
                self._jump()
                continue
            if not handle.cancelled():
                handle._run()
            if self.steps > MOST_STEPS:
                raise StuckError(f"no end after {MOST_STEPS} steps")

    def _jump(self) -> None:
        """To the next timer."""
        timers = self._timers
        while timers and timers[0][2].cancelled():
            heapq.heappop(timers)
        if not timers:
            raise StuckError("nothing is ready and no timer runs")
        self._now = max(self._now, timers[0][0])
        while timers and timers[0][0] <= self._now:
            self._calls.append(heapq.heappop(timers)[2])

    def _end_all(self) -> None:
        steps, self.steps = self.steps, 0
        self._ending, self._stopped = True, False
        while self._tasks or self._abandoned:
            for task in list(self._tasks):
                task.cancel()
            while self._abandoned:
                self.create_task(self._abandoned.pop().aclose())
            self._turn(lambda: not (self._steps or self._calls))
        self.steps = steps
