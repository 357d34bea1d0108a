"""The datasets of a MemoryDestination, with their properties and access entries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from bqdump.adapters.memory import MemoryStore
from bqdump.core.errors import NotFoundError
from bqdump.core.tables.catalog import Dataset
from bqdump_memory.resources import etag_of, new_dataset, patched, raw, with_access
from bqdump_memory.tables import IgnoringCase, MemoryTable
from bqdump_memory.warehouse import MemoryWarehouse


class MemoryDatasets(MemoryWarehouse):
    """A MemoryWarehouse whose datasets can be created and changed.

    resources: of datasets. unknown_users: accounts that do not exist, so that BigQuery would grant them nothing.
    """

    def __init__(self, store: MemoryStore, clock: Callable[[], int], **options: Any) -> None:
        super().__init__(store, clock, **options)
        self.resources: dict[tuple[str, str], dict[str, Any]] = {}
        self.unknown_users = set[str]()

    async def find_dataset(self, project: str, name: str) -> msgspec.Raw | None:
        """See Destination."""
        if (project, name) not in self.datasets:
            ignoring = (key for key, tables in self.datasets.items() if isinstance(tables, IgnoringCase))
            name = next((other for owner, other in ignoring if (owner, other.lower()) == (project, name.lower())), "")
        if not name:
            return None
        resource = self._resource(Dataset(project, name, self.location))
        return raw({**resource, "etag": etag_of(resource)})

    async def create_dataset(self, project: str, name: str, definition: msgspec.Raw) -> bool:
        """See Destination."""
        if (project, name) in self.datasets:
            return False
        resource = {"location": self.location, **msgspec.json.decode(definition)}
        self.datasets[project, name] = IgnoringCase() if resource.get("isCaseInsensitive") else {}
        self.resources[project, name] = {**new_dataset(project, name), **resource}
        return True

    async def change_dataset(self, dataset: Dataset, changes: msgspec.Raw) -> None:
        """See Destination."""
        self._tables_of(dataset)
        self.resources[dataset.project, dataset.name] = patched(self._resource(dataset), changes)

    async def change_access(self, dataset: Dataset, access: msgspec.Raw, etag: str) -> None:
        """See Destination."""
        self._tables_of(dataset)
        changed = with_access(self._resource(dataset), msgspec.json.decode(access), etag, self.unknown_users)
        self.resources[dataset.project, dataset.name] = changed

    def _resource(self, dataset: Dataset) -> dict[str, Any]:
        new = {"location": self.location, **new_dataset(dataset.project, dataset.name)}
        return self.resources.setdefault((dataset.project, dataset.name), new)

    def _tables_of(self, dataset: Dataset) -> dict[str, MemoryTable]:
        if (dataset.project, dataset.name) not in self.datasets:
            name = f"{dataset.project}:{dataset.name}"
            raise NotFoundError("find", f"dataset {dataset.project}.{dataset.name}", f"Not found: Dataset {name}")
        return self.datasets[dataset.project, dataset.name]
