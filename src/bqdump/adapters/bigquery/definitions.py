"""The definitions of a dataset besides its tables, from BigQuery: routines, models, row access policies, indexes."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import msgspec
from google.api_core.exceptions import Forbidden

from bqdump.adapters.bigquery.connection import BigQueryConnection
from bqdump.adapters.bigquery.gate import Limit
from bqdump.adapters.google.errors import translate
from bqdump.adapters.google.http import TIMEOUT
from bqdump.core.documents.definitions import Index, RoutineDefinition, RowPolicy
from bqdump.core.errors import DeniedError, NotFoundError
from bqdump.core.sql import statements as sql
from bqdump.core.tables.catalog import Dataset

PAGE = 1000
READERS = "roles/bigquery.dataViewer on the dataset includes it."
POLICIES = "Requires a role with bigquery.rowAccessPolicies.list on the dataset."
POLICIES_BY_QUERY = "Requires a role with bigquery.rowAccessPolicies.get and .list on the dataset."
MEMBERS = "Requires a role with bigquery.rowAccessPolicies.getIamPolicy on the dataset."
# A conditional grant has its own role name in earlier versions of policies.
WITH_CONDITIONAL = {"options": {"requestedPolicyVersion": 3}}
# The role that a row access policy grants to its members.
# https://cloud.google.com/bigquery/docs/managing-row-level-security#grant_role
READS_ROWS = "roles/bigquery.filteredDataViewer"
# Conditions of access entries are returned from this version on.
# https://cloud.google.com/bigquery/docs/reference/rest/v2/datasets/get
WITH_CONDITIONS = {"accessPolicyVersion": 3}


class BigQueryDefinitions(BigQueryConnection):
    """The part of a Warehouse that reads definitions."""

    async def dataset(self, project: str, name: str) -> Dataset:
        hint = "Requires roles/bigquery.dataViewer on the dataset."
        path = dataset_path(project, name)
        resource = await self._send(lambda: self._dataset(path), "find", f"dataset {project}.{name}", hint)
        hours = int(resource.get("maxTimeTravelHours") or 168)
        return Dataset(project, name, resource["location"], hours, msgspec.Raw(msgspec.json.encode(resource)))

    def _dataset(self, path: str) -> dict[str, Any]:
        """The resource of a dataset; without its access entries where there is no permission to read them.

        https://cloud.google.com/bigquery/docs/dataset-access-control
        """
        try:
            return self._get(path, WITH_CONDITIONS)
        except Forbidden as error:
            # Quotas and rate limits are answered with 403, too.
            if not isinstance(translate(error, "find", path), DeniedError):
                raise
            return self._get(path, {"datasetView": "METADATA"})

    async def row_policies(self, dataset: Dataset, table: str) -> list[RowPolicy] | None:
        """See Warehouse. The client has no method for it.

        https://cloud.google.com/bigquery/docs/reference/rest/v2/rowAccessPolicies/list
        """
        path = f"{table_path(dataset, table)}/rowAccessPolicies"

        def every() -> list[RowPolicy]:
            policies = [policy for page in self._pages(path) for policy in page.get("rowAccessPolicies", ())]
            names = [policy["rowAccessPolicyReference"]["policyId"] for policy in policies]
            filters = [policy.get("filterPredicate", "") for policy in policies]
            return [RowPolicy(table, *named) for named in zip(names, filters, strict=True)]

        operation = "list the row access policies of"
        try:
            return await self._send(every, operation, f"table {table}", POLICIES, limit=Limit.LIST_POLICIES)
        except DeniedError:
            return None
        except NotFoundError:
            return []

    async def policed(self, dataset: Dataset) -> list[str]:
        def answer() -> list[str]:
            return sorted(str(row[0]) for row in self._rows(dataset, sql.policed(dataset), 0))

        subject = f"INFORMATION_SCHEMA.ROW_ACCESS_POLICIES of {dataset.project}.{dataset.name}"
        return await self._send(answer, "query", subject, POLICIES_BY_QUERY, limit=Limit.INSERT_JOB, refers=True)

    async def grantees(self, dataset: Dataset, table: str, policy: str) -> tuple[str, ...]:
        """See DefinitionReader. https://cloud.google.com/bigquery/docs/reference/rest/v2/rowAccessPolicies/getIamPolicy"""
        path = f"{table_path(dataset, table)}/rowAccessPolicies/{quote(policy, safe='')}:getIamPolicy"

        def get() -> tuple[str, ...]:
            answer = self._client._call_api(None, method="POST", path=path, data=WITH_CONDITIONAL, timeout=TIMEOUT)
            granted = (binding for binding in answer.get("bindings", ()) if binding.get("role") == READS_ROWS)
            return tuple(sorted({member for binding in granted for member in binding.get("members", ())}))

        subject = f"row access policy {policy} of table {table}"
        return await self._send(get, "read the members of", subject, MEMBERS, limit=Limit.GET_MEMBERS)

    async def routines(self, dataset: Dataset) -> list[str]:
        """See DefinitionReader. https://cloud.google.com/bigquery/docs/reference/rest/v2/routines/list"""
        return await self._names(dataset, "routines", "routineReference", "routineId")

    async def routine(self, dataset: Dataset, name: str) -> RoutineDefinition | None:
        """See DefinitionReader. https://cloud.google.com/bigquery/docs/reference/rest/v2/routines/get"""
        path, operation = routine_path(dataset, name), "read the definition of"
        try:
            resource = await self._send(
                lambda: self._get(path, {}), operation, f"routine {name}", READERS, limit=Limit.GET_ROUTINE
            )
        except NotFoundError:
            return None
        return RoutineDefinition(name, resource.get("routineType", ""), msgspec.Raw(msgspec.json.encode(resource)))

    async def models(self, dataset: Dataset) -> list[str]:
        """See DefinitionReader. https://cloud.google.com/bigquery/docs/reference/rest/v2/models/list"""
        return await self._names(dataset, "models", "modelReference", "modelId")

    async def indexes(self, dataset: Dataset, max_bytes_billed: int) -> list[Index]:
        def answer() -> list[Index]:
            rows = self._rows(dataset, sql.indexes(dataset), max_bytes_billed)
            indexes = [Index(*(str(value) for value in row.values())) for row in rows]
            return sorted(indexes, key=lambda index: (index.table, index.name))

        subject = f"the indexes of {dataset.project}.{dataset.name}"
        return await self._send(answer, "query", subject, READERS, limit=Limit.INSERT_JOB)

    async def _names(self, dataset: Dataset, kind: str, reference: str, key: str) -> list[str]:
        """The sorted names of the dataset's routines or models."""

        def every() -> list[str]:
            pages = self._pages(f"{dataset_path(dataset.project, dataset.name)}/{kind}", maxResults=PAGE)
            return sorted(item[reference][key] for page in pages for item in page.get(kind, ()))

        return await self._send(every, f"list the {kind} of", f"{dataset.project}.{dataset.name}", READERS)


def table_path(dataset: Dataset, table: str) -> str:
    """The path of a table in the API. Google's client does not escape %, # and ?."""
    return f"{dataset_path(dataset.project, dataset.name)}/tables/{quote(table, safe='')}"


def routine_path(dataset: Dataset, name: str) -> str:
    """The same of a routine."""
    return f"{dataset_path(dataset.project, dataset.name)}/routines/{quote(name, safe='')}"


def dataset_path(project: str, dataset: str) -> str:
    """The same of a dataset."""
    return f"/projects/{quote(project, safe='')}/datasets/{quote(dataset, safe='')}"
