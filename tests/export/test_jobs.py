"""Units by server-side jobs: how many queries are with BigQuery at once, and what a query's receipt tells."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator

import pytest
from msgspec.structs import replace

from bqdump.adapters.memory import MemoryStore
from bqdump.core.documents.codec import decode
from bqdump.core.documents.manifest import Manifest
from bqdump.core.documents.run import Owner
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target
from bqdump.export.run import run
from bqdump.export.task import Task
from bqdump.ports.warehouse import Job, QueryRequest
from bqdump_memory import MemoryWarehouse

SETTINGS = Settings(project="project", dataset="data", target=Target("gs", "memory"), route="query")


class Counting(MemoryWarehouse):
    """Remembers how many queries were under way at once, and lists jobs without what they have exported."""

    under_way = most = 0

    async def query(self, request: QueryRequest) -> Job:
        """See Warehouse."""
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        return await super().query(request)

    async def jobs(self, since: int) -> AsyncIterator[list[Job]]:
        """See Warehouse."""
        async for page in super().jobs(since):
            yield [replace(job, rows=None, files=0) for job in page]

    async def job(self, job_id: str, location: str) -> Job:
        """See Warehouse."""
        self.under_way -= 1
        return await super().job(job_id, location)


def exported(tables: int) -> tuple[Counting, Manifest]:
    store, clock = MemoryStore(), itertools.count(1_800_000_000_000)
    warehouse = Counting(store, lambda: next(clock))
    for number in range(tables):
        warehouse.put("project", "data", f"t{number}", ["row"] * number)
    asyncio.run(run(Task(store, warehouse, SETTINGS, "r", Owner("r", 0), 1)))
    found = store.peek("_bqdump/runs/r/manifest.json")
    assert found
    return warehouse, decode(found[0], Manifest, "manifest.json")


def test_no_more_queries_are_with_bigquery_than_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bqdump.export.watch.QUERIES_AT_ONCE", 2)
    warehouse, manifest = exported(7)
    assert warehouse.most == 2
    assert manifest.totals.tables == 7


def test_jobs_missing_in_a_listing_are_looked_up_one_by_one() -> None:
    _, manifest = exported(4)
    assert {table.table: table.rows for table in manifest.tables} == {f"t{number}": number for number in range(4)}
    assert all(len(table.files) == 1 for table in manifest.tables)
