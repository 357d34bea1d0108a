"""The connection to BigQuery that all parts of the Warehouse share: Google's client, its threads, and the gate."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from bqdump.adapters.bigquery_jobs import query_config
from bqdump.adapters.endpoints import BIGQUERY
from bqdump.adapters.gate import Gate, Limit
from bqdump.adapters.google_errors import translated, translated_reference
from bqdump.adapters.google_http import TIMEOUT, credentials, session
from bqdump.adapters.lean_imports import Later
from bqdump.adapters.threads import Threads
from bqdump.core.errors import BqdumpError
from bqdump.core.tables.catalog import Dataset

bigquery: Any = Later("google.cloud.bigquery")
Answer = TypeVar("Answer")
# Retrying is not the client's task: see adapters.gate.
ONCE: dict[str, Any] = {"retry": None, "timeout": TIMEOUT}
QUERY_ONCE: dict[str, Any] = {**ONCE, "job_retry": None}
ANSWER_ONCE: dict[str, Any] = {"retry": None, "job_retry": None, "api_timeout": TIMEOUT[1]}


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
        # Importing the client takes a while; meanwhile the first requests go to the bucket.
        self._opening = self._threads.start(
            lambda: bigquery.Client(project=job_project, credentials=granted, _http=connection, client_options=options)
        )

    @property
    def _client(self) -> Any:
        """Google's client. Blocks until it is open, so only threads use it."""
        return self._opening.result()

    async def close(self) -> None:
        """See Warehouse."""
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

        operation, subject, hint: of the error if there is none. limit: what it counts against. also: errors of this
        class are retried, too. refers: what is not found may be something that the request names.
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
