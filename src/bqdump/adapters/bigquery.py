"""The Warehouse on BigQuery, with Google's own client. BIGQUERY_EMULATOR_HOST points it to a local stand-in."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from functools import partial
from typing import Any

import msgspec
from google.api_core.exceptions import NotFound

from bqdump.adapters.bigquery_connection import ANSWER_ONCE, ONCE, QUERY_ONCE
from bqdump.adapters.bigquery_definitions import BigQueryDefinitions, table_path
from bqdump.adapters.bigquery_jobs import (
    estimate_of,
    extract_config,
    job_of,
    milliseconds,
    query_config,
    query_parameters,
)
from bqdump.adapters.google_errors import translated, translated_reference
from bqdump.adapters.google_http import TIMEOUT
from bqdump.adapters.lean_imports import Later
from bqdump.core.errors import UnavailableError
from bqdump.core.plan.catalog import Dataset, Listed, ListedDataset, Partition, Table
from bqdump.core.sql import statements as sql
from bqdump.ports.warehouse import Estimate, ExtractRequest, Job, QueryRequest

bigquery: Any = Later("google.cloud.bigquery")
PAGE = 1000
# A query of INFORMATION_SCHEMA.PARTITIONS covers at most so many tables.
# https://cloud.google.com/bigquery/docs/information-schema-partitions
TABLES_A_QUERY = 1000
VIEWER = "Requires roles/bigquery.dataViewer on the dataset."
LISTER = "Requires roles/bigquery.metadataViewer or roles/bigquery.dataViewer on the datasets."
USER = "Requires roles/bigquery.jobUser on the project that runs the jobs."


class BigQueryWarehouse(BigQueryDefinitions):
    """Tables of any project, jobs in `job_project`. It does not retry: see adapters.retry."""

    async def now(self, location: str) -> int:
        """See Warehouse. A query that reads no table: 0 bytes billed."""
        statement = "SELECT UNIX_MILLIS(CURRENT_TIMESTAMP())"

        def ask() -> int:
            with translated("read BigQuery's clock in", f"project {self._project}", USER):
                rows = self._client.query_and_wait(statement, location=location, project=self._project, **ANSWER_ONCE)
                for row in rows:
                    return int(row[0])
            raise UnavailableError("read BigQuery's clock in", f"project {self._project}", "the query returned no row")

        return await self._threads.call(ask)

    async def list_datasets(self, project: str) -> list[ListedDataset]:
        """See Warehouse."""

        def every() -> list[ListedDataset]:
            with translated("list the datasets of", f"project {project}", LISTER):
                items = self._client.list_datasets(project, page_size=PAGE, **ONCE)
                return sorted(map(_listed_dataset, items), key=lambda one: one.name)

        return await self._threads.call(every)

    async def tables(self, dataset: Dataset) -> list[Listed]:
        """See Warehouse."""

        def every() -> list[Listed]:
            reference = bigquery.DatasetReference(dataset.project, dataset.name)
            with translated("list the tables of", f"{dataset.project}.{dataset.name}", VIEWER):
                items = self._client.list_tables(reference, page_size=PAGE, **ONCE)
                listed = [_listed(item) for item in items]
            return sorted(listed, key=lambda item: item.name)

        return await self._threads.call(every)

    async def table(self, dataset: Dataset, name: str) -> Table | None:
        """See Warehouse."""
        path = table_path(dataset, name)

        def get() -> Table | None:
            with translated("read the definition of", f"table {name}", VIEWER):
                try:
                    # The client's own method does not escape %, # and ? in the path.
                    answer = self._client._call_api(None, method="GET", path=path, query_params={}, timeout=TIMEOUT)
                except NotFound:
                    return None
            found = bigquery.Table.from_api_repr(answer)
            definition = msgspec.Raw(msgspec.json.encode(found.to_api_repr()))
            return Table(name, found.table_type, found.num_rows or 0, found.num_bytes or 0, definition)

        return await self._threads.call(get)

    async def extract(self, request: ExtractRequest) -> Job:
        """See Warehouse."""

        def start() -> Job:
            dataset = bigquery.DatasetReference(request.dataset.project, request.dataset.name)
            with translated("start the extract job of", f"table {request.table}", USER):
                started = self._client.extract_table(
                    dataset.table(_extracted(request)),
                    request.uri,
                    **self._new_job(request.job_id, request.dataset.location, extract_config(request)),
                    **ONCE,
                )
            return job_of(started)

        return await self._threads.call(start)

    async def estimate(self, dataset: Dataset, table: str, select: str, parameters: dict[str, str]) -> Estimate:
        """See Warehouse."""

        def dry_run() -> Estimate:
            config = query_config(dry_run=True, use_query_cache=False, query_parameters=query_parameters(parameters))
            place = {"location": dataset.location, "project": self._project}
            with _querying(f"table {table}", USER):
                found = self._client.query(select, job_config=config, **place, **QUERY_ONCE)
            return estimate_of(found)

        return await self._threads.call(dry_run)

    async def ask(self, dataset: Dataset, table: str, select: str, max_bytes_billed: int) -> list[int]:
        """See Warehouse."""

        def answer() -> list[int]:
            with _querying(f"table {table}", USER):
                for row in self._rows(dataset, select, max_bytes_billed):
                    return [int(value) for value in row.values()]
            raise UnavailableError("query", f"table {table}", "the query returned no row")

        return await self._threads.call(answer)

    async def counts(self, dataset: Dataset, table: str, select: str, max_bytes_billed: int) -> dict[str, int]:
        """See Warehouse."""

        def answer() -> dict[str, int]:
            with _querying(f"table {table}", USER):
                return {str(row[0]): int(row[1]) for row in self._rows(dataset, select, max_bytes_billed)}

        return await self._threads.call(answer)

    async def captured(self, dataset: Dataset, max_bytes_billed: int) -> list[str]:
        """See Warehouse."""

        def answer() -> list[str]:
            with _querying(f"INFORMATION_SCHEMA.TABLES of {dataset.project}.{dataset.name}", VIEWER):
                return [str(row[0]) for row in self._rows(dataset, sql.captured(dataset), max_bytes_billed)]

        return await self._threads.call(answer)

    async def partitions(
        self, dataset: Dataset, tables: Sequence[str], max_bytes_billed: int
    ) -> dict[str, list[Partition]]:
        """See Warehouse."""
        found: dict[str, list[Partition]] = {}

        def answer(some: Sequence[str]) -> None:
            with _querying(f"INFORMATION_SCHEMA.PARTITIONS of {dataset.project}.{dataset.name}", VIEWER):
                for table, id_, *numbers in self._rows(dataset, sql.partitions(dataset, some), max_bytes_billed):
                    rows, bytes_, modified = (int(number or 0) for number in numbers)
                    found.setdefault(table, []).append(Partition(id_, rows, bytes_, modified))

        for start in range(0, len(tables), TABLES_A_QUERY):
            await self._threads.call(partial(answer, tables[start : start + TABLES_A_QUERY]))
        return {table: sorted(some, key=lambda one: one.id) for table, some in found.items()}

    async def query(self, request: QueryRequest) -> Job:
        """See Warehouse."""
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
            with translated("start the query of", f"table {request.table}", USER):
                started = self._client.query(
                    statement,
                    **self._new_job(request.job_id, request.dataset.location, config),
                    **QUERY_ONCE,
                )
            return job_of(started)

        return await self._threads.call(start)

    async def job(self, job_id: str, location: str) -> Job:
        """See Warehouse."""

        def get() -> Job:
            with translated("read the state of", f"job {job_id}", USER):
                return job_of(self._client.get_job(job_id, project=self._project, location=location, **ONCE))

        return await self._threads.call(get)

    async def jobs(self, since: int) -> AsyncIterator[list[Job]]:
        """See Warehouse."""
        pages = await self._threads.call(lambda: self._job_pages(since))

        def following() -> list[Job] | None:
            with translated("list the jobs of", f"project {self._project}", USER):
                page = next(pages, None)
                return None if page is None else [job_of(job) for job in page]

        while (page := await self._threads.call(following)) is not None:
            yield page

    async def at_work(self, since: int) -> set[str]:
        """See Warehouse."""

        def ids() -> set[str]:
            found: set[str] = set()
            # In this order, since a job that starts between the two listings is in both.
            for state in ("pending", "running"):
                with translated("list the jobs of", f"project {self._project}", USER):
                    pages = self._job_pages(since, state_filter=state)
                    found |= {job.job_id for page in pages for job in page}
            return found

        return await self._threads.call(ids)

    def _job_pages(self, since: int, **options: Any) -> Iterator[Any]:
        """The pages of a listing of the caller's jobs."""
        created = datetime.fromtimestamp(since / 1000, UTC)
        place = {"project": self._project, "min_creation_time": created}
        return iter(self._client.list_jobs(page_size=PAGE, **place, **options, **ONCE).pages)


def _listed_dataset(item: Any) -> ListedDataset:
    """A line of a project's listing. Google's client has no names for some of what is in it."""
    found = item._properties
    kind = "EXTERNAL" if found.get("externalDatasetReference") else found.get("type") or "DEFAULT"
    return ListedDataset(item.dataset_id, str(found.get("location", "")), str(kind))


def _listed(item: Any) -> Listed:
    partitioned = not {"timePartitioning", "rangePartitioning"}.isdisjoint(item._properties)
    return Listed(item.table_id, item.table_type, milliseconds(item.created), partitioned)


def _extracted(request: ExtractRequest) -> str:
    """The id of the source with its decorator."""
    return f"{request.table}${request.partition}" if request.partition else f"{request.table}@{request.snapshot}"


def _querying(what: str, role: str) -> AbstractContextManager[None]:
    return translated_reference("query", what, role)
