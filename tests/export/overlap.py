"""Runs that overlap: each is planned and exported by itself, and published when a test says so."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec

from bqdump.adapters.memory import MemoryStore
from bqdump.core.documents.manifest import Manifest
from bqdump.core.documents.run import Owner, Plan
from bqdump.core.settings.settings import Settings
from bqdump.export.placement.choose import running_export
from bqdump.export.publish.publish import Published, publish
from bqdump.export.run import obtain_plan
from bqdump.export.task import Task
from bqdump.export.work.work import work
from bqdump.pool.tables import read_ledger
from bqdump.repository.published import read_manifest
from bqdump_memory import MemoryWarehouse


class Overlap:
    """A dataset, and runs of snapshot times a second apart."""

    def __init__(self, settings: Settings, *, shard_rows: int = 1_000_000) -> None:
        self.now = 1_790_000_000_000
        self.settings = settings
        self.store = MemoryStore()
        self.warehouse = MemoryWarehouse(self.store, lambda: self.now, shard_rows=shard_rows)

    def put(self, table: str, *rows: str, modified: int = 0, kind: str = "TABLE") -> None:
        self.warehouse.put("p", "d", table, rows, kind, modified)

    def task(self, name: str, **settings: Any) -> Task:
        self.now += 1000
        chosen = msgspec.structs.replace(self.settings, **settings)
        return Task(self.store, self.warehouse, chosen, name, Owner(name, 0), 1)

    async def planned(self, name: str, **settings: Any) -> tuple[Task, Plan]:
        task = self.task(name, **settings)
        plan = await obtain_plan(task)
        await work(running_export(task, plan))
        return task, plan

    async def manifest(self, run: str = "") -> Manifest:
        return await read_manifest(self.store, self.settings, run)

    async def origins(self) -> dict[str, str]:
        """The published tables, and which run has exported each."""
        manifest = await self.manifest()
        return {entry.table: entry.carried.run if entry.carried else manifest.run for entry in manifest.tables}


async def published(task: Task, plan: Plan) -> Published:
    return await publish(running_export(task, plan), await read_ledger(task.store, task.layout, plan))


def in_a_loop(check: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(check())
