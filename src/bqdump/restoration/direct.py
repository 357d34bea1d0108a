"""A table whose files cannot change is loaded under its own name, by one job.

Its files are in the folder of a run, at the generations of the manifest: no other run replaces them. If something else
does, the rows are removed again, and the table is not restored. Processes of one restore may be stopped and go on at
any time, and requests may arrive late. So

- all attempts share one sequence of job ids, in which each job follows only one that failed: at most one loads rows;
- files are compared once more after the job, and what was found is recorded once, by the first process: no process
  finishes a table that another one empties;
- rows are removed by a copy job from an empty scratch table: whoever ends this restore drops that table;
- a later restore of the same tables, or whoever ends this one, takes the next id for a job that does nothing.
"""

from __future__ import annotations

import msgspec

from bqdump.core.documents.definitions import NOTHING
from bqdump.core.restore.documents import Loaded
from bqdump.core.restore.names import LABEL
from bqdump.ports.destination import LoadRequest, TableName
from bqdump.ports.warehouse import Job
from bqdump.repository.repository import create, value_of
from bqdump.restoration.jobs import (
    REPLACED,
    ROWS,
    TAKEN,
    FailedJobError,
    InPlace,
    TableWork,
    labels_of,
    name_taken,
    taken_over,
)
from bqdump.restoration.planning import later_rivals, refuse_ended
from bqdump.restoration.scratch import counted_rows, create_scratch, other_rows, raw, refusable, try_properties
from bqdump.restoration.uploads import changed_files


async def load_directly(work: TableWork, changed: list[str]) -> InPlace:
    """Create the table, and load its files into it. Raises FailedJobError; then it is absent or empty.

    changed: the files that are not the exported ones. Nothing is loaded then, also by a request that arrives late.
    """
    if not changed:
        if refusable(work):
            await try_properties(work, await create_scratch(work, "full", work.step.create))
        await _create(work)
    if not work.step.load.groups:
        if changed:
            raise FailedJobError(work.name, REPLACED, replaced(changed))
        # Without it, a process that finds the finished table before its receipt would take it for another's.
        await create(work.restore.state, work.restore.layout.loaded(work.number), Loaded(""))
        return InPlace(await counted_rows(work, work.name, 0))
    job = await (work.jobs.take_load() if changed else _load(work))
    changed = changed or await changed_files(work.restore, work.step.entry)
    if job.rows is None and not changed:
        raise FailedJobError(work.name, TAKEN, f"another process has taken the id of its load job, {job.id}")
    found = _found(work, job, changed)
    recorded = (await create(work.restore.state, work.restore.layout.loaded(work.number), found)).value
    if recorded.wrong:
        if job.rows:
            await _remove(work)
        raise FailedJobError(work.name, recorded.reason, recorded.wrong)
    return InPlace(await counted_rows(work, work.name, job.rows))


def replaced(changed: list[str]) -> str:
    """Why a table is not restored whose files have changed."""
    return f"{changed[0]} is no longer the exported file"


def _found(work: TableWork, job: Job, changed: list[str]) -> Loaded:
    if changed:
        return Loaded(job.id, REPLACED, replaced(changed))
    difference = other_rows(work, job.rows or 0)
    return Loaded(job.id, ROWS if difference else "", difference)


async def _create(work: TableWork) -> None:
    """Create the table, with a label by which other starts recognize it. Raises FailedJobError for another's table."""
    restore, step = work.restore, work.step
    body = msgspec.json.decode(step.create)
    body["labels"] = {**body.get("labels", {}), LABEL: restore.mark}
    if not await restore.destination.create_table(restore.target, work.name, raw(body)):
        recorded = await value_of(restore.state, restore.layout.loaded(work.number))
        table = await restore.destination.table(restore.target, work.name)
        holder = labels_of(table).get(LABEL) if table else ""
        finished = holder is None and recorded and not recorded.wrong
        if holder != restore.mark and not finished:
            raise name_taken(work.name, restore.id)
        # A later restore that has taken it over while it was unfinished leaves no label, either.
        if holder != restore.mark and (later := (await later_rivals(restore)).get(work.name)):
            raise taken_over(work.name, later)
        if recorded:
            # Made lasting before: to repeat it would remove expirations that another task has set at the end.
            return
    if step.lasting != NOTHING:
        await restore.destination.change_table(restore.target, work.name, step.lasting)


async def _load(work: TableWork) -> Job:
    restore, load = work.restore, work.step.load
    # Whoever ends a restore looks for the tables that it has begun before.
    await refuse_ended(restore)
    (files,) = load.groups
    to = TableName(restore.target, work.name)
    request = LoadRequest(
        "", to, restore.addresses(files), load.options, load.schema, empty=True, labels=restore.labels
    )
    return await work.jobs.load_once(request)


async def _remove(work: TableWork) -> None:
    """Remove the rows that were loaded."""
    await work.jobs.empty(await create_scratch(work, "full", work.step.create), work.name)
