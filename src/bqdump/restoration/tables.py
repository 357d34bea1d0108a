"""One table: created, loaded, compared with the manifest, and finished.

Every request may be repeated: a table that exists is known by its label or by its job, and a job by its id.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable
from typing import Any, TypeVar

import msgspec

from bqdump.core.documents.definitions import NOTHING
from bqdump.core.documents.notes import Restored
from bqdump.core.restore.names import LABEL, id_of, scratch_name
from bqdump.core.restore.partitions import both, boundaries, fill, ranges
from bqdump.core.restore.plan import TABLE
from bqdump.core.tables.partitioning import partitioning_of
from bqdump.export.watch import Watch
from bqdump.ports.destination import LoadRequest, TableName
from bqdump.ports.warehouse import Job
from bqdump.restoration.changes import VALUES, name_without_rows, scratch_difference
from bqdump.restoration.jobs import (
    FULL,
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
    keep_expirations,
    labels_of,
    own,
    put_partitions,
    take_over,
    taken_over,
)
from bqdump.restoration.planning import later_rivals
from bqdump.restoration.task import RunningRestore
from bqdump.restoration.uploads import changed_files, upload_files

# Steps, as in the ids of jobs.
INSERT, RANGES = "insert", "ranges"
# A scratch table that was forgotten disappears after so long, in milliseconds.
SCRATCH_MS = 3 * 24 * 60 * 60 * 1000
# https://cloud.google.com/bigquery/docs/error-messages, https://cloud.google.com/bigquery/quotas#partitioned_tables
TOO_MANY_PARTITIONS = ("too many partitions", "exceeded the maximum number of partitions")
Result = TypeVar("Result")


async def restore_table(restore: RunningRestore, watch: Watch, number: int, attempt: int) -> Restored:
    """Restore one table of the plan. Raises FailedJobError, and other BqdumpErrors that fail the table."""
    step = restore.plan.tables[number]
    work = TableWork(restore, step, number, attempt, Jobs(restore, watch, number, step.name, attempt))
    changed = await changed_files(restore, step.entry)
    if changed and (step.parts or not await is_copied(work)):
        raise _replaced(work, changed)
    if changed:
        await _refuse_overtaken(work)
        # An earlier start has compared them before it requested the copy: the rows are the export's.
        await work.jobs.copy(work.scratch("full"), work.name, empty=False)
        done = InPlace(await _counted(work, work.name, None))
    else:
        await upload_files(restore, step.entry)
        try:
            done = await _load_rows(work)
        except FailedJobError:
            await _refuse_overtaken(work)
            raise
        await name_without_rows(restore, step, done.rows, done.parts)
    await _finish(work)
    jobs = work.jobs
    return Restored(
        number=number,
        name=work.name,
        kind=TABLE,
        attempt=attempt,
        task=restore.owner.task,
        rows=done.rows,
        parts=done.parts,
        jobs=len(jobs.done),
        billed=jobs.billed,
        started=jobs.started,
        ended=jobs.ended,
    )


async def drop_scratch(restore: RunningRestore, number: int, attempt: int) -> None:
    """Drop the scratch tables of an attempt: only after its receipt, as another task may be at the same attempt."""
    load = restore.plan.tables[number].load
    for of in ("full", "raw", "ranges") if load.casts or load.like_null else ("full",):
        await restore.destination.drop_table(restore.target, f"{scratch_name(restore.mark, number)}_{attempt}_{of}")


async def _load_rows(work: TableWork) -> InPlace:
    """Build the table under another name, then put it in place by one copy job, which is atomic.

    So whatever is found wrong before, such as other files, no row of it is ever under the table's name.
    """
    full = work.scratch("full")
    await _create_scratch(work, full, work.step.create)
    try:
        filled = await _fill(work, full)
    except FailedJobError as error:
        if not _has_another_way(work, error):
            raise
        full = work.scratch("ranges")
        await _create_scratch(work, full, work.step.create)
        filled = await _fill(work, full, by_ranges=True)
    # Load jobs read files by name, whatever their generation.
    if changed := await changed_files(work.restore, work.step.entry):
        raise _replaced(work, changed)
    await _counted(work, full, filled)
    if (work.step.action == "replace" or work.step.parts) and (
        difference := await scratch_difference(work.restore, work.step, full)
    ):
        raise FailedJobError(work.name, VALUES, f"not replaced: {difference}")
    if work.step.action != "create":
        await _refuse_overtaken(work)
    if work.step.parts:
        return await put_partitions(work, full)
    await _try_properties(work, full)
    created = await _create(work)
    try:
        await work.jobs.copy(full, work.name, empty=created)
    except FailedJobError:
        await _refuse_overtaken(work)
        await keep_expirations(work.restore.destination, work.restore.target, work.name, work.step.kept)
        raise
    return InPlace(await _counted(work, work.name, filled))


async def _refuse_overtaken(work: TableWork) -> None:
    """Raise FailedJobError for a table that a later restore writes to as well, which has dropped scratch tables."""
    if later := (await later_rivals(work.restore)).get(work.name):
        raise taken_over(work.name, later)


def _has_another_way(work: TableWork, error: FailedJobError) -> bool:
    """Whether the table may be filled from a scratch table after a job that was to fill it at once was refused."""
    refused = error.reason not in (TAKEN, ROWS)
    return too_many_partitions(error.cause) or bool(work.step.load.like_null and refused)


def _replaced(work: TableWork, changed: list[str]) -> FailedJobError:
    return FailedJobError(work.name, "replaced", f"{changed[0]} is no longer the exported file")


async def _try_properties(work: TableWork, full: str) -> None:
    """Set default values and keys, which BigQuery may refuse, before there is a table of this name."""
    finish = msgspec.json.decode(work.step.finish) or {}
    if properties := {name: finish[name] for name in ("schema", "tableConstraints") if name in finish}:
        await work.restore.destination.change_table(work.restore.target, full, _raw(properties))


async def _create(work: TableWork) -> bool:
    """Create the table unless it exists, with a label by which the next start of the restore recognizes it.

    Returns whether it has no rows: rows that it has later are those of a restore that has taken it over.
    """
    restore, step, empty, expires = work.restore, work.step, True, True
    body = msgspec.json.decode(step.create)
    body["labels"] = {**body.get("labels", {}), LABEL: restore.mark}
    if not await restore.destination.create_table(restore.target, work.name, _raw(body)):
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


async def _fill(work: TableWork, to: str, *, by_ranges: bool = False) -> int:
    """Load the files into a scratch table, through another one where values are cast. Returns the rows.

    by_ranges: through another one, and by one statement for each range of partitions.
    """
    load = work.step.load
    if not load.groups:
        return 0
    if not load.casts and not by_ranges:
        return _sum(await _load(work, to, FULL))
    raw = work.scratch("raw")
    await _create_scratch(work, raw, load.scratch)
    await _counted(work, raw, _sum(await _load(work, raw, STAGE)))
    return await _insert(work, raw, to, by_ranges=by_ranges)


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


async def _create_scratch(work: TableWork, name: str, definition: msgspec.Raw) -> None:
    restore = work.restore
    now = await restore.destination.now(restore.target.location)
    body = msgspec.json.decode(definition) | {"expirationTime": str(now + SCRATCH_MS)}
    body["labels"] = {LABEL: restore.mark}
    # If it exists, an earlier start of this attempt has created it.
    await restore.destination.create_table(restore.target, name, _raw(body))
    # The dataset's default would delete old partitions, also of a scratch table.
    lasting = msgspec.json.decode(work.step.lasting) or {}
    if partitioning := "timePartitioning" in body and lasting.get("timePartitioning"):
        await restore.destination.change_table(restore.target, name, _raw({"timePartitioning": partitioning}))


async def _counted(work: TableWork, name: str, filled: int | None) -> int:
    """The rows of a table. Raises FailedJobError if they are not those that jobs report, or not the export's.

    filled: None where no job of this start has reported any.
    """
    table = await work.restore.destination.table(work.restore.target, name)
    if table is None:
        raise FailedJobError(work.name, "notFound", f"{name} disappeared from the target while it was restored")
    holder = labels_of(table).get(LABEL, work.restore.mark)
    if holder != work.restore.mark:
        raise taken_over(work.name, id_of(holder))
    filled = table.rows if filled is None else filled
    if table.rows != filled:
        cause = f"{name} has {table.rows:,} rows, but {filled:,} were loaded: it was changed meanwhile, or has expired"
        raise FailedJobError(work.name, ROWS, cause)
    entry = work.step.entry
    expected = entry.rows if entry.rows is not None else entry.expected_rows
    if expected is not None and filled != expected:
        raise FailedJobError(work.name, ROWS, f"{filled:,} rows were loaded, and the export has {expected:,}")
    return filled


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


def _raw(body: dict[str, Any]) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(body))
