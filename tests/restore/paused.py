"""A task whose process pauses before its n-th request, as if a signal had stopped it, until it may go on."""

from __future__ import annotations

import asyncio
from typing import Any

from bqdump.restoration.task import Task


class Pause:
    """Where a process pauses. requests: all that it has made; what each was about."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.requests: list[str] = []
        self.reached, self.over = asyncio.Event(), asyncio.Event()

    async def request(self, what: str) -> None:
        if len(self.requests) == self.at:
            self.reached.set()
            await self.over.wait()
        self.requests.append(what)

    async def reach(self, working: asyncio.Task[Any]) -> bool:
        """Wait until the process pauses; False if it has ended before."""
        reaching = asyncio.create_task(self.reached.wait())
        await asyncio.wait([working, reaching], return_when=asyncio.FIRST_COMPLETED)
        reaching.cancel()
        return not working.done()

    async def end(self, working: asyncio.Task[Any]) -> None:
        """Let the process go on to its end."""
        self.over.set()
        await asyncio.wait([working])


class Pausing:
    """A port of such a process."""

    def __init__(self, port: Any, pause: Pause) -> None:
        self._port, self._pause = port, pause

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._port, name)
        if not callable(attribute) or name in ("objects", "notes", "jobs", "share_limits"):
            return attribute

        async def request(*arguments: Any, **options: Any) -> Any:
            await self._pause.request(" ".join([name, *map(str, arguments[:2])]))
            return await attribute(*arguments, **options)

        return request


def pausing(task: Task, pause: Pause) -> Task:
    """The task, which pauses there."""
    return task._replace(store=Pausing(task.store, pause), destination=Pausing(task.destination, pause))
