"""However many files a run has, only some of them are asked about at a time."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from bqdump.adapters.memory import MemoryStore
from bqdump.core.documents.run import Owner
from bqdump.core.documents.target import Pointer
from bqdump.core.errors import UnavailableError
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target
from bqdump.export.placement.choose import running_export
from bqdump.export.placement.final_names import announce, withdraw
from bqdump.export.publish.clear import clear_stale
from bqdump.export.run import obtain_plan, run
from bqdump.export.task import Task
from bqdump.export.work.work import work
from bqdump.ports.store import ObjectInfo
from bqdump.repository.objects import STATS_AT_ONCE
from bqdump.repository.repository import load, overwrite
from bqdump_memory import MemoryWarehouse

SETTINGS = Settings(project="p", dataset="d", target=Target("gs", "memory"))
FILES = 5 * STATS_AT_ONCE


class Counting(MemoryStore):
    """most: how many objects were asked about at the same time. stops: the object that cannot be stored."""

    def __init__(self) -> None:
        super().__init__()
        self.now_asked = self.most = 0
        self.stops = ""

    async def stat(self, name: str) -> ObjectInfo | None:
        self.now_asked += 1
        self.most = max(self.most, self.now_asked)
        await asyncio.sleep(0)
        found = await super().stat(name)
        self.now_asked -= 1
        return found

    async def write(self, name: str, data: bytes, expect: int | None) -> int:
        if name == self.stops:
            raise UnavailableError("write", name, "stopped")
        return await super().write(name, data, expect)


class ManyFiles:
    """A table of many files, exported by runs a second apart."""

    def __init__(self) -> None:
        self.now, self.store = 1_790_000_000_000, Counting()
        self.warehouse = MemoryWarehouse(self.store, lambda: self.now, shard_rows=1)
        self.rows(FILES)

    def rows(self, count: int) -> None:
        self.warehouse.put("p", "d", "t", [str(number) for number in range(count)])

    def task(self, name: str) -> Task:
        self.now += 1000
        return Task(self.store, self.warehouse, SETTINGS, name, Owner(name, 0), 1)


async def test_when_a_run_withdraws_what_it_has_placed() -> None:
    world = ManyFiles()
    task = world.task("early")
    plan = await obtain_plan(task)
    early = running_export(task, plan)
    await work(early)
    assert await announce(early, [f"t/t_{number:012}.csv" for number in range(FILES)], None, ["t"])
    assert (await run(world.task("late"))).state == "published"
    world.store.most = 0
    await withdraw(early)
    assert 1 < world.store.most <= STATS_AT_ONCE


async def test_when_what_a_pruned_run_had_placed_is_cleared() -> None:
    world = ManyFiles()
    pruned = world.task("pruned")
    plan = await obtain_plan(pruned)
    world.store.stops = SETTINGS.layout.run("pruned").manifest.name
    with pytest.raises(UnavailableError):
        await run(pruned)
    world.store.stops = ""
    later = world.task("later")
    assert (await run(later)).state == "published"
    latest = await load(world.store, SETTINGS.layout.latest)
    files = await load(world.store, SETTINGS.layout.run("later").manifest_files)
    assert latest
    assert files
    manifest = SETTINGS.layout.run("pruned").manifest.name
    pointer = Pointer("pruned", plan.age[0], manifest)
    await overwrite(world.store, SETTINGS.layout.latest, replace(latest.value, uncleared=(pointer,)))
    world.store.most = 0
    await clear_stale(running_export(later, await obtain_plan(later)), files.value)
    assert 1 < world.store.most <= STATS_AT_ONCE
