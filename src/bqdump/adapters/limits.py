"""Request rates as a wrapper: a Warehouse that stays below BigQuery's limit for each method.

BigQuery allows 100 requests a second for each user and method (https://cloud.google.com/bigquery/quotas). All tasks
of a run are one user, and no task knows how many others are at work: each keeps to its share of the limit, halves its
rate when BigQuery complains, and comes back to its share while nothing does.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

from bqdump.core.errors import UnavailableError
from bqdump.core.plan.catalog import Dataset, Listed, Table
from bqdump.ports.warehouse import Estimate, ExtractRequest, Job, QueryRequest, Warehouse

Result = TypeVar("Result")

# Together below the limit of 100, in whichever second: so many all the time, and so many at once before that.
PER_SECOND = 88.0
AT_ONCE = 10.0
SLOWEST = 0.5
FASTER = 1.25


class Pace:
    """One task's share of the limit: its part of PER_SECOND, evenly spaced, after its part of AT_ONCE."""

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
        """BigQuery complained: half as many from now on."""
        self._rate = max(SLOWEST, self._rate / 2)
        self._slowed = asyncio.get_running_loop().time()


class PacedWarehouse:
    """A Warehouse below the limits. `tasks`: how many tasks share them."""

    def __init__(self, warehouse: Warehouse, tasks: int) -> None:
        self._warehouse = warehouse
        # One task plans while the others wait, so both methods that ask about each table have their whole limit.
        self._describe, self._policies, self._estimate = Pace(1), Pace(1), Pace(1)
        self._insert = Pace(tasks)

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
        return await _paced(self._describe, lambda: self._warehouse.table(dataset, name))

    async def estimate(self, dataset: Dataset, table: str, select: str, parameters: dict[str, str]) -> Estimate:
        """See Warehouse."""
        return await _paced(self._estimate, lambda: self._warehouse.estimate(dataset, table, select, parameters))

    async def row_policies(self, dataset: Dataset, table: str) -> list[str] | None:
        """See Warehouse."""
        return await _paced(self._policies, lambda: self._warehouse.row_policies(dataset, table))

    async def ask(self, dataset: Dataset, table: str, select: str, max_bytes_billed: int) -> list[int]:
        """See Warehouse."""
        return await _paced(self._insert, lambda: self._warehouse.ask(dataset, table, select, max_bytes_billed))

    async def captured(self, dataset: Dataset, max_bytes_billed: int) -> list[str]:
        """See Warehouse."""
        return await _paced(self._insert, lambda: self._warehouse.captured(dataset, max_bytes_billed))

    async def extract(self, request: ExtractRequest) -> Job:
        """See Warehouse."""
        return await _paced(self._insert, lambda: self._warehouse.extract(request))

    async def query(self, request: QueryRequest) -> Job:
        """See Warehouse."""
        return await _paced(self._insert, lambda: self._warehouse.query(request))

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


async def _paced(pace: Pace, request: Callable[[], Awaitable[Result]]) -> Result:
    await pace.start()
    try:
        return await request()
    except UnavailableError:
        pace.slow_down()
        raise
