"""The destination of a restore: a warehouse in which datasets and tables are created, and files are loaded."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import msgspec

from bqdump.core.tables.catalog import Dataset
from bqdump.ports.warehouse import Job, Warehouse


class TableName(NamedTuple):
    """A table of a dataset. partition: such as "20260131", or "" for the complete table."""

    dataset: Dataset
    table: str
    partition: str = ""

    @property
    def decorated(self) -> str:
        """The table's id in a job's configuration, such as `orders$20260131`."""
        return f"{self.table}${self.partition}" if self.partition else self.table


class LoadRequest(NamedTuple):
    """A load job: the files `uris` (gs://…, without wildcards) into a table that exists.

    options: of the format, as in the API's JobConfigurationLoad, without uris, destination, schema and dispositions.
    schema: the API's TableSchema of the files' columns.
    empty: the job fails unless the table is empty; otherwise it appends. In both cases it loads everything or nothing.
        https://cloud.google.com/bigquery/docs/reference/rest/v2/Job#jobconfigurationload
    """

    job_id: str
    to: TableName
    uris: tuple[str, ...]
    options: msgspec.Raw
    schema: msgspec.Raw
    empty: bool
    labels: dict[str, str]


class StatementRequest(NamedTuple):
    """A job that runs one GoogleSQL statement (INSERT … SELECT or DDL), which may be billed.

    dataset: the job runs in its location.
    table: what the statement writes to, for messages.
    max_bytes_billed: the job fails if it would bill more; 0 for no limit.
    """

    job_id: str
    dataset: Dataset
    table: str
    statement: str
    labels: dict[str, str]
    max_bytes_billed: int = 0


class CopyRequest(NamedTuple):
    """A copy job that replaces the rows of `to` by those of `source`, atomically and without costs.

    `to` must exist, in the same location and with the same partitioning and clustering: a copy cannot change these.
    Schema and constraints become those of `source`; labels, description and expiration of `to` stay. empty: the job
    fails if `to` has rows.
    https://cloud.google.com/bigquery/docs/reference/rest/v2/Job#JobConfigurationTableCopy (writeDisposition)
    """

    job_id: str
    source: TableName
    to: TableName
    labels: dict[str, str]
    empty: bool = False


class Present(NamedTuple):
    """An object of a dataset, by a listing.

    kind: such as TABLE or VIEW.
    created: ms since 1970 UTC.
    """

    name: str
    kind: str
    created: int
    labels: dict[str, str]


class Destination(Warehouse, Protocol):
    """A warehouse that a restore writes to. Every error is a BqdumpError.

    Definitions are resources of BigQuery's API, as JSON; names are arguments, and replace the references in them.
    A request that the warehouse refuses for its content raises JobFailedError, with the warehouse's message as the
    cause; its subclass TableGoneError if something that the definition refers to does not exist.

    What creates something returns False if the name is taken. If the answer to a request is lost and the request is
    repeated, the name is taken by what the first attempt created.
    """

    async def find_dataset(self, project: str, name: str) -> msgspec.Raw | None:
        """The resource of a dataset, None if it does not exist. One request.

        It lacks `access` where there is no permission to read the access entries.
        """

    async def create_dataset(self, project: str, name: str, definition: msgspec.Raw) -> bool:
        """Create a dataset; its location is in the definition. False if it exists."""

    async def change_dataset(self, dataset: Dataset, changes: msgspec.Raw) -> None:
        """Set properties of a dataset (datasets.patch); null removes one. Raises NotFoundError if it does not exist."""

    async def change_access(self, dataset: Dataset, access: msgspec.Raw, etag: str) -> None:
        """Replace the access entries of a dataset (datasets.patch): a JSON array.

        etag: of the resource that it was made from.

        Raises ConflictError if the dataset was changed since, and NotFoundError if it does not exist.
        """

    async def drop_dataset(self, dataset: Dataset) -> None:
        """Delete a dataset with everything in it. Nothing happens if there is none."""

    async def present(self, dataset: Dataset) -> list[Present]:
        """Every table, view and other object of the kind in the dataset, sorted by name."""

    async def create_table(self, dataset: Dataset, name: str, definition: msgspec.Raw) -> bool:
        """Create a table, view, materialized view or external table (tables.insert). False if the name is taken."""

    async def change_table(self, dataset: Dataset, name: str, changes: msgspec.Raw) -> None:
        """Set properties of a table (tables.patch); null removes one. Labels are merged, other properties replaced.

        Raises NotFoundError if there is no table.
        """

    async def replace_definition(self, dataset: Dataset, name: str, definition: msgspec.Raw) -> None:
        """Replace all properties of a view or table (tables.update), which keeps its kind, and a table its rows.

        Raises NotFoundError if there is none.
        """

    async def drop_table(self, dataset: Dataset, name: str) -> None:
        """Delete a table or view. Nothing happens if there is none."""

    async def create_routine(self, dataset: Dataset, name: str, definition: msgspec.Raw, *, replace: bool) -> bool:
        """Create a routine (routines.insert), or replace the one of this name (routines.update).

        False if the name is taken and not to be replaced.
        """

    async def create_row_policy(self, dataset: Dataset, table: str, name: str, definition: msgspec.Raw) -> bool:
        """Create a row access policy of a table (rowAccessPolicies.insert). False if it exists."""

    async def find_job(self, job_id: str, location: str) -> Job | None:
        """The job with this id, None if there is none: unlike `job`, it does not wait for one that was just started."""

    async def cancel_job(self, job_id: str, location: str) -> None:
        """Request that a job ends soon, which BigQuery does not promise. Nothing happens if there is none at work."""

    async def load(self, request: LoadRequest) -> Job:
        """Start a load job, which is free. Raises ConflictError if the id is taken; `job` returns the job that has it.

        `rows` of the job that is done: the rows that it loaded.
        """

    async def statement(self, request: StatementRequest) -> Job:
        """Start a statement. Raises ConflictError like `load`.

        `rows` of the job that is done: the rows that an INSERT has inserted; None for DDL.
        """

    async def copy(self, request: CopyRequest) -> Job:
        """Start a copy job. Raises ConflictError like `load`."""
