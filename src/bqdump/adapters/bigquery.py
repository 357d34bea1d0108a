"""The Warehouse on BigQuery, by Google's own client. BIGQUERY_EMULATOR_HOST leads it to a local stand-in."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import Any, Literal
from urllib.parse import quote

import msgspec
from google.api_core.exceptions import NotFound

from bqdump.adapters.endpoints import BIGQUERY
from bqdump.adapters.google_access import one_line
from bqdump.adapters.google_errors import translated
from bqdump.adapters.google_http import TIMEOUT, Threads, credentials, session
from bqdump.adapters.lean_imports import Later
from bqdump.core.errors import DeniedError, UnavailableError, UsageError
from bqdump.core.formats.formats import FORMATS
from bqdump.core.plan.catalog import Dataset, Listed, Table
from bqdump.core.sql import statements as sql
from bqdump.core.times import milliseconds_of
from bqdump.ports.warehouse import Estimate, ExtractRequest, Job, JobError, QueryRequest

bigquery: Any = Later("google.cloud.bigquery")
PAGE = 1000
# What a query bills: whole MB, and at least so much for each table that it reads.
# https://cloud.google.com/bigquery/pricing#on_demand_pricing
BILLED_UNIT = 1 << 20
LEAST_BILLED = 10 * BILLED_UNIT
VIEWER = "It takes roles/bigquery.dataViewer on the dataset."
POLICIES = "It takes a role with bigquery.rowAccessPolicies.list on the dataset."
STATES: dict[str, Literal["pending", "running", "done"]] = {"PENDING": "pending", "RUNNING": "running", "DONE": "done"}
USER = "It takes roles/bigquery.jobUser on the project that runs the jobs."


class BigQueryWarehouse:
    """Tables of any project, jobs in `job_project`. Does not retry by itself: see adapters.retry."""

    def __init__(self, job_project: str) -> None:
        granted = credentials(BIGQUERY.variable)
        options = {"api_endpoint": host} if (host := os.environ.get(BIGQUERY.variable)) else None
        connection = session(granted)
        self._project = job_project
        self._threads = Threads("bigquery")
        # Importing the client takes a while, in which the first requests go to the bucket.
        self._opening = self._threads.start(
            lambda: bigquery.Client(project=job_project, credentials=granted, _http=connection, client_options=options)
        )

    @property
    def _client(self) -> Any:
        """Google's client, for the threads: they wait for it."""
        return self._opening.result()

    async def dataset(self, project: str, name: str) -> Dataset:
        """See Warehouse."""

        def get() -> Dataset:
            reference = bigquery.DatasetReference(project, name)
            with translated("find", f"dataset {project}.{name}", f"Check project and dataset. {VIEWER}"):
                found = self._client.get_dataset(reference, retry=None, timeout=TIMEOUT)
            return Dataset(project, name, found.location, int(found.max_time_travel_hours or 168))

        return await self._threads.call(get)

    async def now(self, location: str) -> int:
        """See Warehouse. A query that reads nothing: 0 bytes billed."""

        def ask() -> int:
            with translated("ask BigQuery's clock in", f"project {self._project}", USER):
                rows = self._client.query_and_wait(
                    "SELECT UNIX_MILLIS(CURRENT_TIMESTAMP())", location=location, project=self._project, retry=None,
                    job_retry=None, api_timeout=TIMEOUT[1],
                )  # fmt: skip
                for row in rows:
                    return int(row[0])
            raise UnavailableError("ask BigQuery's clock in", f"project {self._project}", "the query gave no row")

        return await self._threads.call(ask)

    async def tables(self, dataset: Dataset) -> list[Listed]:
        """See Warehouse."""

        def every() -> list[Listed]:
            reference = bigquery.DatasetReference(dataset.project, dataset.name)
            with translated("list the tables of", f"{dataset.project}.{dataset.name}", VIEWER):
                items = self._client.list_tables(reference, page_size=PAGE, retry=None, timeout=TIMEOUT)
                listed = [Listed(item.table_id, item.table_type, _ms(item.created)) for item in items]
            return sorted(listed, key=lambda item: item.name)

        return await self._threads.call(every)

    async def table(self, dataset: Dataset, name: str) -> Table | None:
        """See Warehouse."""

        def get() -> Table | None:
            with translated("read the definition of", f"table {name}", VIEWER):
                try:
                    # The client's own method leaves % # and ? in the path, where they mean something else.
                    answer = self._client._call_api(
                        None, method="GET", path=_table_path(dataset, name), query_params={}, timeout=TIMEOUT
                    )
                except NotFound:
                    return None
            found = bigquery.Table.from_api_repr(answer)
            definition = msgspec.Raw(msgspec.json.encode(found.to_api_repr()))
            return Table(name, found.table_type, found.num_rows or 0, found.num_bytes or 0, definition)

        return await self._threads.call(get)

    async def row_policies(self, dataset: Dataset, table: str) -> list[str] | None:
        """See Warehouse. The client has no method for it: https://cloud.google.com/bigquery/docs/reference/rest"""
        path = f"{_table_path(dataset, table)}/rowAccessPolicies"

        def every() -> list[str] | None:
            names, token = [], ""
            while True:
                query = {"pageToken": token} if token else {}
                with translated("list the row access policies of", f"table {table}", POLICIES):
                    try:
                        page = self._client._call_api(None, method="GET", path=path, query_params=query,
                                                      timeout=TIMEOUT)  # fmt: skip
                    except NotFound:
                        return []
                found = page.get("rowAccessPolicies", ())
                names += [policy["rowAccessPolicyReference"]["policyId"] for policy in found]
                if not (token := page.get("nextPageToken", "")):
                    return names

        try:
            return await self._threads.call(every)
        except DeniedError:
            return None

    async def extract(self, request: ExtractRequest) -> Job:
        """See Warehouse."""
        return await self._threads.call(lambda: self._extract(request))

    async def estimate(self, dataset: Dataset, table: str, select: str, parameters: dict[str, str]) -> Estimate:
        """See Warehouse."""

        def ask() -> Estimate:
            config = bigquery.QueryJobConfig(
                dry_run=True, use_query_cache=False, query_parameters=_parameters(parameters)
            )
            with translated("query", f"table {table}", USER):
                found = self._client.query(
                    select, location=dataset.location, project=self._project, job_config=config, retry=None,
                    job_retry=None, timeout=TIMEOUT,
                )  # fmt: skip
            statistics = found._properties["statistics"]["query"]
            least = LEAST_BILLED * max(1, len(statistics.get("referencedTables", ())))
            processed = found.total_bytes_processed or 0
            billed = max(least, -(-processed // BILLED_UNIT) * BILLED_UNIT) if processed else 0
            columns = msgspec.json.encode(statistics.get("schema", {}).get("fields", ()))
            at_least = statistics.get("totalBytesProcessedAccuracy") == "LOWER_BOUND"
            return Estimate(billed, at_least, msgspec.Raw(columns))

        return await self._threads.call(ask)

    async def ask(self, dataset: Dataset, table: str, select: str, max_bytes_billed: int) -> list[int]:
        """See Warehouse."""

        def answer() -> list[int]:
            config = bigquery.QueryJobConfig(use_query_cache=False)
            if max_bytes_billed:
                config.maximum_bytes_billed = max_bytes_billed
            with translated("query", f"table {table}", USER):
                rows = self._client.query_and_wait(
                    select, location=dataset.location, project=self._project, job_config=config, retry=None,
                    job_retry=None, api_timeout=TIMEOUT[1],
                )  # fmt: skip
                for row in rows:
                    return [int(value) for value in row.values()]
            raise UnavailableError("query", f"table {table}", "the query gave no row")

        return await self._threads.call(answer)

    async def captured(self, dataset: Dataset, max_bytes_billed: int) -> list[str]:
        """See Warehouse."""

        def answer() -> list[str]:
            config = bigquery.QueryJobConfig(use_query_cache=False)
            if max_bytes_billed:
                config.maximum_bytes_billed = max_bytes_billed
            with translated("query", f"INFORMATION_SCHEMA.TABLES of {dataset.project}.{dataset.name}", VIEWER):
                rows = self._client.query_and_wait(
                    sql.captured(dataset), location=dataset.location, project=self._project, job_config=config,
                    retry=None, job_retry=None, api_timeout=TIMEOUT[1],
                )  # fmt: skip
                return [str(row[0]) for row in rows]

        return await self._threads.call(answer)

    async def query(self, request: QueryRequest) -> Job:
        """See Warehouse."""
        return await self._threads.call(lambda: self._query(request))

    async def job(self, job_id: str, location: str) -> Job:
        """See Warehouse."""

        def get() -> Job:
            with translated("look at", f"job {job_id}", USER):
                found = self._client.get_job(
                    job_id, project=self._project, location=location, retry=None, timeout=TIMEOUT
                )
            return _job(found)

        return await self._threads.call(get)

    async def jobs(self, since: int) -> AsyncIterator[list[Job]]:
        """See Warehouse."""

        def begin() -> Iterator[Any]:
            listing = self._client.list_jobs(
                project=self._project, min_creation_time=datetime.fromtimestamp(since / 1000, UTC), page_size=PAGE,
                retry=None, timeout=TIMEOUT,
            )  # fmt: skip
            return iter(listing.pages)

        pages = await self._threads.call(begin)

        def following() -> list[Job] | None:
            with translated("list the jobs of", f"project {self._project}", USER):
                page = next(pages, None)
                return None if page is None else [_job(job) for job in page]

        while (page := await self._threads.call(following)) is not None:
            yield page

    async def at_work(self, since: int) -> set[str]:
        """See Warehouse."""

        def ids() -> set[str]:
            found: set[str] = set()
            # In this order: a job that starts between the two listings is in both.
            for state in ("pending", "running"):
                with translated("list the jobs of", f"project {self._project}", USER):
                    found |= {job.job_id for job in self._client.list_jobs(
                        project=self._project, min_creation_time=datetime.fromtimestamp(since / 1000, UTC),
                        state_filter=state, page_size=PAGE, retry=None, timeout=TIMEOUT,
                    )}  # fmt: skip
            return found

        return await self._threads.call(ids)

    async def close(self) -> None:
        """See Warehouse."""
        self._threads.close()
        if not self._opening.cancelled():
            self._client.close()

    def _extract(self, request: ExtractRequest) -> Job:
        format_ = FORMATS[request.format]
        config = bigquery.ExtractJobConfig(destination_format=format_.api, labels=request.labels)
        config.compression = request.codec.upper()
        if request.format == "csv":
            config.print_header = request.header
            config.field_delimiter = request.delimiter
        if request.format == "avro":
            config.use_avro_logical_types = True
        source = bigquery.DatasetReference(request.dataset.project, request.dataset.name).table(
            f"{request.table}@{request.snapshot}"
        )
        with translated("start the extract job of", f"table {request.table}", USER):
            started = self._client.extract_table(
                source, request.uri, job_id=request.job_id, location=request.dataset.location,
                project=self._project, job_config=config, retry=None, timeout=TIMEOUT,
            )  # fmt: skip
        return _job(started)

    def _query(self, request: QueryRequest) -> Job:
        config = bigquery.QueryJobConfig(labels=request.labels, query_parameters=_parameters(request.parameters))
        if request.max_bytes_billed:
            config.maximum_bytes_billed = request.max_bytes_billed
        statement = sql.export(request.select, request.uri, request.format, request.codec, header=request.header,
                               delimiter=request.delimiter)  # fmt: skip
        with translated("start the query of", f"table {request.table}", USER):
            started = self._client.query(
                statement, job_id=request.job_id, location=request.dataset.location, project=self._project,
                job_config=config, retry=None, job_retry=None, timeout=TIMEOUT,
            )  # fmt: skip
        return _job(started)


def _table_path(dataset: Dataset, table: str) -> str:
    place = (dataset.project, dataset.name, table)
    return "/projects/{}/datasets/{}/tables/{}".format(*(quote(part, safe="") for part in place))


def _parameters(variables: dict[str, str]) -> list[Any]:
    """A parameter for each name, with the text that its environment variable holds."""
    for variable in variables.values():
        if not os.environ.get(variable):
            cause = "it is not set, and masks need the salt that it holds"
            raise UsageError("mask columns", f"environment variable {variable}", cause, "Set it for every task.")
    return [bigquery.ScalarQueryParameter(name, "STRING", os.environ[variable]) for name, variable in variables.items()]


def _job(job: Any) -> Job:
    error = job.error_result
    counts = getattr(job, "destination_uri_file_counts", None) or ()
    # The client has no property for these.
    statistics = job._properties.get("statistics", {})
    query = statistics.get("query", {})
    exported, billed = query.get("exportDataStatistics", {}), query.get("totalBytesBilled")
    rows = exported.get("rowCount")
    return Job(
        id=job.job_id,
        state=STATES.get(job.state, "pending"),
        error=JobError(error.get("reason", "unknown"), one_line(error.get("message", "no message"))) if error else None,
        files=sum(map(int, counts)) or int(exported.get("fileCount", 0)),
        created=_ms(job.created),
        started=_ms(job.started),
        ended=_ms(job.ended),
        rows=None if rows is None else int(rows),
        billed=None if billed is None else int(billed),
        row_policies=bool(statistics.get("rowLevelSecurityStatistics", {}).get("rowLevelSecurityApplied")),
        masking=bool(statistics.get("dataMaskingStatistics", {}).get("dataMaskingApplied")),
    )


def _ms(moment: datetime | None) -> int:
    return milliseconds_of(moment) if moment else 0
