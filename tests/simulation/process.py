"""A simulated process: every asyncio task that starts within it belongs to it, and dies with it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextvars import ContextVar, copy_context
from typing import Any, TypeVar

Result = TypeVar("Result")
_CURRENT: ContextVar[Process | None] = ContextVar("_CURRENT", default=None)


class CrashedError(Exception):
    """The process has died before its work was done."""


class Process:
    """One process. Once it is dead, none of its calls reaches a port any more, whatever its code still does."""

    def __init__(self, name: str, run: str) -> None:
        self.name, self.run = name, run
        self.dead = False
        # It dies in the middle of the request that is being carried out.
        self.doomed = False
        self._tasks: list[asyncio.Task[Any]] = []

    def kill(self) -> None:
        """End it at once: everything that it has in memory is lost."""
        self.dead = True
        for task in self._tasks:
            task.cancel()
        self._tasks.clear()

    async def execute(self, main: Coroutine[Any, Any, Result]) -> Result:
        """What `main` returns or raises. Raises CrashedError when the process is killed meanwhile."""
        context = copy_context()
        context.run(_CURRENT.set, self)
        task = asyncio.get_running_loop().create_task(main, context=context)
        self._tasks.append(task)
        try:
            await asyncio.wait([task])
            if self.dead or task.cancelled():
                raise CrashedError(self.name)
            return task.result()
        finally:
            self.kill()


def adopt(task: asyncio.Task[Any]) -> None:
    """Make a new task part of the process in whose context it starts."""
    process = _CURRENT.get()
    if process is not None:
        process._tasks.append(task)


class Outside:
    """Within this `with`, new tasks belong to no process: a service's own work goes on when its caller dies."""

    def __enter__(self) -> None:
        self._token = _CURRENT.set(None)

    def __exit__(self, *_: object) -> None:
        _CURRENT.reset(self._token)
