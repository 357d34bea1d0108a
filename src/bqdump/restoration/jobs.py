"""The jobs of a table, and what they show about it.

Their ids follow from the restore, so a repeated request attaches to the same job. By a table's label or its jobs it is
known whose it is: this restore's, or one that it takes over.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import NamedTuple

import msgspec

from bqdump.concurrency import gathered
from bqdump.core.documents.definitions import NOTHING
from bqdump.core.errors import OUT_OF_REACH, ConflictError, JobFailedError
from bqdump.core.progress.events import JobEnded
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.restore.names import LABEL, job_id, load_id, scratch_name
from bqdump.core.restore.plan import TableStep
from bqdump.core.restore.table_requests import expirations_of
from bqdump.core.sizes import counted
from bqdump.core.tables.catalog import Dataset, Table
from bqdump.core.tables.patterns import labels_in
from bqdump.export.watch import Watch
from bqdump.export.work.job import Work, ended_job
from bqdump.ports.destination import CopyRequest, Destination, LoadRequest, StatementRequest, TableName
from bqdump.ports.warehouse import Job
from bqdump.restoration.task import RunningRestore

log = logging.getLogger(__name__)
# Job ids count the tries of one attempt at a table from here.
TRIES = 1000
# Steps, as in the ids of jobs. Those of the last three write to the table of its name: see direct for two of them.
FULL, STAGE, COPY, LOAD, EMPTY = "full", "stage", "copy", "load", "empty"
# A statement for a job that does nothing, and is free.
NO_WORK = "SELECT 1"
# BigQuery's reason for a name that is taken, and for a table that is not empty.
TAKEN = "duplicate"
# The reasons of a table that has other rows than those that were loaded, and of one whose files were replaced.
ROWS, REPLACED = "rows", "replaced"
# Copies of partitions of one table, and requests about jobs of several.
AT_ONCE = 16


class FailedJobError(JobFailedError):
    """A job of a table failed for good. reason: BigQuery's."""

    def __init__(self, table: str, reason: str, message: str) -> None:
        super().__init__("restore", f"table {table}", message)
        self.table, self.reason = table, reason


def taken_over(table: str, restore: str) -> FailedJobError:
    """The error for a table that another restore writes to as well."""
    return FailedJobError(table, TAKEN, f"restore {restore} has taken it over: two restores were running")


def name_taken(table: str, restore: str) -> FailedJobError:
    """The error for a name that something else has taken since this restore was planned. The plan stays."""
    hint = f"remove it, or end restore {restore} and begin anew"
    return FailedJobError(table, TAKEN, f"something else has created it since the restore was planned: {hint}")


