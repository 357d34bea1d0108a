"""One unit by a server-side job: the routes `extract` and `query`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

import msgspec

from bqdump.core.documents.run import Failure, Receipt
from bqdump.core.documents.units import Unit
from bqdump.core.plan.guards import job_risks, objection
from bqdump.core.sql import statements as sql
from bqdump.core.sql.partitions import shape_of_partition
from bqdump.export.task import RunningExport
from bqdump.export.watch import Watch
from bqdump.export.work.job import Start, Work, ended_job
from bqdump.ports.warehouse import ExtractRequest, Job, QueryRequest


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
    hint = f"Quotas are replenished through the day. In an hour: {{call:run run_id={export.plan.run}}}"
    named = partial(export.job_id, unit)
    work = Work(unit.table, "export", hint, export.plan.location, named, start)
    job, attempt = await ended_job(export.warehouse, watch, work, first, started)
    if job.error:
        return Failure(unit.id, unit.table, job.id, attempt, *job.error, export.owner)
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
        partition=unit.partition,
    )


def _query(export: RunningExport, unit: Unit, attempt: int) -> QueryRequest:
    settings = export.settings
    snapshot = export.plan.snapshot if unit.read_at == "snapshot" else None
    shape = shape_of_partition(unit.shape, unit.definition, unit.partition)
    return QueryRequest(
        job_id=export.job_id(unit, attempt),
        dataset=export.source,
        table=unit.table,
        snapshot=snapshot,
        select=sql.select_part(export.source, unit.table, snapshot, unit.definition, shape),
        uri=_uri(export, unit, attempt),
        format=export.format_of(unit),
        codec=export.compression_of(unit),
        header=settings.header,
        delimiter=settings.delimiter,
        labels=settings.labels,
        parameters=unit.shape.salts,
        max_bytes_billed=settings.max_bytes_billed,
    )
