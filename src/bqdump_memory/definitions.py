"""The definitions of a dataset in memory: its properties, routines, models, row access policies and indexes."""

from __future__ import annotations

from typing import Any

import msgspec

from bqdump.core.documents.definitions import Index, RoutineDefinition, RowPolicy
from bqdump.core.errors import DeniedError, JobFailedError
from bqdump.core.tables.catalog import Dataset

OWNER = {"role": "OWNER", "specialGroup": "projectOwners"}
# What a query for indexes bills.
QUERY_BYTES = 20 << 20


class MemoryDefinitions:
    """The part of a MemoryWarehouse with definitions; except for routines, its datasets have the same ones.

    properties: of the dataset, as in its resource. policies: the names of row access policies by table.
    filters, members: of a policy, by table and name (default: TRUE, no members). sees_policies: whether policies can be
    listed. routine_definitions: by dataset and name. denied: the permissions that are missing. queried: how often
    indexes were queried.
    """

    def __init__(self) -> None:
        self.properties: dict[str, Any] = {"access": [OWNER]}
        self.policies: dict[str, list[str]] = {}
        self.filters: dict[tuple[str, str], str] = {}
        self.members: dict[tuple[str, str], tuple[str, ...]] = {}
        self.sees_policies = True
        self.routine_definitions: dict[tuple[str, str], dict[str, msgspec.Raw]] = {}
        self.model_names: list[str] = []
        self.index_list: list[Index] = []
        self.denied: set[str] = set()
        self.queried = 0

    def define_routine(self, project: str, dataset: str, name: str, resource: dict[str, Any]) -> None:
        """Create or replace a routine."""
        known = self.routine_definitions.setdefault((project, dataset), {})
        known[name] = msgspec.Raw(msgspec.json.encode(resource))

    def resource(self, project: str, name: str) -> msgspec.Raw:
        """The resource of a dataset."""
        reference = {"projectId": project, "datasetId": name}
        hidden = () if "bigquery.datasets.getIamPolicy" not in self.denied else ("access",)
        shown = {key: value for key, value in self.properties.items() if key not in hidden}
        return msgspec.Raw(msgspec.json.encode({"etag": "e", "datasetReference": reference, **shown}))

    async def row_policies(self, dataset: Dataset, table: str) -> list[RowPolicy] | None:
        """See Warehouse."""
        if not self.sees_policies:
            return None
        named = self.policies.get(table, ())
        return [RowPolicy(table, name, self.filters.get((table, name), "TRUE")) for name in named]

    async def policed(self, dataset: Dataset) -> list[str]:
        """See Warehouse."""
        self._require("bigquery.rowAccessPolicies.get")
        if not self.sees_policies:
            raise DeniedError("query", "INFORMATION_SCHEMA.ROW_ACCESS_POLICIES", "Permission denied")
        return sorted(table for table, names in self.policies.items() if names)

    async def grantees(self, dataset: Dataset, table: str, policy: str) -> tuple[str, ...]:
        """See DefinitionReader."""
        self._require("bigquery.rowAccessPolicies.getIamPolicy")
        return tuple(sorted(self.members.get((table, policy), ())))

    async def routines(self, dataset: Dataset) -> list[str]:
        """See DefinitionReader."""
        self._require("bigquery.routines.list")
        return sorted(self.routine_definitions.get((dataset.project, dataset.name), ()))

    async def routine(self, dataset: Dataset, name: str) -> RoutineDefinition | None:
        """See DefinitionReader."""
        self._require("bigquery.routines.get")
        definition = self.routine_definitions.get((dataset.project, dataset.name), {}).get(name)
        kind = msgspec.json.decode(definition).get("routineType", "") if definition else ""
        return RoutineDefinition(name, kind, definition) if definition else None

    async def models(self, dataset: Dataset) -> list[str]:
        """See DefinitionReader."""
        self._require("bigquery.models.list")
        return sorted(self.model_names)

    async def indexes(self, dataset: Dataset, max_bytes_billed: int) -> list[Index]:
        """See DefinitionReader."""
        self._require("bigquery.tables.list")
        if 0 < max_bytes_billed < QUERY_BYTES:
            raise JobFailedError("query", "indexes", f"the query would bill {QUERY_BYTES} bytes")
        self.queried += 1
        return sorted(self.index_list, key=lambda index: (index.table, index.name))

    def _require(self, permission: str) -> None:
        if permission in self.denied:
            raise DeniedError("read", "definitions", f"Permission {permission} denied")
