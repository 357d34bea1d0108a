"""Rate limits as wrappers: a Warehouse, and a Destination, that stay below BigQuery's limit for each method.

BigQuery allows 100 requests per second, user and method (https://cloud.google.com/bigquery/quotas). All tasks of a run
are one user, and a task cannot see how many others are running. Each keeps to its share of the limit, halves its rate
when BigQuery reports a rate limit, and then returns to its share step by step.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TypeVar

import msgspec

from bqdump.core.documents.definitions import Index, RoutineDefinition, RowPolicy
from bqdump.core.errors import UnavailableError
from bqdump.core.plan.catalog import Dataset, Listed, ListedDataset, Partition, Table
from bqdump.ports.destination import CopyRequest, Destination, LoadRequest, Present, StatementRequest
from bqdump.ports.warehouse import Estimate, ExtractRequest, Job, QueryRequest, Warehouse

Result = TypeVar("Result")

# The steady rate of all tasks, and the burst before it. In any second they add up to less than the limit of 100.
PER_SECOND = 88.0
AT_ONCE = 10.0
SLOWEST = 0.5
FASTER = 1.25


class RateLimit:
    """One task's share of the limit: its part of PER_SECOND, evenly spaced, after a burst of its part of AT_ONCE."""

    def __init__(self, tasks: int) -> None:
        self._share = self._rate = max(SLOWEST, PER_SECOND / tasks)
        self._head_start = AT_ONCE / PER_SECOND
        self._next = self._slowed = float("-inf")

    async def start(self) -> None:
        """Wait until the next request may start."""
        now = asyncio.get_running_loop().time()
        if self._rate < self._share and now - self._slowed > 1.0:
            self._rate, self._slowed = min(self._share, self._rate * FASTER), now
        self._next = max(self._next + 1.0 / self._rate, now - self._head_start)
        await asyncio.sleep(max(0.0, self._next - now))

    def slow_down(self) -> None:
        """Halve the rate, since BigQuery has reported a rate limit."""
        self._rate = max(SLOWEST, self._rate / 2)
        self._slowed = asyncio.get_running_loop().time()


class RateLimitedWarehouse:
    """A Warehouse that keeps to the limits. tasks: the number of tasks that share them."""

    def __init__(self, warehouse: Warehouse, tasks: int) -> None:
        self._warehouse = warehouse
        # Only one task plans at a time, so the methods that planning calls for each table have the complete limit.
        self._describe, self._policies, self._estimate = RateLimit(1), RateLimit(1), RateLimit(1)
        self._members, self._routines = RateLimit(1), RateLimit(1)
        self._insert = RateLimit(tasks)

    async def list_datasets(self, project: str) -> list[ListedDataset]:
        """See Warehouse."""
        return await self._warehouse.list_datasets(project)

    async def dataset(self, project: str, name: str) -> Dataset:
        """See Warehouse."""
        return await self._warehouse.dataset(project, name)

    async def now(self, location: str) -> int:
        """See Warehouse."""
        return await self._warehouse.now(location)

    async def tables(self, dataset: Dataset) -> list[Listed]:
        """See Warehouse."""
        return await self._warehouse.tables(dataset)

    async def table(self, dataset: Dataset, name: str) -> Table | None:
        """See Warehouse."""
        return await limited(self._describe, lambda: self._warehouse.table(dataset, name))

    async def estimate(self, dataset: Dataset, table: str, select: str, parameters: dict[str, str]) -> Estimate:
        """See Warehouse."""
        return await limited(self._estimate, lambda: self._warehouse.estimate(dataset, table, select, parameters))

    async def row_policies(self, dataset: Dataset, table: str) -> list[RowPolicy] | None:
        """See Warehouse."""
        return await limited(self._policies, lambda: self._warehouse.row_policies(dataset, table))

    async def grantees(self, dataset: Dataset, table: str, policy: str) -> tuple[str, ...]:
        """See DefinitionReader."""
        return await limited(self._members, lambda: self._warehouse.grantees(dataset, table, policy))

    async def routines(self, dataset: Dataset) -> list[str]:
        """See DefinitionReader."""
        return await self._warehouse.routines(dataset)

    async def routine(self, dataset: Dataset, name: str) -> RoutineDefinition | None:
        """See DefinitionReader."""
        return await limited(self._routines, lambda: self._warehouse.routine(dataset, name))

    async def models(self, dataset: Dataset) -> list[str]:
        """See DefinitionReader."""
        return await self._warehouse.models(dataset)

    async def indexes(self, dataset: Dataset, max_bytes_billed: int) -> list[Index]:
        """See DefinitionReader."""
        return await limited(self._insert, lambda: self._warehouse.indexes(dataset, max_bytes_billed))

    async def ask(self, dataset: Dataset, table: str, select: str, max_bytes_billed: int) -> list[int]:
        """See Warehouse."""
        return await limited(self._insert, lambda: self._warehouse.ask(dataset, table, select, max_bytes_billed))

    async def counts(self, dataset: Dataset, table: str, select: str, max_bytes_billed: int) -> dict[str, int]:
        """See Warehouse."""
        return await limited(self._insert, lambda: self._warehouse.counts(dataset, table, select, max_bytes_billed))

    async def captured(self, dataset: Dataset, max_bytes_billed: int) -> list[str]:
        """See Warehouse."""
        return await limited(self._insert, lambda: self._warehouse.captured(dataset, max_bytes_billed))

    async def partitions(
        self, dataset: Dataset, tables: Sequence[str], max_bytes_billed: int
    ) -> dict[str, list[Partition]]:
        """See Warehouse."""
        return await limited(self._insert, lambda: self._warehouse.partitions(dataset, tables, max_bytes_billed))

    async def extract(self, request: ExtractRequest) -> Job:
        """See Warehouse."""
        return await limited(self._insert, lambda: self._warehouse.extract(request))

    async def query(self, request: QueryRequest) -> Job:
        """See Warehouse."""
        return await limited(self._insert, lambda: self._warehouse.query(request))

    async def job(self, job_id: str, location: str) -> Job:
        """See Warehouse."""
        return await self._warehouse.job(job_id, location)

    async def jobs(self, since: int) -> AsyncIterator[list[Job]]:
        """See Warehouse."""
        async for page in self._warehouse.jobs(since):
            yield page

    async def at_work(self, since: int) -> set[str]:
        """See Warehouse."""
        return await self._warehouse.at_work(since)

    async def close(self) -> None:
        """See Warehouse."""
        await self._warehouse.close()


