"""The connection to BigQuery that all parts of the Warehouse share: Google's client, its threads, and the gate.

BigQuery's jobs as the port describes them: configurations to start them, and their states.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import msgspec

from bqdump.adapters.bigquery.gate import Gate, Limit
from bqdump.adapters.google.access import one_line
from bqdump.adapters.google.endpoints import BIGQUERY
from bqdump.adapters.google.errors import translated, translated_reference
from bqdump.adapters.google.http import TIMEOUT, credentials, session
from bqdump.adapters.lean_imports import Later
from bqdump.adapters.threads import Threads
from bqdump.core.dealing import Sharing
from bqdump.core.errors import BqdumpError, UsageError
from bqdump.core.formats.formats import FORMATS
from bqdump.core.tables.catalog import Dataset
from bqdump.core.times import milliseconds_of
from bqdump.ports.warehouse import Estimate, ExtractRequest, Job, JobError

if TYPE_CHECKING:
    from bqdump.ports.destination import CopyRequest, LoadRequest

bigquery: Any = Later("google.cloud.bigquery")
# On-demand queries are billed in MiB, and at least 10 MiB per table that they read.
# https://cloud.google.com/bigquery/pricing#on_demand_pricing
BILLED_UNIT = 1 << 20
LEAST_BILLED = 10 * BILLED_UNIT
STATES: dict[str, Literal["pending", "running", "done"]] = {"PENDING": "pending", "RUNNING": "running", "DONE": "done"}


def extract_config(request: ExtractRequest) -> Any:
    """The configuration of an extract job."""
    config = bigquery.ExtractJobConfig(destination_format=FORMATS[request.format].api, labels=request.labels)
    config.compression = request.codec.upper()
    if request.format == "csv":
        config.print_header = request.header
        config.field_delimiter = request.delimiter
    if request.format == "avro":
        config.use_avro_logical_types = True
    return config


def query_config(max_bytes_billed: int = 0, **options: Any) -> Any:
    """The configuration of a query. max_bytes_billed: 0 for no limit."""
    config = bigquery.QueryJobConfig(**options)
    if max_bytes_billed:
        config.maximum_bytes_billed = max_bytes_billed
    return config


def load_config(request: LoadRequest) -> Any:
    """The configuration of a load job into a table that exists."""
    load = msgspec.json.decode(request.options)
    load["schema"] = msgspec.json.decode(request.schema)
    load["createDisposition"] = "CREATE_NEVER"
    load["writeDisposition"] = "WRITE_EMPTY" if request.empty else "WRITE_APPEND"
    return bigquery.LoadJobConfig.from_api_repr({"load": load, "labels": request.labels})


def copy_config(request: CopyRequest) -> Any:
    """The configuration of a copy job over a table that exists."""
    config = bigquery.CopyJobConfig(labels=request.labels)
    config.create_disposition = "CREATE_NEVER"
    config.write_disposition = "WRITE_EMPTY" if request.empty else "WRITE_TRUNCATE"
    return config


def query_parameters(variables: dict[str, str]) -> list[Any]:
    """A string parameter for each name, with the value of its environment variable."""
    for variable in variables.values():
        if not os.environ.get(variable):
            cause = "it is not set, and masks need the salt that it holds"
            raise UsageError("mask columns", f"environment variable {variable}", cause, "Set it for every task.")
    return [bigquery.ScalarQueryParameter(name, "STRING", os.environ[variable]) for name, variable in variables.items()]


def estimate_of(dry_run: Any) -> Estimate:
    """The estimate in the answer to a dry run."""
    statistics = dry_run._properties["statistics"]["query"]
    least = LEAST_BILLED * max(1, len(statistics.get("referencedTables", ())))
    processed = dry_run.total_bytes_processed or 0
    billed = max(least, -(-processed // BILLED_UNIT) * BILLED_UNIT) if processed else 0
    columns = msgspec.json.encode(statistics.get("schema", {}).get("fields", ()))
    at_least = statistics.get("totalBytesProcessedAccuracy") == "LOWER_BOUND"
    return Estimate(billed, at_least, msgspec.Raw(columns))


def job_of(job: Any) -> Job:
    """A job of Google's client as the port's Job."""
    error = job.error_result
    counts = getattr(job, "destination_uri_file_counts", None) or ()
    # The client has no properties for these statistics.
    statistics = job._properties.get("statistics", {})
    query = statistics.get("query", {})
    exported, billed = query.get("exportDataStatistics", {}), query.get("totalBytesBilled")
    loaded, inserted = statistics.get("load", {}).get("outputRows"), query.get("numDmlAffectedRows")
    rows = next((count for count in (exported.get("rowCount"), loaded, inserted) if count is not None), None)
    return Job(
        id=job.job_id,
        state=STATES.get(job.state, "pending"),
        error=JobError(error.get("reason", "unknown"), one_line(error.get("message", "no message"))) if error else None,
        files=sum(map(int, counts)) or int(exported.get("fileCount", 0)),
        created=milliseconds(job.created),
        started=milliseconds(job.started),
        ended=milliseconds(job.ended),
        rows=None if rows is None else int(rows),
        billed=None if billed is None else int(billed),
        row_policies=bool(statistics.get("rowLevelSecurityStatistics", {}).get("rowLevelSecurityApplied")),
        masking=bool(statistics.get("dataMaskingStatistics", {}).get("dataMaskingApplied")),
    )


def milliseconds(time: datetime | None) -> int:
    """Milliseconds since 1970 UTC; 0 for None."""
    return milliseconds_of(time) if time else 0


Answer = TypeVar("Answer")
# Retrying is not the client's task: see bigquery.gate.
ONCE: dict[str, Any] = {"retry": None, "timeout": TIMEOUT}
QUERY_ONCE: dict[str, Any] = {**ONCE, "job_retry": None}
ANSWER_ONCE: dict[str, Any] = {"retry": None, "job_retry": None, "api_timeout": TIMEOUT[1]}
# How long a process takes to send its first request to the bucket, once it has opened both services.
FIRST_REQUEST_SECONDS = 0.05


class BigQueryConnection:
    """Google's client, whose jobs run in `job_project`, behind a gate.

    job_timeout: seconds after which BigQuery cancels a job.
    """

    def __init__(self, job_project: str, gate: Gate, job_timeout: int | None = None) -> None:
        granted = credentials(BIGQUERY.variable)
        options = {"api_endpoint": host} if (host := os.environ.get(BIGQUERY.variable)) else None
        connection = session(granted)
        self._project, self._gate, self._job_timeout = job_project, gate, job_timeout
        self._threads = Threads("bigquery")
        self._wanted = threading.Event()

        def open_client() -> Any:
            # Importing the client takes a while. It would keep the first request to the bucket from being sent.
            self._wanted.wait(FIRST_REQUEST_SECONDS)
            return bigquery.Client(project=job_project, credentials=granted, _http=connection, client_options=options)

        self._opening = self._threads.start(open_client)

    @property
    def _client(self) -> Any:
        """Google's client. Blocks until it is open, so only threads use it."""
        self._wanted.set()
        return self._opening.result()

    def share_limits(self, sharing: Sharing) -> None:
        self._gate.share(sharing)

    async def close(self) -> None:
        self._threads.close()
        if not self._opening.cancelled():
            self._client.close()

    async def _send(
        self,
        request: Callable[[], Answer],
        operation: str,
        subject: str,
        hint: str = "",
        *,
        limit: Limit | None = None,
        also: type[BqdumpError] | None = None,
        refers: bool = False,
    ) -> Answer:
        """The answer to a request, which a thread makes: limited, retried, and with errors of bqdump.

        operation, subject, hint: of the error if there is none.
        limit: what it counts against.
        also: errors of this class are retried, too.
        refers: what is not found may be something that the request names.
        """
        translating = translated_reference if refers else translated

        async def once() -> Answer:
            with translating(operation, subject, hint):
                return await self._threads.call(request)

        return await self._gate.call(once, limit, also)

    def _new_job(self, job_id: str, location: str, config: Any) -> dict[str, Any]:
        """How a job is started: its id, where it runs, and the longest time that it may take after its creation."""
        if self._job_timeout is not None:
            config.job_timeout_ms = self._job_timeout * 1000
        return {"job_id": job_id, "location": location, "project": self._project, "job_config": config}

    def _get(self, path: str, query: dict[str, Any]) -> dict[str, Any]:
        """A resource of the API, with properties that the client does not know."""
        return dict(self._client._call_api(None, method="GET", path=path, query_params=query, timeout=TIMEOUT))

    def _pages(self, path: str, **query: Any) -> Iterator[dict[str, Any]]:
        """The pages of a listing."""
        token = ""
        while True:
            page = self._get(path, {**query, "pageToken": token} if token else query)
            yield page
            if not (token := page.get("nextPageToken", "")):
                return

    def _rows(self, dataset: Dataset, select: str, max_bytes_billed: int) -> Any:
        """The rows of a query that is billed, up to a limit (0: none)."""
        config = query_config(max_bytes_billed, use_query_cache=False)
        place = {"location": dataset.location, "project": self._project}
        return self._client.query_and_wait(select, job_config=config, **place, **ANSWER_ONCE)
