"""A task whose process is killed at its n-th request: the request is made, and its answer never arrives."""

from __future__ import annotations

from typing import Any

from bqdump.restoration.task import Task


class Killed(BaseException):
    """The process is gone."""


class Counting:
    """The requests of a process, and after how many it ends."""

    def __init__(self, at: int) -> None:
        self.at, self.made = at, 0

    def request(self) -> None:
        self.made += 1
        if self.made > self.at:
            raise Killed


class Mortal:
    """A port whose requests end the process once they are too many, after they have been carried out."""

    def __init__(self, port: Any, counting: Counting) -> None:
        self._port, self._counting = port, counting

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._port, name)
        if not callable(attribute) or name in ("objects", "notes", "jobs", "share_limits"):
            return attribute

        async def request(*arguments: Any, **options: Any) -> Any:
            if self._counting.made > self._counting.at:
                raise Killed
            result = await attribute(*arguments, **options)
            self._counting.request()
            return result

        return request


def killed_at(task: Task, number: int) -> Task:
    """The task, killed after this many requests."""
    counting = Counting(number)
    via = task.via and task.via._replace(store=Mortal(task.via.store, counting))
    return task._replace(store=Mortal(task.store, counting), destination=Mortal(task.destination, counting), via=via)