class Jobs:
    """Runs the jobs of one attempt at a table, and sums them up: their number, what they billed, and their times."""

    def __init__(self, restore: RunningRestore, watch: Watch, number: int, name: str, attempt: int) -> None:
        self._restore, self._watch = restore, watch
        self._number, self._name, self._attempt = number, name, attempt
        self.done: list[Job] = []

    @property
    def billed(self) -> int:
        """Bytes billed."""
        return sum(job.billed or 0 for job in self.done)

    @property
    def started(self) -> int:
        """When the first job began, 0 if there was none."""
        return min((job.started or job.created for job in self.done), default=0)

    @property
    def ended(self) -> int:
        """When the last job ended, 0 if there was none."""
        return max((job.ended for job in self.done), default=0)

    def named(self, step: str, part: int, tries: int = 0) -> str:
        """The id of a job. Those that write directly to the table are the same for all attempts."""
        if step == LOAD:
            return load_id(self._restore.mark, self._name, tries)
        first = 0 if step == EMPTY else self._attempt * TRIES
        return job_id(self._restore.mark, self._number, step, part, first + tries)

    async def load(self, step: str, part: int, request: LoadRequest) -> Job:
        """Load files into a table, or one of its partitions."""
        load = self._restore.destination.load
        return await self._run(step, part, lambda id_: load(request._replace(job_id=id_)))

    async def load_once(self, request: LoadRequest) -> Job:
        """Load files into the table itself, unless a job of any attempt has: then that one, see take_load."""
        load = self._restore.destination.load
        return await self._run(LOAD, 0, lambda id_: load(request._replace(job_id=id_)))

    async def take_load(self) -> Job:
        """The job that has loaded the table itself; without one, a job without rows that has its id from now on."""
        request = StatementRequest("", self._restore.target, self._name, NO_WORK, self._restore.labels)
        statement = self._restore.destination.statement
        return await self._run(LOAD, 0, lambda id_: statement(request._replace(job_id=id_)))

    async def empty(self, source: str, to: str) -> Job:
        """Replace a table by an empty one, once."""
        target = self._restore.target
        request = CopyRequest("", TableName(target, source), TableName(target, to), self._restore.labels)
        return await self._run(EMPTY, 0, lambda id_: self._restore.destination.copy(request._replace(job_id=id_)))

    async def statement(self, step: str, part: int, table: str, text: str) -> Job:
        """Run a statement that writes to a table, or is about it."""
        limit = self._restore.task.settings.max_bytes_billed
        request = StatementRequest("", self._restore.target, table, text, self._restore.labels, limit)
        async with self._watch.queries:
            return await self._run(
                step, part, lambda id_: self._restore.destination.statement(request._replace(job_id=id_))
            )

    async def copy(self, source: str, to: str, *, empty: bool, part: int = 0, partition: str = "") -> Job:
        """Replace a table, or a partition of it, by that of another one. empty: it must be empty."""
        target = self._restore.target
        names = TableName(target, source, partition), TableName(target, to, partition)
        request = CopyRequest("", *names, self._restore.labels, empty=empty)
        return await self._run(COPY, part, lambda id_: self._restore.destination.copy(request._replace(job_id=id_)))

    async def _run(self, step: str, part: int, start: Callable[[str], Awaitable[Job]]) -> Job:
        """The job that is done. Raises FailedJobError, and QuotaError."""
        work = Work(
            self._name,
            "restore",
            "Quotas are replenished through the day. In an hour, repeat the command: it resumes.",
            self._restore.target.location,
            lambda tries: self.named(step, part, tries),
            lambda tries: start(self.named(step, part, tries)),
        )
        job, _ = await ended_job(self._restore.destination, self._watch, work)
        error = f"{job.error.reason}: {job.error.message}" if job.error else ""
        self._restore.task.tell(
            JobEnded(self._number, job.id, self._attempt, job.created, job.started, job.ended, error)
        )
        if job.error:
            raise FailedJobError(self._name, *job.error)
        if step not in (COPY, EMPTY) and job.rows is None:
            # A listing of jobs may omit their statistics.
            job = await self._restore.destination.job(job.id, self._restore.target.location)
        self.done.append(job)
        return job


class TableWork(NamedTuple):
    """An attempt at a table.

    number: in the plan.
    made: the names of its scratch tables.
    uploaded: the generations of the uploads that it loads, by name.
    """

    restore: RunningRestore
    step: TableStep
    number: int
    attempt: int
    jobs: Jobs
    made: list[str]
    uploaded: dict[str, int]

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
    table = await restore.destination.table(restore.target, work.name)
    if table is None or not await _is_ours(work, table):
        if work.step.action != "replace":
            raise name_taken(work.name, restore.id)
        if table is None or LABEL not in labels_of(table):
            raise FailedJobError(work.name, TAKEN, "another restore has finished it meanwhile, and it is kept")
        await _label(work)
    return table.rows == 0


async def take_over(work: TableWork) -> bool:
    """Label a table that is to be replaced, and that another restore has begun and not finished.

    Returns whether it has expirations: to remove none might remove those that a faster task sets at the end.
    """
    table = await work.restore.destination.table(work.restore.target, work.name)
    if table and labels_of(table).get(LABEL, work.restore.mark) != work.restore.mark:
        await _label(work)
    return table is None or expirations_of(table.definition) != NOTHING


async def _label(work: TableWork) -> None:
    label = msgspec.Raw(msgspec.json.encode({"labels": {LABEL: work.restore.mark}}))
    await work.restore.destination.change_table(work.restore.target, work.name, label)


async def _is_ours(work: TableWork, table: Table) -> bool:
    """Whether this restore has created the table: it has the label, or, if it is finished, a job has written to it."""
    labels = labels_of(table)
    if labels.get(LABEL) == work.restore.mark:
        return True
    return LABEL not in labels and await is_written(work)


def labels_of(table: Table) -> dict[str, str]:
    """The labels of a table."""
    return labels_in(table.definition)


async def is_written(work: TableWork) -> bool:
    """Whether a job of this restore that writes to the table has been started."""
    for attempt in range(work.attempt + 1):
        if await is_copied(work._replace(attempt=attempt)):
            return True
    return False


