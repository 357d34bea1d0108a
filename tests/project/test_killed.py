"""Whenever a task of a set's run dies, its restart, or another execution, completes the set as it was planned."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from bqdump.core.errors import BqdumpError
from bqdump.project.run import SetResult, run_sets
from project.world import World, names

EVERY = 7


class Killed(BaseException):
    """The process is dead."""


class Dying:
    """A port that carries out so many calls, and none after that: the process dies with the first that is too many."""

    LISTINGS = ("notes", "objects", "jobs")

    def __init__(self, port: Any, calls: list[int], die: Callable[[], object]) -> None:
        self._port, self._calls, self._die = port, calls, die
        self.url = getattr(port, "url", "")

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._port, name)
        return self._pages(method) if name in self.LISTINGS else self._call(method)

    def _count(self) -> None:
        self._calls[0] -= 1
        if self._calls[0] < 0:
            self._die()
            raise Killed

    def _call(self, method: Any) -> Any:
        async def call(*given: Any) -> Any:
            self._count()
            return await method(*given)

        return call

    def _pages(self, method: Any) -> Any:
        async def pages(*given: Any) -> AsyncIterator[Any]:
            self._count()
            async for page in method(*given):
                yield page

        return pages


async def once(world: World, calls: int, execution: str, task: int, tasks: int, **settings: Any) -> Any:
    """One task, which dies after so many calls; how it ended."""
    left, dead = [calls], asyncio.Event()
    one = world.task("r", task, tasks, execution, **settings)
    store: Any = Dying(world.store, left, dead.set)
    warehouse: Any = Dying(world.warehouse, left, dead.set)
    work = asyncio.create_task(run_sets(one.settings, [one._replace(store=store, warehouse=warehouse)]))
    death = asyncio.create_task(dead.wait())
    await asyncio.wait((work, death), return_when=asyncio.FIRST_COMPLETED)
    death.cancel()
    if dead.is_set():
        work.cancel()
    try:
        return await work
    except (Killed, BaseExceptionGroup, BqdumpError, asyncio.CancelledError) as error:
        return error


async def life(world: World, calls: int, execution: str, **settings: Any) -> list[Any]:
    """A task that dies and is restarted, next to one that lives."""
    first, other = asyncio.create_task(once(world, calls, "one", 0, 2, **settings)), None
    if calls % 2:
        other = asyncio.create_task(once(world, 10**6, "one", 1, 2, **settings))
    await first
    if other:
        await other
    # What a killed process has begun, its event loop does not continue.
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()
    return [await once(world, 10**6, execution, task, 2, **settings) for task in (0, 1)]


def calls_of(**settings: Any) -> int:
    """The calls of a run that nothing happens to."""
    world, calls = World(), 10**6
    one = world.task("r", **settings)
    left = [calls]
    store: Any = Dying(world.store, left, print)
    warehouse: Any = Dying(world.warehouse, left, print)
    asyncio.run(run_sets(one.settings, [one._replace(store=store, warehouse=warehouse)]))
    return calls - left[0]


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("execution", ["one", "two"])
def test_a_set_is_completed_whenever_a_task_dies(execution: str, *, together: bool) -> None:
    for calls in range(1, calls_of(together=together), EVERY):
        world = World()
        results = asyncio.run(life(world, calls, execution, together=together))
        states = [one.state for result in results if isinstance(result, list) for one in result]
        assert all(isinstance(one, SetResult) for result in results for one in result), (calls, results)
        assert "published" in states, (calls, results)
        project = world.project()
        assert set(names(project).values()) == {"published"}, calls
        manifests = [world.manifest(dataset) for dataset in names(project)]
        assert {one.snapshot for one in manifests if one} == {project.snapshot}, calls
        assert {one.run for one in manifests if one} == {"r"}, calls
