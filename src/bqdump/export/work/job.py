"""One server-side job from its request to its end, with another job where BigQuery's reason for a failure allows it."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from bqdump.core.errors import (
    BqdumpError,
    ConflictError,
    DeniedError,
    JobFailedError,
    JobsDeniedError,
    NotFoundError,
    QuotaError,
)
from bqdump.core.progress.log_events import LogEvent
from bqdump.export.watch import Watch
from bqdump.ports.warehouse import Job, JobError, Warehouse

log = logging.getLogger(__name__)

# Source of both lists: https://cloud.google.com/bigquery/docs/error-messages
NEW_JOB_HELPS = frozenset(
    {
        "backendError",
        "internalError",
        "jobBackendError",
        "jobInternalError",
        "jobRateLimitExceeded",
        "rateLimitExceeded",
        "tableUnavailable",
    }
)
QUOTA = frozenset(("quotaExceeded",))
JOBS_AT_MOST = 6
# A request that is refused never becomes a job; it counts as a job that failed.
REFUSALS: dict[type[BqdumpError], str] = {
    NotFoundError: "notFound",
    DeniedError: "accessDenied",
    JobFailedError: "invalid",
}
LONGEST_PAUSE = 32.0
# Starts the job of an attempt.
Start = Callable[[int], Awaitable[Job]]


class Work(NamedTuple):
    """A job, and what it is for.

    subject: the table, for log lines.
    operation, hint: of the QuotaError.
    location: where jobs run.
    named: the id of the job of an attempt: every task computes the same one.
    start: starts it.
    """

    subject: str
    operation: str
    hint: str
    location: str
    named: Callable[[int], str]
    start: Start


async def ended_job(
    warehouse: Warehouse, watch: Watch, work: Work, first: int = 0, started: Callable[[], None] = lambda: None
) -> tuple[Job, int]:
    """The job that is done, and the number of its attempt; its error is one that another job will not fix.

    first: the number of the first attempt. Calls `started` whenever a job is with BigQuery.
    Raises QuotaError if a quota is exceeded.
    """
    attempt, tries = first, 0
    while True:
        job, attached = await _job(warehouse, watch, work, attempt, started)
        if job.error is None:
            return job, attempt
        reason, message = job.error
        if attached:
            # A failed job of an earlier try does not predict the result of a new one.
            attempt += 1
            continue
        tries += 1
        if reason in QUOTA:
            raise QuotaError(work.operation, f"table {work.subject}", message, work.hint)
        if reason not in NEW_JOB_HELPS or tries >= JOBS_AT_MOST:
            return job, attempt
        retried = LogEvent.JOB_RETRIED.extra(table=work.subject)
        log.warning("%s: job %s failed with %s (%s); retrying", work.subject, job.id, reason, message, extra=retried)
        await asyncio.sleep(min(LONGEST_PAUSE, 2.0 ** (tries - 1)) * random.uniform(0.5, 1.0))
        attempt += 1


async def _job(
    warehouse: Warehouse, watch: Watch, work: Work, attempt: int, started: Callable[[], None]
) -> tuple[Job, bool]:
    """The finished job of this attempt, and whether it had failed before this task requested it."""
    name = work.named(attempt)
    try:
        job = await work.start(attempt)
    except ConflictError:
        # No document lost a race: the job of this id has been started before, and is the one to wait for.
        job = await warehouse.job(name, work.location)
        started()
        return await watch.wait(job), job.state == "done" and job.error is not None
    except JobsDeniedError:
        raise
    except tuple(REFUSALS) as error:
        reason = next(reason for kind, reason in REFUSALS.items() if isinstance(error, kind))
        return Job(name, "done", JobError(reason, error.cause), 0, 0, 0, 0), False
    started()
    return await watch.wait(job), False