async def is_put(work: TableWork) -> bool:
    """Whether this attempt has requested to put the table in place, or an earlier one may have done so."""
    for attempt in range(work.attempt + 1):
        copied = await _copy_job(work._replace(attempt=attempt))
        if copied and (attempt == work.attempt or not copied.error):
            return True
    return False


async def is_filled(work: TableWork, part: int = 0) -> bool:
    """Whether an attempt of this restore has put rows into the table, or into one of its partitions."""
    for attempt in range(work.attempt + 1):
        copied = await _copy_job(work._replace(attempt=attempt), part)
        if copied and copied.ended and not copied.error:
            return True
    return False


async def keep_expirations(destination: Destination, target: Dataset, name: str, expirations: msgspec.Raw) -> None:
    """Set the expirations of a table of the target again, whose rows are not replaced after all."""
    if expirations == NOTHING:
        return
    try:
        await destination.change_table(target, name, expirations)
    except (JobFailedError, *OUT_OF_REACH) as error:
        message, extra = "%s: its expirations are not set again: %s", LogEvent.PROPERTY_NOT_RESTORED.extra(table=name)
        log.warning(message, name, error.cause, extra=extra)


async def is_copied(work: TableWork) -> bool:
    """Whether this attempt has requested to put the table in place."""
    return await _copy_job(work) is not None


async def _copy_job(work: TableWork, part: int = 0) -> Job | None:
    """The copy job of this attempt, None without one: of several tries the last, as each follows one that failed."""
    last, tries = None, 0
    while True:
        name = job_id(work.restore.mark, work.number, COPY, part, work.attempt * TRIES + tries)
        job = await work.restore.destination.find_job(name, work.restore.target.location)
        if job is None or not job.error:
            return job or last
        last, tries = job, tries + 1


async def take_loads(
    destination: Destination, target: Dataset, mark: str, tables: Iterable[str], labels: dict[str, str]
) -> set[str]:
    """Let no request of a restore that arrives late load one of these tables directly. Returns the ids that were taken.

    mark: of that restore.
    """

    async def take(table: str) -> str:
        tries = 0
        while True:
            name = load_id(mark, table, tries)
            job = await destination.find_job(name, target.location)
            if job is None:
                try:
                    await destination.statement(StatementRequest(name, target, table, NO_WORK, labels))
                except ConflictError:
                    continue
                return name
            if not job.error:
                return ""
            tries += 1

    return {name for name in await gathered(take, tables, AT_ONCE) if name}


class InPlace(NamedTuple):
    """The number of rows that are in place. parts: the ids of the partitions that are, where each was by itself."""

    rows: int
    parts: tuple[str, ...] = ()


async def put_partitions(work: TableWork, full: str) -> InPlace:
    """Put partitions in place, each by a copy job, which is atomic. One without rows in the export stays as it is.

    Raises FailedJobError where the export has no row of any, and where one has other rows in the end.
    """
    restore, parts = work.restore, work.step.parts

    async def rows_of(table: str, id_: str) -> int:
        outcomes = await restore.destination.table(restore.target, f"{table}${id_}")
        return outcomes.rows if outcomes else 0

    async def put(part: int) -> int:
        id_ = parts[part]
        rows = await rows_of(full, id_)
        if rows:
            # A copy job that requires an empty destination may mean the complete table.
            fills = work.step.action == "fill" and not await is_filled(work, part)
            if fills and await rows_of(work.name, id_):
                raise FailedJobError(work.name, TAKEN, f"rows have arrived in {work.name}${id_} since this was planned")
            await work.jobs.copy(full, work.name, empty=False, part=part, partition=id_)
            if (outcomes := await rows_of(work.name, id_)) != rows:
                there = f"{counted(outcomes, 'row')} instead of the {rows:,} restored"
                cause = f"{work.name}${id_} has {there}: it was changed meanwhile"
                raise FailedJobError(work.name, ROWS, cause)
        return rows

    outcomes = dict(zip(parts, await gathered(put, range(len(parts)), AT_ONCE), strict=True))
    if not any(outcomes.values()):
        raise FailedJobError(work.name, "notFound", "the export has no rows in these partitions")
    return InPlace(sum(outcomes.values()), tuple(id_ for id_, rows in outcomes.items() if rows))
