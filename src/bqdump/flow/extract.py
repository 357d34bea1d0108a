"""One unit by the extract route: a server-side job, repeated under a new id while BigQuery says that this may help."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable

from bqdump.core.catalog import Dataset
from bqdump.core.documents import Failure, Plan, Receipt, Unit
from bqdump.core.errors import BqdumpError, ConflictError, DeniedError, JobFailedError, NotFoundError, QuotaError
from bqdump.flow.task import Task
from bqdump.flow.watch import Watch
from bqdump.ports import ExtractRequest, Job, JobError

log = logging.getLogger(__name__)

# Source of both lists: https://cloud.google.com/bigquery/docs/error-messages
NEW_JOB_HELPS = frozenset(
    ("backendError", "internalError", "jobBackendError", "jobInternalError", "jobRateLimitExceeded",
     "rateLimitExceeded", "tableUnavailable")
)  # fmt: skip
QUOTA = frozenset(("quotaExceeded",))
JOBS_PER_UNIT = 6
# A request that is refused never becomes a job; it counts as a job that failed.
REFUSALS: dict[type[BqdumpError], str] = {
    NotFoundError: "notFound", DeniedError: "accessDenied", JobFailedError: "invalid",
}  # fmt: skip
LONGEST_PAUSE = 32.0


async def extract_unit(
    task: Task, plan: Plan, watch: Watch, unit: Unit, first: int, started: Callable[[], None]
) -> Receipt | Failure:
    """Export one unit. `first` is the number of its first attempt; job ids follow from it.

    Calls `started` whenever a job is with BigQuery.

    Returns a Receipt, or a Failure that repeating will not mend. Raises QuotaError when a quota says later.
    """
    attempt, tries = first, 0
    while True:
        job, attached = await _job(task, plan, watch, unit, attempt, started)
        if job.error is None:
            return Receipt(unit.id, unit.table, job.id, attempt, job.files, job.created, job.started,
                           job.ended, task.owner.task)  # fmt: skip
        reason, message = job.error
        if attached:
            # A job of an earlier try that has failed says nothing about a new one.
            attempt += 1
            continue
        tries += 1
        if reason in QUOTA:
            hint = f"Quotas are replenished through the day. In an hour: bqdump run --run-id {plan.run}"
            raise QuotaError("export", f"table {unit.table}", message, hint)
        if reason not in NEW_JOB_HELPS or tries >= JOBS_PER_UNIT:
            return Failure(unit.id, unit.table, job.id, attempt, reason, message, task.owner)
        log.warning("%s: job %s failed with %s (%s): trying again", unit.table, job.id, reason, message,
                    extra={"table": unit.table})  # fmt: skip
        await asyncio.sleep(min(LONGEST_PAUSE, 2.0 ** (tries - 1)) * random.uniform(0.5, 1.0))
        attempt += 1


def job_id(plan: Plan, unit: Unit, attempt: int) -> str:
    """The id of an attempt's job: whoever works on the unit computes the same, so no table is extracted twice."""
    return f"bqdump_{plan.run}_{plan.nonce}_{unit.id}_{attempt}"


async def _job(
    task: Task, plan: Plan, watch: Watch, unit: Unit, attempt: int, started: Callable[[], None]
) -> tuple[Job, bool]:
    """The finished job of this attempt, and whether it had failed before this task asked for it."""
    request = _request(task, plan, unit, attempt)
    try:
        job = await task.warehouse.extract(request)
    except ConflictError:
        job = await task.warehouse.job(request.job_id, plan.location)
        started()
        return await watch.wait(job), job.state == "done" and job.error is not None
    except tuple(REFUSALS) as error:
        reason = next(reason for kind, reason in REFUSALS.items() if isinstance(error, kind))
        return Job(request.job_id, "done", JobError(reason, error.cause), 0, 0, 0, 0), False
    started()
    return await watch.wait(job), False


def _request(task: Task, plan: Plan, unit: Unit, attempt: int) -> ExtractRequest:
    settings = task.settings
    name = task.layout.staged(unit.id, attempt, unit.pattern) if plan.mode == "replace" else unit.pattern
    return ExtractRequest(
        job_id=job_id(plan, unit, attempt),
        dataset=Dataset(plan.project, plan.dataset, plan.location),
        table=unit.table,
        snapshot=plan.snapshot,
        uri=f"gs://{settings.bucket}/{name}",
        format=settings.format,
        codec=settings.compression,
        header=settings.header,
        delimiter=settings.delimiter,
        labels=settings.labels,
    )
