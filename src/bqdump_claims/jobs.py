"""Jobs and other requests of a check: started, waited for, and known until they have ended."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from bqdump.core.errors import (
    BqdumpError,
    ConflictError,
    DeniedError,
    JobFailedError,
    QuotaError,
    UnavailableError,
)
from bqdump.export.work.job import NEW_JOB_HELPS, QUOTA
from bqdump.ports.destination import Destination
from bqdump.ports.warehouse import Job

Answer = TypeVar("Answer")
JOBS_AT_ONCE = 8
FIRST_PAUSE, LONGEST_PAUSE = 0.02, 2.0
# How long `ended` waits for jobs that were started before a signal, in seconds.
PATIENCE = 60


class StartedJobs:
    """What a check has started. room: for jobs and queries at the same time."""

    def __init__(self, destination: Destination, location: str) -> None:
        self._destination, self._location = destination, location
        self.room = asyncio.Semaphore(JOBS_AT_ONCE)
        self._begun: set[asyncio.Task[Any]] = set()
        self._running: set[str] = set()

    async def begin(self, request: Awaitable[Answer]) -> Answer:
        """A request that changes something: a signal does not interrupt it, so that its outcome is known."""
        begun = asyncio.ensure_future(request)
        self._begun.add(begun)
        begun.add_done_callback(self._begun.discard)
        return await asyncio.shield(begun)

    async def done(self, start: Callable[[Any], Awaitable[Job]], request: Any) -> Job:
        """Start a job and wait for its end. Raises JobFailedError, or UnavailableError if it failed for a moment."""
        async with self.room:
            self._running.add(request.job_id)
            try:
                job = await self.begin(start(request))
            except ConflictError:
                # An answer was lost, and the request repeated.
                job = await self._look(request.job_id)
            except BqdumpError:
                self._running.discard(request.job_id)
                raise
            job = await self._end_of(job)
        if job.error:
            raise _kind(job.error.reason)("run", f"job {job.id}", f"{job.error.reason}: {job.error.message}")
        return job

    async def _end_of(self, job: Job) -> Job:
        pause = FIRST_PAUSE
        while job.state != "done":
            await asyncio.sleep(pause)
            pause = min(LONGEST_PAUSE, pause * 1.5)
            job = await self._look(job.id)
        self._running.discard(job.id)
        return job

    async def _look(self, job_id: str) -> Job:
        return await self._destination.job(job_id, self._location)

    async def ended(self) -> None:
        """Wait until everything that was started has ended, but not for long: what jobs write later is not known."""
        await asyncio.gather(*self._begun, return_exceptions=True)
        try:
            async with asyncio.timeout(PATIENCE):
                for job_id in list(self._running):
                    if job := await self._destination.find_job(job_id, self._location):
                        await self._end_of(job)
        except (BqdumpError, TimeoutError):
            return


def _kind(reason: str) -> type[BqdumpError]:
    """The error of a job that failed for this reason."""
    if reason in NEW_JOB_HELPS:
        return UnavailableError
    return QuotaError if reason in QUOTA else DeniedError if reason == "accessDenied" else JobFailedError
