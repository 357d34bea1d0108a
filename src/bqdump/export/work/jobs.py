"""One unit by a server-side job: the routes `extract` and `query`.

One partition: an extract job between two readings of it, or a query as of the snapshot time where these differ.

The first reading was taken while planning, before the snapshot time. If the one after the job is equal, the partition
has not changed in between, so what the job has read is as of the snapshot time. No time alone would prove that: see
core.plan.readings.

A table that existed at the snapshot time, and that BigQuery can no longer read as of it: dropped, or created again.

No retry helps, so the failure says it. Whether the run goes without a dropped table is decided by `export.carry`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial

import msgspec

from bqdump.core.documents.run import DROPPED, Failure, Receipt
from bqdump.core.documents.unchanged import Reading
from bqdump.core.documents.units import Changed, Unit
from bqdump.core.errors import BqdumpError
from bqdump.core.plan.by_partition import can_query, is_conclusive
from bqdump.core.plan.guards import job_risks, objection
from bqdump.core.plan.readings import reading_of
from bqdump.core.sql import statements as sql
from bqdump.core.sql.partitions import shape_of_partition
from bqdump.core.tables.catalog import Table
from bqdump.core.times import rfc3339
from bqdump.core.units.tables import FIRST_QUERY
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


CHANGED = "changed"
NO_QUERY = (
    "it was changed since the snapshot time, and the settings allow no query, which alone could read it as of that time"
)


async def extract_partition(
    export: RunningExport, watch: Watch, unit: Unit, first: int, started: Callable[[], None]
) -> Receipt | Failure | Changed:
    """Extract one partition. See jobs.by_job for parameters and results; Changed if the files do not count."""
    outcome = await extract_unit(export, watch, unit, first, started)
    if await is_unchanged(export, unit):
        return msgspec.structs.replace(outcome, unchanged=True) if isinstance(outcome, Receipt) else outcome
    table = Table(unit.table, unit.kind, unit.rows, unit.bytes, unit.definition)
    if not can_query(export.settings, table):
        return Failure(unit.id, unit.table, outcome.job, outcome.attempt, CHANGED, NO_QUERY, export.owner)
    return Changed(unit.id, outcome.job)


async def query_changed(
    export: RunningExport, watch: Watch, unit: Unit, first: int, started: Callable[[], None]
) -> Receipt | Failure:
    """Query a partition as of the snapshot time, after an extract job whose files do not count."""
    return await query_unit(export, watch, unit, max(first, FIRST_QUERY), started)


async def proven(export: RunningExport, unit: Unit, outcome: Receipt | Failure) -> Receipt | Failure:
    """The outcome of another route, with a note whether the partition has changed: a later run may reuse its files."""
    if unit.partition_look is None or isinstance(outcome, Failure):
        return outcome
    return msgspec.structs.replace(outcome, unchanged=await is_unchanged(export, unit))


async def is_unchanged(export: RunningExport, unit: Unit) -> bool:
    """Whether the partition looks as it did before the snapshot time. One request."""
    now = await _look(export, unit)
    return unit.partition_look is not None and now is not None and unit.partition_look.same(now)


async def _look(export: RunningExport, unit: Unit) -> Reading | None:
    table = await export.warehouse.table(export.source, f"{unit.table}${unit.partition}")
    return reading_of(table.definition) if table and is_conclusive(table.definition) else None


# The reason of a Failure about a table that was created again after the snapshot time.
RECREATED = "recreated"
WAS_DROPPED = "it was dropped after the snapshot time, and BigQuery can no longer read it"
WAS_RECREATED = "it was dropped and created again at {time}, and BigQuery can no longer read it as of the snapshot time"
# The reasons that BigQuery gives, or that follow from its answers.
MISSING = ("notFound", CHANGED)
UNREADABLE = (*MISSING, "invalid", "invalidQuery")


class _Created(msgspec.Struct):
    at: str = msgspec.field(name="creationTime", default="0")


async def explained(export: RunningExport, unit: Unit, failure: Failure) -> Failure:
    """The failure, with its cause where the table is gone. One or two requests."""
    if failure.reason not in UNREADABLE:
        return failure
    # Where they fail, the failure stays as BigQuery has reported it.
    with suppress(BqdumpError):
        now = await export.warehouse.table(export.source, unit.table)
        if now is None and failure.reason in MISSING:
            # Of a dataset that is gone, too, nothing is known about single tables.
            await export.warehouse.dataset(export.source.project, export.source.name)
            return msgspec.structs.replace(failure, reason=DROPPED, message=WAS_DROPPED)
        if now and unit.read_at == "snapshot":
            created = int(msgspec.json.decode(now.definition, type=_Created).at)
            if created > export.plan.snapshot:
                message = WAS_RECREATED.format(time=rfc3339(created))
                return msgspec.structs.replace(failure, reason=RECREATED, message=message)
    return failure
