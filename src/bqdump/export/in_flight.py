"""What the units in flight of one task have in common: room for them, and one watch over their jobs.

The exports of several datasets of a set share both within a process, as they share BigQuery's limits.
"""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from bqdump.export.watch import Watch
from bqdump.ports.warehouse import Warehouse

# Units of all tasks together whose jobs are being started: 88 requests a second that take up to 0.3 s each.
STARTING = 26


class Slots:
    """Room for units: limits those in flight, and those claimed whose job has not started yet.

    What a task has claimed no other task takes; so it claims no faster than it can start jobs.
    """

    def __init__(self, concurrency: int, tasks: int) -> None:
        self._in_flight = asyncio.Semaphore(concurrency)
        self._starting = asyncio.Semaphore(max(2, STARTING // tasks))

    async def acquire(self) -> None:
        """Wait for room for one more unit."""
        await self._in_flight.acquire()
        await self._starting.acquire()

    def release(self) -> None:
        """Give back the room: the unit was not taken."""
        self._starting.release()
        self._in_flight.release()

    def hold(self) -> Hold:
        """The room of a unit that was taken."""
        return Hold(self._in_flight, self._starting)


class Hold:
    """The room that one unit takes, given back in two steps."""

    def __init__(self, in_flight: asyncio.Semaphore, starting: asyncio.Semaphore) -> None:
        self._in_flight, self._starting = in_flight, starting
        self._has_started = False

    def started(self) -> None:
        """The unit's job is with BigQuery; may be said more than once."""
        if not self._has_started:
            self._has_started = True
            self._starting.release()

    def done(self) -> None:
        """Nothing more is to be done for the unit."""
        self.started()
        self._in_flight.release()


class InFlight(NamedTuple):
    """Room for units, and the watch over their jobs."""

    slots: Slots
    watch: Watch


class Shared:
    """What one process has in flight, opened by location when it is first needed, until it is closed.

    concurrency, tasks: of the task whose limits hold, which are the same for every dataset.
    """

    def __init__(self, warehouse: Warehouse, concurrency: int, tasks: int) -> None:
        self._warehouse, self._concurrency, self._tasks = warehouse, concurrency, tasks
        self._opened: dict[str, InFlight] = {}
        self._polling: list[asyncio.Task[None]] = []

    def at(self, location: str) -> InFlight:
        """Always the same for one location."""
        key = location.lower()
        if key not in self._opened:
            watch = Watch(self._warehouse, location, self._tasks)
            self._opened[key] = InFlight(Slots(self._concurrency, self._tasks), watch)
            self._polling.append(asyncio.create_task(watch.run()))
        return self._opened[key]

    def close(self) -> None:
        """Stop watching."""
        for polling in self._polling:
            polling.cancel()
