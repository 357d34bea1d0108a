"""Watching many server-side jobs with one listing: a bulk poll for all that are in flight.

What the units in flight of one task have in common: room for them, and one watch over their jobs.

The exports of several datasets of a set share both within a process, as they share BigQuery's limits.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import NamedTuple

from bqdump.core.dealing import Sharing
from bqdump.core.errors import BqdumpError, words_of
from bqdump.ports.warehouse import Job, Warehouse

log = logging.getLogger(__name__)

SHORTEST, LONGEST = 0.2, 10.0
# A second, by all tasks: half of what BigQuery allows of listings, and of requests for one job.
# https://cloud.google.com/bigquery/quotas#api_request_quotas
LISTINGS, REQUESTS = 50.0, 500.0
# Of interactive queries BigQuery queues at most 1,000 per project and region, for all users.
# https://cloud.google.com/bigquery/quotas#query_jobs
QUERIES_AT_ONCE = 800
# After this many listings without it, a job is requested by its id.
UNSEEN_POLLS = 3


class Watch:
    """Futures for jobs in flight. `run` polls until it is cancelled; one Watch serves a complete task.

    The tasks with jobs in flight share BigQuery's limits, so the shortest interval between polls grows with their
    number. queries: room for queries, of which BigQuery takes fewer at once than of other jobs.
    """

    def __init__(self, warehouse: Warehouse, location: str, sharing: Sharing) -> None:
        self._warehouse, self._location, self.sharing = warehouse, location, sharing
        self.queries = asyncio.Semaphore(sharing.part(QUERIES_AT_ONCE))
        self._waiting: dict[str, _Waiting] = {}
        self._wake = asyncio.Event()

    async def wait(self, job: Job) -> Job:
        """The job once it is done."""
        if job.state == "done":
            return job
        loop = asyncio.get_running_loop()
        waiting = self._waiting.setdefault(job.id, _Waiting(loop.create_future(), job.created, loop.time()))
        self._wake.set()
        try:
            return await asyncio.shield(waiting.future)
        finally:
            self._waiting.pop(job.id, None)

    async def run(self) -> None:
        """Poll while jobs are in flight. An error of the service reaches every waiter."""
        while True:
            self._wake.clear()
            if not self._waiting:
                await self._wake.wait()
            await asyncio.sleep(self._interval())
            try:
                await self._poll()
            except Exception as error:
                failure = error if isinstance(error, BqdumpError) else self._unexpected(error)
                for waiting in self._waiting.values():
                    if not waiting.future.done():
                        waiting.future.set_exception(failure)

    def _unexpected(self, error: Exception) -> BqdumpError:
        """An error that is not about a single job, so that no table fails because of it."""
        failure = BqdumpError("watch", f"the jobs in {self._location}", words_of(error))
        failure.__cause__ = error
        return failure

    def _interval(self) -> float:
        """Short for young jobs, longer as the youngest grows old."""
        now = asyncio.get_running_loop().time()
        youngest = min((now - waiting.since for waiting in self._waiting.values()), default=0.0)
        pollers = self.sharing.busy
        shortest = max(SHORTEST, min(pollers / LISTINGS, pollers * len(self._waiting) / REQUESTS))
        return min(max(shortest, 0.15 * youngest), max(LONGEST, shortest))

    def _one_by_one(self, open_: int) -> bool:
        """Whether requests for each job may be repeated sooner than a listing."""
        return self.sharing.busy > SHORTEST * LISTINGS and open_ / REQUESTS < 1 / LISTINGS

    async def _poll(self) -> None:
        open_ = {job_id: waiting for job_id, waiting in self._waiting.items() if not waiting.future.done()}
        if not open_:
            return
        if self._one_by_one(len(open_)):
            for job_id, waiting in open_.items():
                _settle(waiting, await self._warehouse.job(job_id, self._location))
            return
        # In order of their start: a set of names has another order in each process.
        unseen = dict.fromkeys(open_)
        async for page in self._warehouse.jobs(min(waiting.created for waiting in open_.values())):
            for job in page:
                if job.id in unseen:
                    del unseen[job.id]
                    _settle(open_[job.id], job)
            if not unseen:
                break
        for job_id in unseen:
            waiting = open_[job_id]
            waiting.unseen += 1
            if waiting.unseen >= UNSEEN_POLLS:
                _settle(waiting, await self._warehouse.job(job_id, self._location))


class _Waiting:
    def __init__(self, future: asyncio.Future[Job], created: int, since: float) -> None:
        self.future, self.created, self.since, self.unseen = future, created, since, 0


def _settle(waiting: _Waiting, job: Job) -> None:
    if job.state == "done" and not waiting.future.done():
        waiting.future.set_result(job)


# BigQuery queues at most 50,000 jobs per project and region; all tasks of a run share them.
# https://cloud.google.com/bigquery/quotas
JOBS_IN_FLIGHT = 40_000
# Units of all tasks together whose jobs are being started: 88 requests a second that take up to 0.3 s each.
STARTING = 26


class Slots:
    """Room for units: limits those in flight, and those claimed whose job has not started yet.

    What a task has claimed no other task takes; so it claims no faster than it can start jobs.
    """

    def __init__(self, concurrency: int, sharing: Sharing) -> None:
        self._in_flight = asyncio.Semaphore(min(concurrency, sharing.part(JOBS_IN_FLIGHT)))
        self._starting = asyncio.Semaphore(max(2, STARTING // sharing.busy))

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
    units: how many each dataset has, by its number, as far as that is known.
    """

    def __init__(self, warehouse: Warehouse, concurrency: int, tasks: int, units: Mapping[int, int]) -> None:
        self._warehouse, self._concurrency, self._tasks, self._units = warehouse, concurrency, tasks, dict(units)
        self._opened: dict[str, InFlight] = {}
        self._polling: list[asyncio.Task[None]] = []

    def at(self, location: str, dataset: int, units: int) -> InFlight:
        """What a dataset with so many units uses: always the same for one location."""
        self._units[dataset] = units
        sharing = Sharing(self._tasks, sum(self._units.values()))
        self._warehouse.share_limits(sharing)
        for opened in self._opened.values():
            opened.watch.sharing = sharing
        key = location.lower()
        if key not in self._opened:
            watch = Watch(self._warehouse, location, sharing)
            self._opened[key] = InFlight(Slots(self._concurrency, sharing), watch)
            self._polling.append(asyncio.create_task(watch.run()))
        return self._opened[key]

    def close(self) -> None:
        """Stop watching."""
        for polling in self._polling:
            polling.cancel()
