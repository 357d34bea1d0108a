"""One unit by a server-side job: the routes `extract` and `query`.

A job that fails is repeated under a new id while BigQuery's error reason indicates that this may help.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable

import msgspec

from bqdump.core.documents.run import Failure, Receipt
from bqdump.core.errors import BqdumpError, ConflictError, DeniedError, JobFailedError, NotFoundError, QuotaError
from bqdump.core.plan.guards import job_risks, objection
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.sql import statements as sql
from bqdump.core.units.documents import Unit
from bqdump.export.task import RunningExport
from bqdump.export.work.watch import Watch
from bqdump.ports.warehouse import ExtractRequest, Job, JobError, QueryRequest

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
JOBS_PER_UNIT = 6
# A request that is refused never becomes a job; it counts as a job that failed.
REFUSALS: dict[type[BqdumpError], str] = {
    NotFoundError: "notFound",
    DeniedError: "accessDenied",
    JobFailedError: "invalid",
}
LONGEST_PAUSE = 32.0

# Starts the job of an attempt; its id is RunningExport.job_id(unit, attempt).
Start = Callable[[int], Awaitable[Job]]


async def extract_unit(
    export: RunningExport, watch: Watch, unit: Unit, first: int, started: Callable[[], None]
) -> Receipt | Failure:
    """Export one unit by an extract job. See by_job."""

    def start(attempt: int) -> Awaitable[Job]:
        return export.warehouse.extract(_extract(export, unit, attempt))

    return await by_job(export, watch, unit, first, started, start)


async def query_unit(
    export: RunningExport, watch: Watch, unit: Unit, first: int, started: Callable[[], None]
) -> Receipt | Failure:
    """Export one unit by an EXPORT DATA job. See by_job."""

    def start(attempt: int) -> Awaitable[Job]:
        return export.warehouse.query(_query(export, unit, attempt))

    async with watch.queries:
        outcome = await by_job(export, watch, unit, first, started, start)
    if isinstance(outcome, Receipt) and outcome.rows is None:
        # A listing of jobs may omit the statistics of an EXPORT DATA job.
        job = await export.warehouse.job(outcome.job, export.plan.location)
        outcome = msgspec.structs.replace(outcome, files=job.files, rows=job.rows, billed=job.billed)
    return outcome


async def by_job(
    export: RunningExport, watch: Watch, unit: Unit, first: int, started: Callable[[], None], start: Start
) -> Receipt | Failure:
    """Export one unit. `first` is the number of its first attempt; job ids follow from it.

    Calls `started` whenever a job is with BigQuery.

    Returns a Receipt, or a Failure that a retry will not fix. Raises QuotaError if a quota is exceeded.
    """
    attempt, tries = first, 0
    while True:
        job, attached = await _job(export, watch, unit, attempt, started, start)
        if job.error is None:
            risks = job_risks(row_policies=job.row_policies, masking=job.masking)
            if lost := objection(risks, export.settings, "reported by its job:"):
                return Failure(unit.id, unit.table, job.id, attempt, lost[0].value, lost[1], export.owner)
            return Receipt(
                unit.id,
                unit.table,
                job.id,
                attempt,
                job.files,
                job.created,
                job.started,
                job.ended,
                export.owner.task,
                job.rows,
                job.billed,
                risks,
            )
        reason, message = job.error
        if attached:
            # A failed job of an earlier try does not predict the result of a new one.
            attempt += 1
            continue
        tries += 1
        if reason in QUOTA:
            hint = f"Quotas are replenished through the day. In an hour: {{call:run run_id={export.plan.run}}}"
            raise QuotaError("export", f"table {unit.table}", message, hint)
        if reason not in NEW_JOB_HELPS or tries >= JOBS_PER_UNIT:
            return Failure(unit.id, unit.table, job.id, attempt, reason, message, export.owner)
        retried = LogEvent.JOB_RETRIED.extra(table=unit.table)
        log.warning("%s: job %s failed with %s (%s); retrying", unit.table, job.id, reason, message, extra=retried)
        await asyncio.sleep(min(LONGEST_PAUSE, 2.0 ** (tries - 1)) * random.uniform(0.5, 1.0))
        attempt += 1


async def _job(
    export: RunningExport, watch: Watch, unit: Unit, attempt: int, started: Callable[[], None], start: Start
) -> tuple[Job, bool]:
    """The finished job of this attempt, and whether it had failed before this task requested it."""
    name = export.job_id(unit, attempt)
    try:
        job = await start(attempt)
    except ConflictError:
        # No document lost a race: the job of this id has been started before, and is the one to wait for.
        job = await export.warehouse.job(name, export.plan.location)
        started()
        return await watch.wait(job), job.state == "done" and job.error is not None
    except tuple(REFUSALS) as error:
        reason = next(reason for kind, reason in REFUSALS.items() if isinstance(error, kind))
        return Job(name, "done", JobError(reason, error.cause), 0, 0, 0, 0), False
    started()
    return await watch.wait(job), False


def _uri(export: RunningExport, unit: Unit, attempt: int) -> str:
    return export.settings.target.uri(export.written(unit, attempt))


def _extract(export: RunningExport, unit: Unit, attempt: int) -> ExtractRequest:
    settings = export.settings
    return ExtractRequest(
        job_id=export.job_id(unit, attempt),
        dataset=export.source,
        table=unit.table,
        snapshot=export.plan.snapshot,
        uri=_uri(export, unit, attempt),
        format=export.format_of(unit),
        codec=export.compression_of(unit),
        header=settings.header,
        delimiter=settings.delimiter,
        labels=settings.labels,
    )


def _query(export: RunningExport, unit: Unit, attempt: int) -> QueryRequest:
    settings = export.settings
    snapshot = export.plan.snapshot if unit.moment == "snapshot" else None
    return QueryRequest(
        job_id=export.job_id(unit, attempt),
        dataset=export.source,
        table=unit.table,
        snapshot=snapshot,
        select=sql.select_part(export.source, unit.table, snapshot, unit.definition, unit.shape),
        uri=_uri(export, unit, attempt),
        format=export.format_of(unit),
        codec=export.compression_of(unit),
        header=settings.header,
        delimiter=settings.delimiter,
        labels=settings.labels,
        parameters=unit.shape.salts,
        max_bytes_billed=settings.max_bytes_billed,
    )
