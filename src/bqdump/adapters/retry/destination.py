"""Retry around a Destination."""

from __future__ import annotations

import msgspec

from bqdump.adapters.patience import Patience
from bqdump.adapters.retry.warehouse import RetryingWarehouse
from bqdump.core.plan.catalog import Dataset
from bqdump.ports.destination import CopyRequest, Destination, LoadRequest, Present, StatementRequest
from bqdump.ports.warehouse import Job


class RetryingDestination(RetryingWarehouse):
    """A Destination that retries.

    Jobs have ids, deleting and changing can be repeated, and the name of what a lost answer has created is taken: see
    Destination.
    """

    def __init__(self, destination: Destination, patience: Patience | None = None) -> None:
        super().__init__(destination, patience)
        self._destination = destination

    async def find_dataset(self, project: str, name: str) -> msgspec.Raw | None:
        """See Destination."""
        return await self._retrying.call(lambda: self._destination.find_dataset(project, name))

    async def create_dataset(self, project: str, name: str, definition: msgspec.Raw) -> bool:
        """See Destination."""
        return await self._retrying.call(lambda: self._destination.create_dataset(project, name, definition))

    async def change_dataset(self, dataset: Dataset, changes: msgspec.Raw) -> None:
        """See Destination."""
        await self._retrying.call(lambda: self._destination.change_dataset(dataset, changes))

    async def change_access(self, dataset: Dataset, access: msgspec.Raw, etag: str) -> None:
        """See Destination."""
        await self._retrying.call(lambda: self._destination.change_access(dataset, access, etag))

    async def drop_dataset(self, dataset: Dataset) -> None:
        """See Destination."""
        await self._retrying.call(lambda: self._destination.drop_dataset(dataset))

    async def present(self, dataset: Dataset) -> list[Present]:
        """See Destination."""
        return await self._retrying.call(lambda: self._destination.present(dataset))

    async def create_table(self, dataset: Dataset, name: str, definition: msgspec.Raw) -> bool:
        """See Destination."""
        return await self._retrying.call(lambda: self._destination.create_table(dataset, name, definition))

    async def change_table(self, dataset: Dataset, name: str, changes: msgspec.Raw) -> None:
        """See Destination."""
        await self._retrying.call(lambda: self._destination.change_table(dataset, name, changes))

    async def replace_definition(self, dataset: Dataset, name: str, definition: msgspec.Raw) -> None:
        """See Destination."""
        await self._retrying.call(lambda: self._destination.replace_definition(dataset, name, definition))

    async def drop_table(self, dataset: Dataset, name: str) -> None:
        """See Destination."""
        await self._retrying.call(lambda: self._destination.drop_table(dataset, name))

    async def create_routine(self, dataset: Dataset, name: str, definition: msgspec.Raw, *, replace: bool) -> bool:
        """See Destination."""
        return await self._retrying.call(
            lambda: self._destination.create_routine(dataset, name, definition, replace=replace)
        )

    async def create_row_policy(self, dataset: Dataset, table: str, name: str, definition: msgspec.Raw) -> bool:
        """See Destination."""
        return await self._retrying.call(lambda: self._destination.create_row_policy(dataset, table, name, definition))

    async def find_job(self, job_id: str, location: str) -> Job | None:
        """See Destination."""
        return await self._retrying.call(lambda: self._destination.find_job(job_id, location))

    async def load(self, request: LoadRequest) -> Job:
        """See Destination."""
        return await self._retrying.call(lambda: self._destination.load(request))

    async def statement(self, request: StatementRequest) -> Job:
        """See Destination."""
        return await self._retrying.call(lambda: self._destination.statement(request))

    async def copy(self, request: CopyRequest) -> Job:
        """See Destination."""
        return await self._retrying.call(lambda: self._destination.copy(request))
