"""The warehouse: what tells of its tables, and exports them by jobs of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Literal, NamedTuple, Protocol

import msgspec

from bqdump.core.plan.catalog import Dataset, Listed, Table


class ExtractRequest(NamedTuple):
    """An extract job: the table `table` of `dataset` as it was at `snapshot` (ms), to gs:// `uri` with one `*`."""

    job_id: str
    dataset: Dataset
    table: str
    snapshot: int
    uri: str
    format: str
    codec: str
    header: bool
    delimiter: str
    labels: dict[str, str]


class QueryRequest(NamedTuple):
    """An EXPORT DATA job: rows of the table or view `table` of `dataset`, to gs:// `uri` with one `*`.

    snapshot: the moment (ms) at which it is read, None for whenever the job runs. select: the same in GoogleSQL,
    with the texts that it knows as `@name` in `parameters`: for each name the environment variable that holds the text,
    which nobody but the warehouse looks at. max_bytes_billed: the job fails if it would bill more;
    0 for no limit.
    """

    job_id: str
    dataset: Dataset
    table: str
    snapshot: int | None
    select: str
    uri: str
    format: str
    codec: str
    header: bool
    delimiter: str
    labels: dict[str, str]
    parameters: dict[str, str]
    max_bytes_billed: int


class Estimate(NamedTuple):
    """The bytes that a query will bill. at_least: BigQuery cannot tell in advance, it may be more.

    columns: of its result, as the API lists the fields of a schema.
    """

    bytes: int
    at_least: bool
    columns: msgspec.Raw = msgspec.Raw(b"[]")


class JobError(NamedTuple):
    """Why a job failed: BigQuery's reason (such as backendError) and message."""

    reason: str
    message: str


class Job(NamedTuple):
    """A job's state; counts and times are known once it is done. `created` … `ended`: ms since 1970 UTC.

    rows: how many were exported, None where BigQuery does not tell (extract jobs, and some listings of jobs).
    billed: bytes billed, None for what is no query.
    row_policies, masking: row access policies or data masking applied to what the job has read.
    """

    id: str
    state: Literal["pending", "running", "done"]
    error: JobError | None
    files: int
    created: int
    started: int
    ended: int
    rows: int | None = None
    billed: int | None = None
    row_policies: bool = False
    masking: bool = False


class Warehouse(Protocol):
    """BigQuery, as far as an export needs it. Every error is a BqdumpError."""

    async def dataset(self, project: str, name: str) -> Dataset:
        """The dataset and its location. NotFoundError when there is none."""
        ...

    async def now(self, location: str) -> int:
        """The warehouse's own clock, in milliseconds since 1970 UTC, rounded down."""
        ...

    async def tables(self, dataset: Dataset) -> list[Listed]:
        """Everything in the dataset, every page of it, by name."""
        ...

    async def table(self, dataset: Dataset, name: str) -> Table | None:
        """The full definition of a table, None when it is gone by now. One request."""
        ...

    async def row_policies(self, dataset: Dataset, table: str) -> list[str] | None:
        """The names of a table's row access policies, None where the caller may not see whether there are any.

        Empty for a table that is gone by now. One request.
        """
        ...

    async def extract(self, request: ExtractRequest) -> Job:
        """Start a job. ConflictError when the id is taken: then `job` tells of the one that has it."""
        ...

    async def estimate(self, dataset: Dataset, table: str, select: str, parameters: dict[str, str]) -> Estimate:
        """What a query of this table or view will bill: a dry run, which is free and leaves nothing behind.

        JobFailedError where BigQuery refuses the query, with its own words as the cause. UsageError where one of
        the variables in `parameters` is not set.
        """
        ...

    async def ask(self, dataset: Dataset, table: str, select: str, max_bytes_billed: int) -> list[int]:
        """The one row of whole numbers that a query of this table gives.

        It is billed, and fails where that would be more than so many bytes (0: any number).
        JobFailedError where BigQuery refuses the query or fails to answer it, with its own words as the cause.
        """
        ...

    async def captured(self, dataset: Dataset, max_bytes_billed: int) -> list[str]:
        """The names of the tables into which row changes are streamed (change data capture), by one billed query.

        It fails where that would bill more than so many bytes (0: any number). DeniedError without the permission to
        ask; JobFailedError where BigQuery refuses the query, with its own words as the cause.
        """
        ...

    async def query(self, request: QueryRequest) -> Job:
        """Start an EXPORT DATA job, which is billed. ConflictError as with `extract`."""
        ...

    async def job(self, job_id: str, location: str) -> Job:
        """The state of one job."""
        ...

    def jobs(self, since: int) -> AsyncIterator[list[Job]]:
        """The caller's jobs created at or after `since` (ms), newest first, page by page."""
        ...

    async def at_work(self, since: int) -> set[str]:
        """The ids of the caller's jobs created at or after `since` (ms) that have not ended."""
        ...

    async def close(self) -> None:
        """Let go of connections and threads."""
        ...
