"""A run of few tables takes as long with many tasks as with one, however few of them are alive."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from bqdump.adapters.bigquery.gate import Gate
from bqdump.adapters.memory import MemoryStore
from bqdump.core.documents.run import Owner
from bqdump.core.restore.plan import Options
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target
from bqdump.export.run import run
from bqdump.export.task import ReadRoute, Task
from bqdump.restoration.restore import restore_one
from bqdump.restoration.task import Request
from bqdump.restoration.task import Task as RestoreTask
from bqdump.sets.run import run_set
from bqdump.sets.task import SetTask
from bqdump_memory import MemoryDestination, gated
from simulation.loop import VirtualLoop

JOB_SECONDS = 5.0
EPOCH = 1_800_000_000_000
SETTINGS = Settings(project="p", dataset="d", target=Target("gs", "memory"), header=False)


class Stage:
    """Tables of one dataset or several, in virtual time, behind the limits of a task's share."""

    def __init__(self, tables: int, datasets: int = 1) -> None:
        self.loop, self.store = VirtualLoop("few tables"), MemoryStore()
        self.big = MemoryDestination(self.store, lambda: EPOCH + int(self.loop.time() * 1000))
        self.big.seconds = lambda table: JOB_SECONDS
        for number in range(tables):
            self.big.put("p", "d" if datasets == 1 else f"d{number % datasets}", f"t{number:02}", ["1"])

    def exported(self, settings: Settings, tasks: int, alive: int) -> float:
        """The virtual seconds of an export by `alive` of `tasks` tasks."""

        async def every() -> None:
            results = await asyncio.gather(
                *(
                    run(Task(self.store, gated(self.big, Gate(tasks=tasks)), settings, "r", Owner("r", task), tasks))
                    for task in range(alive)
                )
            )
            assert "published" in {result.state for result in results}

        return self._seconds(every())

    def exported_set(self, settings: Settings, tasks: int) -> float:
        """The same for a set, by the first of its tasks."""

        def no_read_route() -> ReadRoute:
            raise AssertionError

        async def alone() -> None:
            warehouse = gated(self.big, Gate(tasks=tasks))
            task = SetTask(self.store, warehouse, settings, "r", Owner("r", 0), tasks, no_read_route)
            result = await run_set(task)
            assert result.state == "published"

        return self._seconds(alone())

    def restored(self, tasks: int, alive: int) -> float:
        """The same for a restore."""

        async def every() -> None:
            request, limited = Request(Options(project="p", dataset="copy")), gated(self.big, Gate(tasks=tasks))
            results = await asyncio.gather(
                *(
                    restore_one(RestoreTask(self.store, limited, SETTINGS, request, Owner("x", task), tasks))
                    for task in range(alive)
                )
            )
            assert "restored" in {result.state for result in results}

        self.exported(SETTINGS, 1, 1)
        return self._seconds(every())

    def _seconds(self, work: Coroutine[Any, Any, None]) -> float:
        began = self.loop.time()
        self.loop.complete(work)
        return self.loop.time() - began


@pytest.mark.parametrize("route", ["extract", "query"])
@pytest.mark.parametrize(("tables", "tasks", "alive"), [(4, 10_000, 1), (4, 100, 1), (30, 30, 30), (30, 10_000, 1)])
def test_an_export_of_few_tables_takes_as_long_as_with_one_task(
    route: str, tables: int, tasks: int, alive: int
) -> None:
    settings = Settings(project="p", dataset="d", target=Target("gs", "memory"), route=route)
    alone = Stage(tables).exported(settings, 1, 1)
    assert Stage(tables).exported(settings, tasks, alive) <= 1.5 * alone


def test_a_set_of_few_tables_takes_as_long_as_with_one_task() -> None:
    settings = Settings(project="p", dataset="*", target=Target("gs", "memory"))
    alone = Stage(4, datasets=2).exported_set(settings, 1)
    assert Stage(4, datasets=2).exported_set(settings, 10_000) <= 1.5 * alone


@pytest.mark.parametrize(("tables", "tasks"), [(4, 10_000), (30, 30), (30, 10_000)])
def test_a_restore_of_few_tables_takes_as_long_as_with_one_task(tables: int, tasks: int) -> None:
    alone = Stage(tables).restored(1, 1)
    assert Stage(tables).restored(tasks, tables) <= 1.5 * alone
