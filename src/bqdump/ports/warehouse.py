"""The warehouse: describes its tables, and exports them with its own jobs.

What a warehouse tells about a dataset besides its tables. Errors are those of Warehouse.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Literal, NamedTuple, Protocol

import msgspec
from msgspec import Struct

from bqdump.core.dealing import Sharing
from bqdump.core.documents.definitions import Index, RoutineDefinition, RowPolicy
from bqdump.core.tables.catalog import Dataset, Listed, ListedDataset, Partition, Table


class DefinitionReader(Protocol):
    """Reads routines, models, members of row access policies, and indexes.

    Every method raises DeniedError if a permission is missing.
    """

    async def routines(self, dataset: Dataset) -> list[str]:
        """The names of the dataset's functions, table functions and procedures, sorted."""

    async def routine(self, dataset: Dataset, name: str) -> RoutineDefinition | None:
        """The complete definition of a routine; None if it no longer exists. One request."""

    async def models(self, dataset: Dataset) -> list[str]:
        """The names of the dataset's models, sorted."""

    async def grantees(self, dataset: Dataset, table: str, policy: str) -> tuple[str, ...]:
        """The members of a row access policy, such as `group:eu@example.com`, sorted. One request."""

    async def indexes(self, dataset: Dataset, max_bytes_billed: int) -> list[Index]:
        """The search and vector indexes of the dataset, sorted by table and name, from one billed query.

        It fails if it would bill more than `max_bytes_billed` (0: no limit). Raises JobFailedError, with the
        warehouse's message as the cause, if the query fails.
        """


class ExtractRequest(Struct, frozen=True):
    """An extract job: the table `table` of `dataset` as it was at `snapshot` (ms), to gs:// `uri` with one `*`.

    partition: the id of the only partition that is extracted, as it is when the job runs, whatever `snapshot` is: for a
    partition, BigQuery documents no time. "" for the complete table.
    """

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
    partition: str = ""


class QueryRequest(Struct, frozen=True):
    """An export query: rows of the table or view `table` of `dataset`, to gs:// `uri` with one `*`.

    snapshot: the time (ms) at which the table is read; None for the time at which the job runs.
    select: the GoogleSQL query.
    parameters: for each `@name` in it, the environment variable with its value, which only the warehouse reads.
    max_bytes_billed: the job fails if it would bill more; 0 for no limit.
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


class Estimate(Struct, frozen=True):
    """The bytes that a query will bill. at_least: the estimate is a lower bound.

    columns: the schema of the result, as a JSON list of BigQuery's fields.
    """

    bytes: int
    at_least: bool
    columns: msgspec.Raw = msgspec.Raw(b"[]")


class JobError(NamedTuple):
    """Why a job failed: the reason (such as backendError) and the message."""

    reason: str
    message: str


class Job(Struct, frozen=True):
    """A job's state. Counts are available once it is done. `created` … `ended`: ms since 1970 UTC.

    rows: the rows that were exported, loaded or inserted; None if not reported (by extract and copy jobs, and in some
    listings of jobs).
    billed: the bytes billed; None for jobs that are not queries.
    row_policies, masking: whether row access policies or data masking applied to what the job has read.
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


class Warehouse(DefinitionReader, Protocol):
    """A data warehouse. Every error is a BqdumpError."""

    async def list_datasets(self, project: str) -> list[ListedDataset]:
        """The datasets of a project that the caller may see, sorted by name, without hidden ones (`_…`)."""

    async def dataset(self, project: str, name: str) -> Dataset:
        """The dataset, its location and its resource. Raises NotFoundError if there is none."""

    async def now(self, location: str) -> int:
        """The warehouse's own clock, in milliseconds since 1970 UTC, rounded down."""

    async def tables(self, dataset: Dataset) -> list[Listed]:
        """Everything in the dataset, sorted by name."""

    async def table(self, dataset: Dataset, name: str) -> Table | None:
        """The complete definition of a table; None if it no longer exists. One request.

        Of a partition, such as `t$20260131`, it has the rows, bytes and time; one that does not exist has no rows.
        """

    async def partitions(
        self, dataset: Dataset, tables: Sequence[str], max_bytes_billed: int
    ) -> dict[str, list[Partition]]:
        """The partitions of these tables, by table and sorted by id; a table without partitions is not in the result.

        One billed query for each 1,000 tables. Raises errors like `captured`.
        """

    async def row_policies(self, dataset: Dataset, table: str) -> list[RowPolicy] | None:
        """A table's row access policies, without their members; None if the caller has no permission to list them.

        Empty for a table that no longer exists. One request.
        """

    async def policed(self, dataset: Dataset) -> list[str]:
        """The names of the tables with row access policies, sorted, from one billed query.

        Raises DeniedError if a permission is missing, and JobFailedError, with the warehouse's message as the cause, if
        the query fails.
        """

    async def extract(self, request: ExtractRequest) -> Job:
        """Start a job. Raises ConflictError if the id is taken; `job` returns the job that has it."""

    async def estimate(self, dataset: Dataset, table: str, select: str, parameters: dict[str, str]) -> Estimate:
        """The cost of a query of this table or view, from a dry run, which is free and has no side effects.

        Raises JobFailedError, with the warehouse's message as the cause, if the query is invalid (TableGoneError if its
        table does not exist), and UsageError if an environment variable in `parameters` is not set.
        """

    async def ask(self, dataset: Dataset, table: str, select: str, max_bytes_billed: int) -> list[int]:
        """The only row, of integers, that a query of this table returns.

        It is billed, and fails if that would be more than `max_bytes_billed` (0: no limit).
        Raises JobFailedError like `estimate`, also if the query fails.
        """

    async def counts(self, dataset: Dataset, table: str, select: str, max_bytes_billed: int) -> dict[str, int]:
        """The rows of a query of this table: of a string and an integer each, by the string. Otherwise like `ask`."""

    async def captured(self, dataset: Dataset, max_bytes_billed: int) -> list[str]:
        """The names of the tables with change data capture, from one billed query.

        It fails if it would bill more than `max_bytes_billed` (0: no limit). Raises DeniedError if a permission is
        missing, and JobFailedError, with the warehouse's message as the cause, if the query fails.
        """

    async def query(self, request: QueryRequest) -> Job:
        """Start an export query, which is billed. Raises ConflictError like `extract`."""

    async def job(self, job_id: str, location: str) -> Job:
        """The job with this id."""

    def jobs(self, since: int) -> AsyncIterator[list[Job]]:
        """The caller's jobs created at or after `since` (ms), newest first, page by page."""

    async def at_work(self, since: int) -> set[str]:
        """The ids of the jobs created at or after `since` (ms) that have not ended.

        Those of all accounts where the caller may list them, else its own.
        """

    def share_limits(self, sharing: Sharing) -> None:
        """From now on, so many tasks share so many units, and with them the limits of what is not planning."""

    async def close(self) -> None:
        """Release connections and threads."""
