"""Retry around a Warehouse."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from bqdump.adapters.patience import Patience, Retrying
from bqdump.adapters.retry.listing import listed
from bqdump.core.documents.definitions import Index, RoutineDefinition, RowPolicy
from bqdump.core.errors import NotFoundError
from bqdump.core.plan.catalog import Dataset, Listed, ListedDataset, Partition, Table
from bqdump.ports.warehouse import Estimate, ExtractRequest, Job, QueryRequest, Warehouse


class RetryingWarehouse:
    """A Warehouse that retries. That is safe for jobs: the job id makes a second request a conflict."""

    def __init__(self, warehouse: Warehouse, patience: Patience | None = None) -> None:
        self._warehouse, self._retrying = warehouse, Retrying(patience)

    async def list_datasets(self, project: str) -> list[ListedDataset]:
        """See Warehouse."""
        return await self._retrying.call(lambda: self._warehouse.list_datasets(project))

    async def dataset(self, project: str, name: str) -> Dataset:
        """See Warehouse."""
        return await self._retrying.call(lambda: self._warehouse.dataset(project, name))

    async def now(self, location: str) -> int:
        """See Warehouse."""
        return await self._retrying.call(lambda: self._warehouse.now(location))

    async def tables(self, dataset: Dataset) -> list[Listed]:
        """See Warehouse."""
        return await self._retrying.call(lambda: self._warehouse.tables(dataset))

    async def table(self, dataset: Dataset, name: str) -> Table | None:
        """See Warehouse."""
        return await self._retrying.call(lambda: self._warehouse.table(dataset, name))

    async def row_policies(self, dataset: Dataset, table: str) -> list[RowPolicy] | None:
        """See Warehouse."""
        return await self._retrying.call(lambda: self._warehouse.row_policies(dataset, table))

    async def grantees(self, dataset: Dataset, table: str, policy: str) -> tuple[str, ...]:
        """See DefinitionReader."""
        return await self._retrying.call(lambda: self._warehouse.grantees(dataset, table, policy))

    async def routines(self, dataset: Dataset) -> list[str]:
        """See DefinitionReader."""
        return await self._retrying.call(lambda: self._warehouse.routines(dataset))

    async def routine(self, dataset: Dataset, name: str) -> RoutineDefinition | None:
        """See DefinitionReader."""
        return await self._retrying.call(lambda: self._warehouse.routine(dataset, name))

    async def models(self, dataset: Dataset) -> list[str]:
        """See DefinitionReader."""
        return await self._retrying.call(lambda: self._warehouse.models(dataset))

    async def indexes(self, dataset: Dataset, max_bytes_billed: int) -> list[Index]:
        """See DefinitionReader."""
        return await self._retrying.call(lambda: self._warehouse.indexes(dataset, max_bytes_billed))

    async def partitions(
        self, dataset: Dataset, tables: Sequence[str], max_bytes_billed: int
    ) -> dict[str, list[Partition]]:
        """See Warehouse."""
        return await self._retrying.call(lambda: self._warehouse.partitions(dataset, tables, max_bytes_billed))

    async def extract(self, request: ExtractRequest) -> Job:
        """See Warehouse."""
        return await self._retrying.call(lambda: self._warehouse.extract(request))

    async def estimate(self, dataset: Dataset, table: str, select: str, parameters: dict[str, str]) -> Estimate:
        """See Warehouse."""
        return await self._retrying.call(lambda: self._warehouse.estimate(dataset, table, select, parameters))

    async def ask(self, dataset: Dataset, table: str, select: str, max_bytes_billed: int) -> list[int]:
        """See Warehouse."""
        return await self._retrying.call(lambda: self._warehouse.ask(dataset, table, select, max_bytes_billed))

    async def counts(self, dataset: Dataset, table: str, select: str, max_bytes_billed: int) -> dict[str, int]:
        """See Warehouse."""
        return await self._retrying.call(lambda: self._warehouse.counts(dataset, table, select, max_bytes_billed))

    async def captured(self, dataset: Dataset, max_bytes_billed: int) -> list[str]:
        """See Warehouse."""
        return await self._retrying.call(lambda: self._warehouse.captured(dataset, max_bytes_billed))

    async def query(self, request: QueryRequest) -> Job:
        """See Warehouse."""
        return await self._retrying.call(lambda: self._warehouse.query(request))

    async def job(self, job_id: str, location: str) -> Job:
        """See Warehouse. The caller knows that the job exists, although BigQuery may not find it at first.

        https://github.com/googleapis/python-bigquery/issues/2134
        """
        return await self._retrying.call(lambda: self._warehouse.job(job_id, location), NotFoundError)

    async def jobs(self, since: int) -> AsyncIterator[list[Job]]:
        """See Warehouse. After an error, jobs may be listed twice."""
        async for page in listed(self._retrying, lambda _: self._warehouse.jobs(since), None):
            yield page

    async def at_work(self, since: int) -> set[str]:
        """See Warehouse."""
        return await self._retrying.call(lambda: self._warehouse.at_work(since))

    async def close(self) -> None:
        """See Warehouse."""
        await self._warehouse.close()
