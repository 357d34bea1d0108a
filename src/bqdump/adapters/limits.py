"""Request rates as a wrapper: a Warehouse that stays below BigQuery's limit for each method.

BigQuery allows 100 requests a second for each user and method (https://cloud.google.com/bigquery/quotas). All tasks
of a run are one user, and no task knows how many others are at work: each starts with its share of the limit,
speeds up while nobody complains and halves its rate when BigQuery does.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from bqdump.core.catalog import Dataset, Listed, Table
from bqdump.core.errors import UnavailableError
from bqdump.ports import ExtractRequest, Job, Warehouse

# Below the limit of 100 by what clocks and networks may bunch together.
PER_SECOND = 90.0
SLOWEST = 0.5
FASTER = 1.1


class Pace:
    """At most `rate` starts a second, evenly spaced, after a burst of one second's worth."""

    def __init__(self, tasks: int) -> None:
        self._rate = max(SLOWEST, PER_SECOND / tasks)
        self._next = self._faster = float("-inf")

    async def start(self) -> None:
        """Wait until the next request may start."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        if now - self._faster > 1.0:
            if self._faster > 0:
                self._rate = min(PER_SECOND, self._rate * FASTER)
            self._faster = now
        self._next = max(self._next, now - 1.0) + 1.0 / self._rate
        await asyncio.sleep(max(0.0, self._next - now))

    def slow_down(self) -> None:
        """BigQuery complained: half as many from now on."""
        self._rate = max(SLOWEST, self._rate / 2)
        self._faster = asyncio.get_running_loop().time()


class PacedWarehouse:
    """A Warehouse below the limits. `tasks`: how many tasks share them."""

    def __init__(self, warehouse: Warehouse, tasks: int) -> None:
        self._warehouse = warehouse
        # One task plans while the others wait, so describing tables has the whole limit.
        self._describe, self._insert = Pace(1), Pace(tasks)

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
        await self._describe.start()
        try:
            return await self._warehouse.table(dataset, name)
        except UnavailableError:
            self._describe.slow_down()
            raise

    async def extract(self, request: ExtractRequest) -> Job:
        """See Warehouse."""
        await self._insert.start()
        try:
            return await self._warehouse.extract(request)
        except UnavailableError:
            self._insert.slow_down()
            raise

    async def job(self, job_id: str, location: str) -> Job:
        """See Warehouse."""
        return await self._warehouse.job(job_id, location)

    async def jobs(self, since: int) -> AsyncIterator[list[Job]]:
        """See Warehouse."""
        async for page in self._warehouse.jobs(since):
            yield page

    async def close(self) -> None:
        """See Warehouse."""
        await self._warehouse.close()
