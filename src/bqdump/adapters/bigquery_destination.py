"""The Destination on BigQuery, with Google's own client."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any
from urllib.parse import quote

import msgspec
from google.api_core.exceptions import NotFound

from bqdump.adapters import bigquery as warehouse
from bqdump.adapters.bigquery import USER, VIEWER, BigQueryWarehouse
from bqdump.adapters.bigquery_connection import ONCE, QUERY_ONCE
from bqdump.adapters.bigquery_definitions import WITH_CONDITIONS
from bqdump.adapters.bigquery_jobs import copy_config, job_of, load_config, milliseconds, query_config
from bqdump.adapters.google_errors import translated, translated_reference
from bqdump.adapters.google_http import TIMEOUT
from bqdump.adapters.lean_imports import Later
from bqdump.core.errors import ConflictError, NotFoundError, RowsError
from bqdump.core.plan.catalog import Dataset
from bqdump.ports.destination import CopyRequest, LoadRequest, Present, StatementRequest, TableName
from bqdump.ports.warehouse import Job

bigquery: Any = Later("google.cloud.bigquery")
CREATOR = "Requires bigquery.datasets.create, as in roles/bigquery.user, on the project."
ACCESS = "Requires bigquery.datasets.setIamPolicy, as in roles/bigquery.dataOwner, on the dataset."
OWNER = "Requires roles/bigquery.dataOwner on the dataset."
EDITOR = "Requires roles/bigquery.dataEditor on the dataset."
ADMIN = "Requires bigquery.rowAccessPolicies.create and setIamPolicy, as in roles/bigquery.admin, on the dataset."


class BigQueryDestination(BigQueryWarehouse):
    """Datasets and tables of any project, jobs in `job_project`. It does not retry: see adapters.retry.

    Google's client neither escapes %, # and ? in the path of a name, nor sends properties that it has no attribute for
    when it changes something, so such requests are made here.
    """

    async def find_dataset(self, project: str, name: str) -> msgspec.Raw | None:
        """See Destination."""

        def get() -> msgspec.Raw | None:
            with translated("find", f"dataset {project}.{name}", VIEWER):
                try:
                    return msgspec.Raw(msgspec.json.encode(self._dataset(_path(project, name))))
                except NotFound:
                    return None

        return await self._threads.call(get)

    async def create_dataset(self, project: str, name: str, definition: msgspec.Raw) -> bool:
        """See Destination."""
        reference = {"datasetReference": {"projectId": project, "datasetId": name}}
        body = msgspec.json.decode(definition) | reference

        def create() -> None:
            with translated("create", f"dataset {project}.{name}", CREATOR):
                self._client.create_dataset(bigquery.Dataset.from_api_repr(body), **ONCE)

        return await self._threads.call(partial(_unless_taken, create))

    async def change_dataset(self, dataset: Dataset, changes: msgspec.Raw) -> None:
        """See Destination."""
        subject = f"dataset {dataset.project}.{dataset.name}"

        def patch() -> None:
            with translated("change", subject, OWNER):
                self._call("PATCH", _path(dataset.project, dataset.name), msgspec.json.decode(changes))

        await self._threads.call(patch)

    async def change_access(self, dataset: Dataset, access: msgspec.Raw, etag: str) -> None:
        """See Destination."""
        subject = f"access to dataset {dataset.project}.{dataset.name}"

        def patch() -> None:
            with translated("change", subject, ACCESS):
                self._client._call_api(
                    None,
                    method="PATCH",
                    path=_path(dataset.project, dataset.name),
                    data={"access": msgspec.json.decode(access)},
                    query_params={**WITH_CONDITIONS, "updateMode": "UPDATE_ACL"},
                    headers={"If-Match": etag},
                    timeout=TIMEOUT,
                )

        await self._threads.call(patch)

    async def drop_dataset(self, dataset: Dataset) -> None:
        """See Destination."""

        def delete() -> None:
            with translated("delete", f"dataset {dataset.project}.{dataset.name}", OWNER):
                self._drop(_path(dataset.project, dataset.name), deleteContents="true")

        await self._threads.call(delete)

    async def present(self, dataset: Dataset) -> list[Present]:
        """See Destination."""

        def every() -> list[Present]:
            reference = bigquery.DatasetReference(dataset.project, dataset.name)
            with translated("list the tables of", f"{dataset.project}.{dataset.name}", VIEWER):
                items = self._client.list_tables(reference, page_size=warehouse.PAGE, **ONCE)
                found = [Present(i.table_id, i.table_type, milliseconds(i.created), dict(i.labels)) for i in items]
            return sorted(found, key=lambda item: item.name)

        return await self._threads.call(every)

    async def create_table(self, dataset: Dataset, name: str, definition: msgspec.Raw) -> bool:
        """See Destination."""
        body = msgspec.json.decode(definition) | {"tableReference": _reference(dataset, name)}

        def create() -> None:
            with translated_reference("create", f"table {name}", EDITOR):
                self._client.create_table(bigquery.Table.from_api_repr(body), **ONCE)

        return await self._threads.call(partial(_unless_taken, create))

    async def change_table(self, dataset: Dataset, name: str, changes: msgspec.Raw) -> None:
        """See Destination."""

        def patch() -> None:
            with translated_reference("change", f"table {name}", EDITOR):
                self._call("PATCH", _table(dataset, name), msgspec.json.decode(changes))

        await self._threads.call(patch)

    async def replace_definition(self, dataset: Dataset, name: str, definition: msgspec.Raw) -> None:
        """See Destination."""
        body = msgspec.json.decode(definition) | {"tableReference": _reference(dataset, name)}

        def update() -> None:
            with translated_reference("change", f"table {name}", EDITOR):
                self._call("PUT", _table(dataset, name), body)

        await self._threads.call(update)

    async def drop_table(self, dataset: Dataset, name: str) -> None:
        """See Destination."""

        def delete() -> None:
            with translated("delete", f"table {name}", EDITOR):
                self._drop(_table(dataset, name))

        await self._threads.call(delete)

    async def create_routine(self, dataset: Dataset, name: str, definition: msgspec.Raw, *, replace: bool) -> bool:
        """See Destination."""
        reference = {"projectId": dataset.project, "datasetId": dataset.name, "routineId": name}
        body = msgspec.json.decode(definition) | {"routineReference": reference}
        path = f"{_path(dataset.project, dataset.name)}/routines/{quote(name, safe='')}"

        def create() -> None:
            with translated_reference("create", f"routine {name}", EDITOR):
                if replace:
                    try:
                        self._call("PUT", path, body)
                    except NotFound:
                        # It, or what it refers to.
                        pass
                    else:
                        return
                self._client.create_routine(bigquery.Routine.from_api_repr(body), **ONCE)

        return await self._threads.call(partial(_unless_taken, create))

    async def create_row_policy(self, dataset: Dataset, table: str, name: str, definition: msgspec.Raw) -> bool:
        """See Destination. The client has no method for it."""
        reference = {**_reference(dataset, table), "policyId": name}
        body = msgspec.json.decode(definition) | {"rowAccessPolicyReference": reference}

        def create() -> None:
            with translated_reference("create", f"row access policy {name} of table {table}", ADMIN):
                self._call("POST", f"{_table(dataset, table)}/rowAccessPolicies", body)

        return await self._threads.call(partial(_unless_taken, create))

    async def stream(self, dataset: Dataset, table: str, rows: Sequence[Mapping[str, str]]) -> None:
        """Write rows into the streaming buffer of a table, which checks of the service look at.

        Raises NotFoundError for a table that was created a moment ago, of which BigQuery's streaming does not know yet.
        https://cloud.google.com/bigquery/docs/error-messages#streaming
        """
        body = {"rows": [{"json": dict(row)} for row in rows]}

        def insert() -> None:
            subject = f"table {table}"
            with translated("stream into", subject, EDITOR):
                answer = self._call("POST", f"{_table(dataset, table)}/insertAll", body)
            if errors := answer.get("insertErrors"):
                raise RowsError("stream into", subject, str(errors)[:200])

        await self._threads.call(insert)

    async def find_job(self, job_id: str, location: str) -> Job | None:
        """See Destination."""
        try:
            return await self.job(job_id, location)
        except NotFoundError:
            return None

    async def load(self, request: LoadRequest) -> Job:
        """See Destination."""

        def start() -> Job:
            with translated("start the load job of", f"table {request.to.table}", USER):
                started = self._client.load_table_from_uri(
                    list(request.uris),
                    _job_table(request.to),
                    **self._new_job(request.job_id, request.to.dataset.location, load_config(request)),
                    **ONCE,
                )
            return job_of(started)

        return await self._threads.call(start)

    async def statement(self, request: StatementRequest) -> Job:
        """See Destination."""

        def start() -> Job:
            config = query_config(request.max_bytes_billed, labels=request.labels)
            with translated_reference("start the statement for", f"table {request.table}", USER):
                started = self._client.query(
                    request.statement,
                    **self._new_job(request.job_id, request.dataset.location, config),
                    **QUERY_ONCE,
                )
            return job_of(started)

        return await self._threads.call(start)

    async def copy(self, request: CopyRequest) -> Job:
        """See Destination."""

        def start() -> Job:
            with translated("start the copy job of", f"table {request.to.table}", USER):
                started = self._client.copy_table(
                    _job_table(request.source),
                    _job_table(request.to),
                    **self._new_job(request.job_id, request.to.dataset.location, copy_config(request)),
                    **ONCE,
                )
            return job_of(started)

        return await self._threads.call(start)

    def _call(self, method: str, path: str, body: Any = None, **query: str) -> dict[str, Any]:
        answer = self._client._call_api(None, method=method, path=path, data=body, query_params=query, timeout=TIMEOUT)
        return dict(answer or {})

    def _drop(self, path: str, **query: str) -> None:
        try:
            self._call("DELETE", path, **query)
        except NotFound:
            return


def _unless_taken(create: Callable[[], None]) -> bool:
    """Whether this has created something; False if its name is taken."""
    try:
        create()
    except ConflictError:
        return False
    return True


def _job_table(name: TableName) -> Any:
    return bigquery.DatasetReference(name.dataset.project, name.dataset.name).table(name.decorated)


def _reference(dataset: Dataset, table: str) -> dict[str, str]:
    return {"projectId": dataset.project, "datasetId": dataset.name, "tableId": table}


def _path(project: str, dataset: str) -> str:
    return f"/projects/{quote(project, safe='')}/datasets/{quote(dataset, safe='')}"


def _table(dataset: Dataset, table: str) -> str:
    return f"{_path(dataset.project, dataset.name)}/tables/{quote(table, safe='')}"
