"""The Warehouse on BigQuery, with Google's own client. BIGQUERY_EMULATOR_HOST points it to a local stand-in."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

import msgspec
from google.api_core.exceptions import NotFound

from bqdump.adapters.bigquery.connection import (
    ANSWER_ONCE,
    ONCE,
    QUERY_ONCE,
    estimate_of,
    extract_config,
    job_of,
    milliseconds,
    query_config,
    query_parameters,
)
from bqdump.adapters.bigquery.definitions import BigQueryDefinitions, table_path
from bqdump.adapters.bigquery.gate import Limit
from bqdump.adapters.google.errors import translated
from bqdump.adapters.google.http import TIMEOUT
from bqdump.adapters.google.refusals import USER
from bqdump.adapters.lean_imports import Later
from bqdump.adapters.retry import listed
from bqdump.core.errors import BqdumpError, DeniedError, NotFoundError, UnavailableError
from bqdump.core.sql import statements as sql
from bqdump.core.tables.catalog import Dataset, Listed, ListedDataset, Partition, Table
from bqdump.ports.warehouse import Estimate, ExtractRequest, Job, QueryRequest

Answer = TypeVar("Answer")
bigquery: Any = Later("google.cloud.bigquery")
PAGE = 1000
# A query of INFORMATION_SCHEMA.PARTITIONS covers at most so many tables.
# https://cloud.google.com/bigquery/docs/information-schema-partitions
TABLES_A_QUERY = 1000
VIEWER = "Requires roles/bigquery.dataViewer on the dataset."
LISTER = "Requires roles/bigquery.metadataViewer or roles/bigquery.dataViewer on the datasets."


class BigQueryWarehouse(BigQueryDefinitions):
    """Tables of any project, jobs in `job_project`. See Warehouse."""

    async def now(self, location: str) -> int:
        """See Warehouse. A query that reads no table: 0 bytes billed."""
        statement = "SELECT UNIX_MILLIS(CURRENT_TIMESTAMP())"

        def ask() -> int:
            rows = self._client.query_and_wait(statement, location=location, project=self._project, **ANSWER_ONCE)
            for row in rows:
                return int(row[0])
            raise UnavailableError(operation, subject, "the query returned no row")

        operation, subject = "read BigQuery's clock in", f"project {self._project}"
        return await self._send(ask, operation, subject, USER)

    async def list_datasets(self, project: str) -> list[ListedDataset]:
        def every() -> list[ListedDataset]:
            items = self._client.list_datasets(project, page_size=PAGE, **ONCE)
            return sorted(map(_listed_dataset, items), key=lambda dataset: dataset.name)

        return await self._send(every, "list the datasets of", f"project {project}", LISTER)

    async def tables(self, dataset: Dataset) -> list[Listed]:
        def every() -> list[Listed]:
            reference = bigquery.DatasetReference(dataset.project, dataset.name)
            items = self._client.list_tables(reference, page_size=PAGE, **ONCE)
            return sorted(map(_listed, items), key=lambda item: item.name)

        return await self._send(every, "list the tables of", f"{dataset.project}.{dataset.name}", VIEWER)

    async def table(self, dataset: Dataset, name: str) -> Table | None:
        path = table_path(dataset, name)

        def get() -> Table | None:
            try:
                # The client's own method does not escape %, # and ? in the path.
                answer = self._client._call_api(None, method="GET", path=path, query_params={}, timeout=TIMEOUT)
            except NotFound:
                return None
            table = bigquery.Table.from_api_repr(answer)
            definition = msgspec.Raw(msgspec.json.encode(table.to_api_repr()))
            return Table(name, table.table_type, table.num_rows or 0, table.num_bytes or 0, definition)

        return await self._send(get, "read the definition of", f"table {name}", VIEWER, limit=Limit.GET_TABLE)

    async def extract(self, request: ExtractRequest) -> Job:
        def start() -> Job:
            dataset = bigquery.DatasetReference(request.dataset.project, request.dataset.name)
            started = self._client.extract_table(
                dataset.table(_extracted(request)),
                request.uri,
                **self._new_job(request.job_id, request.dataset.location, extract_config(request)),
                **ONCE,
            )
            return job_of(started)

        return await self._start(start, "start the extract job of", f"table {request.table}")

    async def estimate(self, dataset: Dataset, table: str, select: str, parameters: dict[str, str]) -> Estimate:
        def dry_run() -> Estimate:
            config = query_config(dry_run=True, use_query_cache=False, query_parameters=query_parameters(parameters))
            place = {"location": dataset.location, "project": self._project}
            return estimate_of(self._client.query(select, job_config=config, **place, **QUERY_ONCE))

        return await self._query(dry_run, f"table {table}", limit=Limit.DRY_RUN)

    async def ask(self, dataset: Dataset, table: str, select: str, max_bytes_billed: int) -> list[int]:
        def answer() -> list[int]:
            for row in self._rows(dataset, select, max_bytes_billed):
                return [int(value) for value in row.values()]
            raise UnavailableError("query", f"table {table}", "the query returned no row")

        return await self._query(answer, f"table {table}")

    async def counts(self, dataset: Dataset, table: str, select: str, max_bytes_billed: int) -> dict[str, int]:
        def answer() -> dict[str, int]:
            return {str(row[0]): int(row[1]) for row in self._rows(dataset, select, max_bytes_billed)}

        return await self._query(answer, f"table {table}")

    async def captured(self, dataset: Dataset, max_bytes_billed: int) -> list[str]:
        def answer() -> list[str]:
            return [str(row[0]) for row in self._rows(dataset, sql.captured(dataset), max_bytes_billed)]

        return await self._query(answer, f"INFORMATION_SCHEMA.TABLES of {dataset.project}.{dataset.name}", VIEWER)

    async def partitions(
        self, dataset: Dataset, tables: Sequence[str], max_bytes_billed: int
    ) -> dict[str, list[Partition]]:
        partitions: dict[str, list[Partition]] = {}

        def answer(some: Sequence[str]) -> list[Any]:
            return list(self._rows(dataset, sql.partitions(dataset, some), max_bytes_billed))

        subject = f"INFORMATION_SCHEMA.PARTITIONS of {dataset.project}.{dataset.name}"
        for start in range(0, len(tables), TABLES_A_QUERY):
            asked = partial(answer, tables[start : start + TABLES_A_QUERY])
            for table, id_, *numbers in await self._query(asked, subject, VIEWER):
                rows, bytes_, modified = (int(number or 0) for number in numbers)
                partitions.setdefault(table, []).append(Partition(id_, rows, bytes_, modified))
        return {table: sorted(some, key=lambda partition: partition.id) for table, some in partitions.items()}

    async def query(self, request: QueryRequest) -> Job:
        statement = sql.export(
            request.select,
            request.uri,
            request.format,
            request.codec,
            header=request.header,
            delimiter=request.delimiter,
        )

        def start() -> Job:
            parameters = query_parameters(request.parameters)
            config = query_config(request.max_bytes_billed, labels=request.labels, query_parameters=parameters)
            job = self._new_job(request.job_id, request.dataset.location, config)
            return job_of(self._client.query(statement, **job, **QUERY_ONCE))

        return await self._start(start, "start the query of", f"table {request.table}")

    async def job(self, job_id: str, location: str) -> Job:
        """See Warehouse. The caller knows that the job exists, although BigQuery may not find it at first.

        https://github.com/googleapis/python-bigquery/issues/2134
        """
        return await self._job(job_id, location, NotFoundError)

    async def _job(self, job_id: str, location: str, also: type[BqdumpError] | None = None) -> Job:
        def get() -> Job:
            return job_of(self._client.get_job(job_id, project=self._project, location=location, **ONCE))

        return await self._send(get, "read the state of", f"job {job_id}", USER, also=also)

    async def jobs(self, since: int) -> AsyncIterator[list[Job]]:
        """See Warehouse. After an error, jobs may be listed twice."""

        async def listing(_: str) -> AsyncIterator[list[Job]]:
            pages = await self._threads.call(lambda: self._job_pages(since))

            def following() -> list[Job] | None:
                with translated(*self._jobs):
                    page = next(pages, None)
                    return None if page is None else [job_of(job) for job in page]

            # The pages of Google's client end with an error, so the listing begins again.
            while (page := await self._threads.call(following)) is not None:
                yield page

        async for page in listed(self._gate.retrying, listing, None):
            yield page

    async def at_work(self, since: int) -> set[str]:
        def ids() -> set[str]:
            jobs: set[str] = set()
            # In this order, since a job that starts between the two listings is in both.
            for state in ("pending", "running"):
                jobs |= {job.job_id for page in self._job_pages(since, state_filter=state, **whose) for job in page}
            return jobs

        try:
            whose = {"all_users": True}
            return await self._send(ids, *self._jobs)
        except DeniedError:
            whose = {}
            return await self._send(ids, *self._jobs)

    @property
    def _jobs(self) -> tuple[str, str, str]:
        """Operation, subject and hint of a listing of jobs."""
        return "list the jobs of", f"project {self._project}", USER

    async def _start(
        self, start: Callable[[], Job], operation: str, subject: str, role: str = VIEWER, *, refers: bool = False
    ) -> Job:
        """The job that this has started."""
        return await self._send(start, operation, subject, role, limit=Limit.INSERT_JOB, refers=refers)

    async def _query(
        self, answer: Callable[[], Answer], subject: str, role: str = VIEWER, limit: Limit = Limit.INSERT_JOB
    ) -> Answer:
        """The answer of a query."""
        return await self._send(answer, "query", subject, role, limit=limit, refers=True)

    def _job_pages(self, since: int, **options: Any) -> Iterator[Any]:
        """The pages of a listing of jobs: the caller's, unless the options say otherwise."""
        created = datetime.fromtimestamp(since / 1000, UTC)
        place = {"project": self._project, "min_creation_time": created}
        return iter(self._client.list_jobs(page_size=PAGE, **place, **options, **ONCE).pages)


def _listed_dataset(item: Any) -> ListedDataset:
    """A line of a project's listing. Google's client has no names for some of what is in it."""
    properties = item._properties
    kind = "EXTERNAL" if properties.get("externalDatasetReference") else properties.get("type") or "DEFAULT"
    return ListedDataset(item.dataset_id, str(properties.get("location", "")), str(kind), dict(item.labels))


def _listed(item: Any) -> Listed:
    partitioned = not {"timePartitioning", "rangePartitioning"}.isdisjoint(item._properties)
    return Listed(item.table_id, item.table_type, milliseconds(item.created), partitioned, dict(item.labels))


def _extracted(request: ExtractRequest) -> str:
    """The id of the source with its decorator."""
    return f"{request.table}${request.partition}" if request.partition else f"{request.table}@{request.snapshot}"
