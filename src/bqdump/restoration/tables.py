"""One table: created, loaded, compared with the manifest, and finished.

Every request may be repeated: a table that exists is known by its label or by its job, and a job by its id.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable
from typing import TypeVar

import msgspec

from bqdump.core.documents.definitions import NOTHING
from bqdump.core.documents.notes import Restored
from bqdump.core.restore.names import LABEL
from bqdump.core.restore.partitions import both, boundaries, fill, ranges
from bqdump.core.restore.plan import TABLE
from bqdump.core.tables.partitioning import partitioning_of
from bqdump.export.watch import Watch
from bqdump.file_content import OtherFileError
from bqdump.ports.destination import LoadRequest, TableName
from bqdump.ports.warehouse import Job
from bqdump.restoration.changes import VALUES, name_without_rows, scratch_difference
from bqdump.restoration.direct import load_directly, replaced
from bqdump.restoration.jobs import (
    FULL,
    REPLACED,
    ROWS,
    STAGE,
    TAKEN,
    FailedJobError,
    InPlace,
    Jobs,
    TableWork,
    is_copied,
    is_filled,
    is_put,
    is_written,
    keep_expirations,
    own,
    put_partitions,
    take_over,
    taken_over,
)
from bqdump.restoration.planning import later_rivals
from bqdump.restoration.scratch import counted_rows, create_scratch, raw, try_properties
from bqdump.restoration.task import RunningRestore
from bqdump.restoration.uploads import changed_files, changed_uploads, upload_files

# Steps, as in the ids of jobs.
INSERT, RANGES = "insert", "ranges"
# https://cloud.google.com/bigquery/docs/error-messages, https://cloud.google.com/bigquery/quotas#partitioned_tables
TOO_MANY_PARTITIONS = ("too many partitions", "exceeded the maximum number of partitions")
Result = TypeVar("Result")


def table_work(restore: RunningRestore, watch: Watch, number: int, attempt: int) -> TableWork:
    """An attempt at a table of the plan."""
    step = restore.plan.tables[number]
    return TableWork(restore, step, number, attempt, Jobs(restore, watch, number, step.name, attempt), [], {})


async def restore_table(work: TableWork) -> Restored:
    """Restore one table of the plan. Raises FailedJobError, and other BqdumpErrors that fail the table."""
    restore, step = work.restore, work.step
    changed = await changed_files(restore, step.entry)
    if changed and not step.parts and await is_copied(work):
        await _refuse_overtaken(work)
        # An earlier start has compared them before it requested the copy: the rows are the export's.
        full = work.scratch("full")
        work.made.append(full)
        await work.jobs.copy(full, work.name, empty=False)
        done = InPlace(await counted_rows(work, work.name, None))
    else:
        try:
            done = await _load_rows(work, changed)
        except (FailedJobError, OtherFileError):
            await _refuse_overtaken(work)
            raise
        await name_without_rows(restore, step, done.rows, done.parts)
    await _finish(work)
    jobs = work.jobs
    return Restored(
        number=work.number,
        name=work.name,
        kind=TABLE,
        attempt=work.attempt,
        task=restore.owner.task,
        rows=done.rows,
        parts=done.parts,
        jobs=len(jobs.done),
        billed=jobs.billed,
        started=jobs.started,
        ended=jobs.ended,
    )


async def drop_scratch(work: TableWork) -> None:
    """Drop the scratch tables of an attempt: only after its receipt, as another task may be at the same attempt."""
    for name in dict.fromkeys(work.made):
        await work.restore.destination.drop_table(work.restore.target, name)


async def _load_rows(work: TableWork, changed: list[str]) -> InPlace:
    """Put the rows of the export in the table. changed: the files that are not the exported ones."""
    if not work.step.direct:
        if changed:
            raise FailedJobError(work.name, REPLACED, replaced(changed))
        work.uploaded.update(await upload_files(work.restore, work.step.entry))
        return await _build(work)
    try:
        return await load_directly(work, changed)
    except FailedJobError as error:
        # The rows may be there already: an earlier start has gone the other way.
        if not _has_another_way(work, error) and not await is_written(work):
            raise
    return await _build(work, by_ranges=True)


async def _build(work: TableWork, *, by_ranges: bool = False) -> InPlace:
    """Build the table under another name, then put it in place by one copy job, which is atomic.

    So whatever is found wrong before, such as other files, no row of it is ever under the table's name.

    by_ranges: see _fill.
    """
    full = await create_scratch(work, "ranges" if by_ranges else "full", work.step.create)
    try:
        filled = await _fill(work, full, by_ranges=by_ranges)
    except FailedJobError as error:
        if by_ranges or not _has_another_way(work, error):
            raise
        return await _build(work, by_ranges=True)
    # Load jobs read files by name, whatever their generation.
    if changed := await changed_files(work.restore, work.step.entry):
        raise FailedJobError(work.name, REPLACED, replaced(changed))
    if changed := await changed_uploads(work.restore, work.uploaded):
        raise FailedJobError(work.name, REPLACED, f"{changed[0]} is no longer the file that was uploaded")
    await counted_rows(work, full, filled)
    if (work.step.action == "replace" or work.step.parts) and (
        difference := await scratch_difference(work.restore, work.step, full)
    ):
        raise FailedJobError(work.name, VALUES, f"not replaced: {difference}")
    if work.step.action != "create":
        await _refuse_overtaken(work)
    if work.step.parts:
        return await put_partitions(work, full)
    await try_properties(work, full)
    created = await _create(work)
    try:
        await work.jobs.copy(full, work.name, empty=created)
    except FailedJobError:
        await _refuse_overtaken(work)
        await keep_expirations(work.restore.destination, work.restore.target, work.name, work.step.kept)
        raise
    return InPlace(await counted_rows(work, work.name, filled))


async def _refuse_overtaken(work: TableWork) -> None:
    """Raise FailedJobError for a table that a later restore writes to as well, which has dropped scratch tables."""
    if later := (await later_rivals(work.restore)).get(work.name):
        raise taken_over(work.name, later)


def _has_another_way(work: TableWork, error: FailedJobError) -> bool:
    """Whether the table may be filled from a scratch table after a job that was to fill it at once was refused."""
    refused = error.reason not in (TAKEN, ROWS, REPLACED)
    return too_many_partitions(error.cause) or bool(work.step.load.like_null and refused)


async def _create(work: TableWork) -> bool:
    """Create the table unless it exists, with a label by which the next start of the restore recognizes it.

    Returns whether it has no rows: rows that it has later are those of a restore that has taken it over.
    """
    restore, step, empty, expires = work.restore, work.step, True, True
    body = msgspec.json.decode(step.create)
    body["labels"] = {**body.get("labels", {}), LABEL: restore.mark}
    if not await restore.destination.create_table(restore.target, work.name, raw(body)):
        put = await is_put(work)
        if step.action == "replace" and restore.decision.options.replace:
            empty = False
            if not put:
                expires = await take_over(work)
        else:
            empty = not await is_filled(work) if step.action == "fill" else await own(work)
        if put:
            # Made lasting before: to repeat it would remove expirations that another task has set at the end.
            return empty
    if expires and step.lasting != NOTHING:
        await restore.destination.change_table(restore.target, work.name, step.lasting)
    return empty


async def _fill(work: TableWork, to: str, *, by_ranges: bool) -> int:
    """Load the files into a scratch table, through another one where values are cast. Returns the rows.

    by_ranges: through another one, and by one statement for each range of partitions.
    """
    load = work.step.load
    if not load.groups:
        return 0
    if not load.casts and not by_ranges:
        return _sum(await _load(work, to, FULL))
    staged = await create_scratch(work, "raw", load.scratch)
    await counted_rows(work, staged, _sum(await _load(work, staged, STAGE)))
    return await _insert(work, staged, to, by_ranges=by_ranges)


async def _load(work: TableWork, to: str, step: str) -> list[Job]:
    """Load every group of files. step: in the ids of the jobs."""
    load = work.step.load
    restore, schema = work.restore, load.staged if step == STAGE else load.schema
    alone, partitions = len(load.groups) == 1, load.partitions or [""] * len(load.groups)
    requests = [
        LoadRequest(
            job_id="",
            to=TableName(restore.target, to, partition),
            uris=restore.addresses(files),
            options=load.options,
            schema=schema,
            empty=alone,
            labels=restore.labels,
        )
        for partition, files in zip(partitions, load.groups, strict=True)
    ]
    return await _all(work.jobs.load(step, part, request) for part, request in enumerate(requests))


async def _insert(work: TableWork, source: str, to: str, *, by_ranges: bool) -> int:
    """Fill a table from a scratch table that has everything. Returns the rows."""
    load, target, step = work.step.load, work.restore.target, RANGES if by_ranges else INSERT
    conditions = [both(load.where, where) for where in (await _ranges(work, source) if by_ranges else [""])]
    statements = [fill(target, to, source, load, where) for where in conditions]
    return _sum(await _all(work.jobs.statement(step, part, work.name, text) for part, text in enumerate(statements)))


async def _ranges(work: TableWork, source: str) -> list[str]:
    """The conditions for ranges of partitions. One job may fill each range."""
    partitioning = partitioning_of(work.step.create)
    if partitioning is None:
        return [""]
    load, target = work.step.load, work.restore.target
    query = boundaries(partitioning, target, source, load)
    limit = work.restore.task.settings.max_bytes_billed
    return ranges(partitioning, await work.restore.destination.ask(target, source, query, limit), load)


def too_many_partitions(message: str) -> bool:
    """Whether a job was refused because it would change more partitions than a job may."""
    return any(part in message.lower() for part in TOO_MANY_PARTITIONS)


def _sum(jobs: Iterable[Job]) -> int:
    return sum(job.rows or 0 for job in jobs)


async def _finish(work: TableWork) -> None:
    if work.step.finish != NOTHING:
        await work.restore.destination.change_table(work.restore.target, work.name, work.step.finish)


async def _all(work: Iterable[Awaitable[Result]]) -> list[Result]:
    """The results of all; if some fail, the first error once all have ended, so that no job is at work afterwards."""
    results = await asyncio.gather(*work, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return [result for result in results if not isinstance(result, BaseException)]