async def limited(limit: RateLimit, request: Callable[[], Awaitable[Result]]) -> Result:
    """The result of a request that keeps to a limit, which is slowed down if the service is unavailable."""
    await limit.start()
    try:
        return await request()
    except UnavailableError:
        limit.slow_down()
        raise


class RateLimitedDestination(RateLimitedWarehouse):
    """A Destination that keeps to the limits. tasks: the number of tasks that share them.

    A dataset takes only 5 changes in 10 seconds, and each table as many; a restore makes fewer of each, so refused
    ones are only retried. https://cloud.google.com/bigquery/quotas#dataset_limits
    """

    def __init__(self, destination: Destination, tasks: int) -> None:
        super().__init__(destination, tasks)
        self._destination = destination
        self._create, self._change, self._replace, self._drop = (RateLimit(tasks) for _ in range(4))
        self._routine, self._policy = RateLimit(tasks), RateLimit(tasks)

    async def find_dataset(self, project: str, name: str) -> msgspec.Raw | None:
        """See Destination."""
        return await self._destination.find_dataset(project, name)

    async def create_dataset(self, project: str, name: str, definition: msgspec.Raw) -> bool:
        """See Destination."""
        return await self._destination.create_dataset(project, name, definition)

    async def change_dataset(self, dataset: Dataset, changes: msgspec.Raw) -> None:
        """See Destination."""
        await self._destination.change_dataset(dataset, changes)

    async def change_access(self, dataset: Dataset, access: msgspec.Raw, etag: str) -> None:
        """See Destination."""
        await self._destination.change_access(dataset, access, etag)

    async def drop_dataset(self, dataset: Dataset) -> None:
        """See Destination."""
        await self._destination.drop_dataset(dataset)

    async def present(self, dataset: Dataset) -> list[Present]:
        """See Destination."""
        return await self._destination.present(dataset)

    async def create_table(self, dataset: Dataset, name: str, definition: msgspec.Raw) -> bool:
        """See Destination."""
        return await limited(self._create, lambda: self._destination.create_table(dataset, name, definition))

    async def change_table(self, dataset: Dataset, name: str, changes: msgspec.Raw) -> None:
        """See Destination."""
        await limited(self._change, lambda: self._destination.change_table(dataset, name, changes))

    async def replace_definition(self, dataset: Dataset, name: str, definition: msgspec.Raw) -> None:
        """See Destination."""
        await limited(self._replace, lambda: self._destination.replace_definition(dataset, name, definition))

    async def drop_table(self, dataset: Dataset, name: str) -> None:
        """See Destination."""
        await limited(self._drop, lambda: self._destination.drop_table(dataset, name))

    async def create_routine(self, dataset: Dataset, name: str, definition: msgspec.Raw, *, replace: bool) -> bool:
        """See Destination."""
        return await limited(
            self._routine, lambda: self._destination.create_routine(dataset, name, definition, replace=replace)
        )

    async def create_row_policy(self, dataset: Dataset, table: str, name: str, definition: msgspec.Raw) -> bool:
        """See Destination."""
        return await limited(
            self._policy, lambda: self._destination.create_row_policy(dataset, table, name, definition)
        )

    async def find_job(self, job_id: str, location: str) -> Job | None:
        """See Destination."""
        return await self._destination.find_job(job_id, location)

    async def load(self, request: LoadRequest) -> Job:
        """See Destination."""
        return await limited(self._insert, lambda: self._destination.load(request))

    async def statement(self, request: StatementRequest) -> Job:
        """See Destination."""
        return await limited(self._insert, lambda: self._destination.statement(request))

    async def copy(self, request: CopyRequest) -> Job:
        """See Destination."""
        return await limited(self._insert, lambda: self._destination.copy(request))
