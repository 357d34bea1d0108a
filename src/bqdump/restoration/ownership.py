"""Whose a table of the target is: this restore's, by its label or its jobs, or one that it takes over."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from bqdump.core.restore.names import LABEL, job_id, scratch_name
from bqdump.core.restore.plan import TableStep
from bqdump.core.tables.catalog import Table
from bqdump.ports.warehouse import Job
from bqdump.restoration.jobs import COPY, TAKEN, TRIES, FailedJobError, Jobs, name_taken
from bqdump.restoration.task import RunningRestore


class TableWork(NamedTuple):
    """An attempt at a table. number: in the plan."""

    restore: RunningRestore
    step: TableStep
    number: int
    attempt: int
    jobs: Jobs

    @property
    def name(self) -> str:
        """The table's name in the target."""
        return self.step.name

    def scratch(self, of: str) -> str:
        """A scratch table of this attempt."""
        return f"{scratch_name(self.restore.mark, self.number)}_{self.attempt}_{of}"


async def own(work: TableWork) -> bool:
    """Whether a table that exists has no rows. It is this restore's, or one that it takes over, which it then labels.

    It takes over what another restore had not finished when this one was planned. Raises FailedJobError if that has
    finished it since, or if something else has the name.
    """
    restore = work.restore
    there = await restore.destination.table(restore.target, work.name)
    if there is None or not await _is_ours(work, there):
        if work.step.action != "replace":
            raise name_taken(work.name)
        if there is None or LABEL not in labels_of(there):
            raise FailedJobError(work.name, TAKEN, "another restore has finished it meanwhile, and it is kept")
        label = msgspec.Raw(msgspec.json.encode({"labels": {LABEL: restore.mark}}))
        await restore.destination.change_table(restore.target, work.name, label)
    return there.rows == 0


async def _is_ours(work: TableWork, there: Table) -> bool:
    """Whether this restore has created the table: it has the label, or, if it is finished, a job has written to it."""
    labels = labels_of(there)
    if labels.get(LABEL) == work.restore.mark:
        return True
    return LABEL not in labels and await is_written(work)


def labels_of(table: Table) -> dict[str, str]:
    """The labels of a table."""
    labels: dict[str, str] = (msgspec.json.decode(table.definition) or {}).get("labels") or {}
    return labels


async def is_written(work: TableWork) -> bool:
    """Whether a job of this restore that writes to the table has been started."""
    for attempt in range(work.attempt + 1):
        if await is_copied(work._replace(attempt=attempt)):
            return True
    return False


async def is_filled(work: TableWork) -> bool:
    """Whether an attempt of this restore has put rows into the table, so that these may be replaced."""
    for attempt in range(work.attempt + 1):
        copied = await _copy_job(work._replace(attempt=attempt))
        if copied and copied.ended and not copied.error:
            return True
    return False


async def is_copied(work: TableWork) -> bool:
    """Whether this attempt has requested to put the table in place."""
    return await _copy_job(work) is not None


async def _copy_job(work: TableWork) -> Job | None:
    name = job_id(work.restore.mark, work.number, COPY, 0, work.attempt * TRIES)
    return await work.restore.destination.find_job(name, work.restore.target.location)
