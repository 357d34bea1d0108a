"""The Destination on BigQuery, with Google's own client."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec
from google.api_core.exceptions import NotFound

from bqdump.adapters.bigquery import warehouse
from bqdump.adapters.bigquery.connection import (
    ONCE,
    QUERY_ONCE,
    copy_config,
    job_of,
    load_config,
    milliseconds,
    query_config,
)
from bqdump.adapters.bigquery.definitions import WITH_CONDITIONS, dataset_path, routine_path, table_path
from bqdump.adapters.bigquery.gate import Limit
from bqdump.adapters.bigquery.warehouse import VIEWER, BigQueryWarehouse
from bqdump.adapters.google.errors import translated
from bqdump.adapters.google.http import TIMEOUT
from bqdump.adapters.google.refusals import USER
from bqdump.adapters.lean_imports import Later
from bqdump.core.errors import ConflictError, NotFoundError, RowsError
from bqdump.core.tables.catalog import Dataset
from bqdump.ports.destination import CopyRequest, LoadRequest, Present, StatementRequest, TableName
from bqdump.ports.warehouse import Job

bigquery: Any = Later("google.cloud.bigquery")
CREATOR = "Requires bigquery.datasets.create, as in roles/bigquery.user, on the project."
ACCESS = "Requires bigquery.datasets.setIamPolicy, as in roles/bigquery.dataOwner, on the dataset."
OWNER = "Requires roles/bigquery.dataOwner on the dataset."
EDITOR = "Requires roles/bigquery.dataEditor on the dataset."
ADMIN = "Requires bigquery.rowAccessPolicies.create and setIamPolicy, as in roles/bigquery.admin, on the dataset."


class BigQueryDestination(BigQueryWarehouse):
    """Datasets and tables of any project, jobs in `job_project`. See Destination.

    Google's client neither escapes %, # and ? in the path of a name, nor sends properties that it has no attribute for
    when it changes something, so such requests are made here.
    """

    async def find_dataset(self, project: str, name: str) -> msgspec.Raw | None:
        def get() -> msgspec.Raw | None:
            try:
                return msgspec.Raw(msgspec.json.encode(self._dataset(dataset_path(project, name))))
            except NotFound:
                return None

        return await self._send(get, "find", f"dataset {project}.{name}", VIEWER)

    async def create_dataset(self, project: str, name: str, definition: msgspec.Raw) -> bool:
        reference = {"datasetReference": {"projectId": project, "datasetId": name}}
        body = msgspec.json.decode(definition) | reference

        def create() -> None:
            self._client.create_dataset(bigquery.Dataset.from_api_repr(body), **ONCE)

        return await _unless_taken(self._send(create, "create", f"dataset {project}.{name}", CREATOR))

    async def change_dataset(self, dataset: Dataset, changes: msgspec.Raw) -> None:
        path, body = dataset_path(dataset.project, dataset.name), msgspec.json.decode(changes)
        subject = f"dataset {dataset.project}.{dataset.name}"
        await self._send(lambda: self._call("PATCH", path, body), "change", subject, OWNER)

    async def change_access(self, dataset: Dataset, access: msgspec.Raw, etag: str) -> None:
        def patch() -> None:
            self._client._call_api(
                None,
                method="PATCH",
                path=dataset_path(dataset.project, dataset.name),
                data={"access": msgspec.json.decode(access)},
                query_params={**WITH_CONDITIONS, "updateMode": "UPDATE_ACL"},
                headers={"If-Match": etag},
                timeout=TIMEOUT,
            )

        await self._send(patch, "change", f"access to dataset {dataset.project}.{dataset.name}", ACCESS)

    async def drop_dataset(self, dataset: Dataset) -> None:
        path, subject = dataset_path(dataset.project, dataset.name), f"dataset {dataset.project}.{dataset.name}"
        await self._send(lambda: self._drop(path, deleteContents="true"), "delete", subject, OWNER)

    async def present(self, dataset: Dataset) -> list[Present]:
        def every() -> list[Present]:
            reference = bigquery.DatasetReference(dataset.project, dataset.name)
            items = self._client.list_tables(reference, page_size=warehouse.PAGE, **ONCE)
            tables = [Present(i.table_id, i.table_type, milliseconds(i.created), dict(i.labels)) for i in items]
            return sorted(tables, key=lambda item: item.name)

        return await self._send(every, "list the tables of", f"{dataset.project}.{dataset.name}", VIEWER)

    async def create_table(self, dataset: Dataset, name: str, definition: msgspec.Raw) -> bool:
        body = msgspec.json.decode(definition) | {"tableReference": _reference(dataset, name)}

        def create() -> None:
            self._client.create_table(bigquery.Table.from_api_repr(body), **ONCE)

        created = self._define(create, "create", f"table {name}", EDITOR, Limit.CREATE_TABLE)
        return await _unless_taken(created)

    async def change_table(self, dataset: Dataset, name: str, changes: msgspec.Raw) -> None:
        path, body = table_path(dataset, name), msgspec.json.decode(changes)
        patch = partial(self._call, "PATCH", path, body)
        await self._define(patch, "change", f"table {name}", EDITOR, Limit.CHANGE_TABLE)

    async def replace_definition(self, dataset: Dataset, name: str, definition: msgspec.Raw) -> None:
        body = msgspec.json.decode(definition) | {"tableReference": _reference(dataset, name)}
        update = partial(self._call, "PUT", table_path(dataset, name), body)
        await self._define(update, "change", f"table {name}", EDITOR, Limit.REPLACE_TABLE)

    async def drop_table(self, dataset: Dataset, name: str) -> None:
        path = table_path(dataset, name)
        await self._send(lambda: self._drop(path), "delete", f"table {name}", EDITOR, limit=Limit.DROP_TABLE)

    async def create_routine(self, dataset: Dataset, name: str, definition: msgspec.Raw, *, replace: bool) -> bool:
        reference = {"projectId": dataset.project, "datasetId": dataset.name, "routineId": name}
        body = msgspec.json.decode(definition) | {"routineReference": reference}

        def create() -> None:
            if replace:
                try:
                    self._call("PUT", routine_path(dataset, name), body)
                except NotFound:
                    # It, or what it refers to.
                    pass
                else:
                    return
            self._client.create_routine(bigquery.Routine.from_api_repr(body), **ONCE)

        created = self._define(create, "create", f"routine {name}", EDITOR, Limit.CREATE_ROUTINE)
        return await _unless_taken(created)

    async def create_row_policy(self, dataset: Dataset, table: str, name: str, definition: msgspec.Raw) -> bool:
        """See Destination. The client has no method for it."""
        reference = {**_reference(dataset, table), "policyId": name}
        body = msgspec.json.decode(definition) | {"rowAccessPolicyReference": reference}
        create = partial(self._call, "POST", f"{table_path(dataset, table)}/rowAccessPolicies", body)
        subject = f"row access policy {name} of table {table}"
        return await _unless_taken(self._define(create, "create", subject, ADMIN, Limit.CREATE_POLICY))

    async def stream(self, dataset: Dataset, table: str, rows: Sequence[Mapping[str, str]]) -> None:
        """Write rows into the streaming buffer of a table, which checks of the service look at. It is not retried.

        Raises NotFoundError for a table that was created a moment ago, of which BigQuery's streaming does not know yet.
        https://cloud.google.com/bigquery/docs/error-messages#streaming
        """
        body = {"rows": [{"json": dict(row)} for row in rows]}
        subject = f"table {table}"
        with translated("stream into", subject, EDITOR):
            path = f"{table_path(dataset, table)}/insertAll"
            answer = await self._threads.call(lambda: self._call("POST", path, body))
        if errors := answer.get("insertErrors"):
            raise RowsError("stream into", subject, str(errors)[:200])

    async def find_job(self, job_id: str, location: str) -> Job | None:
        try:
            return await self._job(job_id, location)
        except NotFoundError:
            return None

    async def cancel_job(self, job_id: str, location: str) -> None:
        def cancel() -> None:
            try:
                # The client's own method sends a parameter that this method does not have.
                self._call("POST", f"/projects/{self._project}/jobs/{job_id}/cancel", location=location)
            except NotFound:
                return

        await self._send(cancel, "cancel", f"job {job_id}", USER)

    async def load(self, request: LoadRequest) -> Job:
        def start() -> Job:
            started = self._client.load_table_from_uri(
                list(request.uris),
                _job_table(request.to),
                **self._new_job(request.job_id, request.to.dataset.location, load_config(request)),
                **ONCE,
            )
            return job_of(started)

        return await self._start(start, "start the load job of", f"table {request.to.table}", EDITOR)

    async def statement(self, request: StatementRequest) -> Job:
        def start() -> Job:
            config = query_config(request.max_bytes_billed, labels=request.labels)
            job = self._new_job(request.job_id, request.dataset.location, config)
            return job_of(self._client.query(request.statement, **job, **QUERY_ONCE))

        return await self._start(start, "start the statement for", f"table {request.table}", EDITOR, refers=True)

    async def copy(self, request: CopyRequest) -> Job:
        def start() -> Job:
            started = self._client.copy_table(
                _job_table(request.source),
                _job_table(request.to),
                **self._new_job(request.job_id, request.to.dataset.location, copy_config(request)),
                **ONCE,
            )
            return job_of(started)

        return await self._start(start, "start the copy job of", f"table {request.to.table}", EDITOR)

    async def _define(
        self, request: Callable[[], object], operation: str, subject: str, role: str, limit: Limit
    ) -> None:
        """Send a definition, which may refer to other tables, routines and so on."""
        await self._send(request, operation, subject, role, limit=limit, refers=True)

    def _call(self, method: str, path: str, body: Any = None, **query: str) -> dict[str, Any]:
        answer = self._client._call_api(None, method=method, path=path, data=body, query_params=query, timeout=TIMEOUT)
        return dict(answer or {})

    def _drop(self, path: str, **query: str) -> None:
        try:
            self._call("DELETE", path, **query)
        except NotFound:
            return


async def _unless_taken(creating: Awaitable[object]) -> bool:
    """Whether this has created something; False if its name is taken."""
    try:
        await creating
    except ConflictError:
        return False
    return True


def _job_table(name: TableName) -> Any:
    return bigquery.DatasetReference(name.dataset.project, name.dataset.name).table(name.decorated)


def _reference(dataset: Dataset, table: str) -> dict[str, str]:
    return {"projectId": dataset.project, "datasetId": dataset.name, "tableId": table}
