"""A bucket with exports of a dataset, one a day, and prune."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from bqdump.adapters.memory import MemoryStore
from bqdump.core.documents.run import Owner
from bqdump.core.retention.policy import policy_of
from bqdump.core.retention.pruned import Pruned
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target
from bqdump.export.act import TaskResult
from bqdump.export.placement.choose import running_export
from bqdump.export.run import obtain_plan, run
from bqdump.export.task import ReadRoute, Task
from bqdump.export.work.work import work
from bqdump.retain.prune import prune
from bqdump.retain.survey import Task as Pruning
from bqdump_memory import MemoryEncoder, MemoryReader, MemoryWarehouse

START, DAY = 1_790_000_000_000, 86_400_000
KEEP = "{run}/{table}/{table}_*.{ext}"
SETTINGS = Settings(project="p", dataset="sales", target=Target("gs", "memory", "x/"), path=KEEP, keep_last=1)
LAYOUT = SETTINGS.layout


class Scene:
    """A bucket and a dataset of two tables; each run is a day later than the one before."""

    def __init__(self, store: MemoryStore | None = None) -> None:
        self.store = store or MemoryStore(page=100)
        self.now = START
        self.store.clock = lambda: self.now
        self.seconds = 0.0
        self.warehouse = MemoryWarehouse(self.store, self._tick, seconds=lambda table: self.seconds)
        for table in ("items", "sales"):
            self.warehouse.put("p", "sales", table, [f"{table} {number}" for number in range(3)])

    def _tick(self) -> int:
        self.now += 1
        return self.now

    def task(self, name: str, **settings: Any) -> Task:
        """The only task of a run."""
        chosen = msgspec.structs.replace(SETTINGS, **settings)

        async def at_once(call: Any) -> Any:
            return call()

        reading = ReadRoute(MemoryReader(self.warehouse, self.warehouse.clock), MemoryEncoder(), 2, at_once)
        return Task(self.store, self.warehouse, chosen, name, Owner(name, 0), 1, open_read_route=lambda: reading)

    def run(self, *names: str, **settings: Any) -> list[TaskResult]:
        """Complete runs, a day apart."""
        results = []
        for name in names:
            self.now += DAY
            results.append(asyncio.run(run(self.task(name, **settings))))
        return results

    def abandon(self, name: str, **settings: Any) -> None:
        """A run that exports its tables and dies before it publishes them."""
        self.now += DAY

        async def first_half() -> None:
            task = self.task(name, **settings)
            await work(running_export(task, await obtain_plan(task)))

        asyncio.run(first_half())

    def pruning(self, *, delete: bool = True, jobs: bool = True, **settings: Any) -> Pruning:
        """A call of prune, a day after the last run."""
        chosen = msgspec.structs.replace(SETTINGS, **settings)
        at_work = self.warehouse.at_work if jobs else None
        return Pruning(self.store, chosen, policy_of(chosen), self.now + DAY, delete, at_work)

    def prune(self, *, delete: bool = True, **settings: Any) -> Pruned:
        """Prune with these settings, after a dry run, which shows the same; then once more when its files are due."""
        self.now += DAY
        task = self.pruning(delete=False, **settings)._replace(now=self.now)
        shown = asyncio.run(prune(task))
        if not delete:
            return shown
        pruned = asyncio.run(prune(task._replace(delete=True)))
        assert (shown.runs, shown.files, shown.bytes) == (pruned.runs, pruned.files, pruned.bytes)
        assert (shown.left, shown.later_files, shown.later_bytes) == (
            pruned.left,
            pruned.later_files,
            pruned.later_bytes,
        )
        self.now += DAY
        followed = asyncio.run(prune(task._replace(delete=True, now=task.now + DAY)))
        assert (followed.files, followed.bytes) == (pruned.later_files, pruned.later_bytes)
        notes, left = (dict.fromkeys((*pruned.notes, *followed.notes)), dict.fromkeys((*pruned.left, *followed.left)))
        return msgspec.structs.replace(followed, notes=tuple(notes), left=tuple(left))

    def prune_once(self, **settings: Any) -> Pruned:
        """Prune now: runs leave the log, and files go of those that have left it a day ago."""
        chosen = self.pruning(**settings)
        return asyncio.run(prune(chosen._replace(now=self.now)))

    def delete_now(self, part: str) -> None:
        """Delete the objects whose names contain this, as another process would."""
        found = [stored[1] for name in self.names(part) if (stored := self.store.peek(name))]
        asyncio.run(self.store.delete([(info.name, info.generation) for info in found]))

    def names(self, part: str = "") -> list[str]:
        """The names of objects that contain this."""
        return [name for name in self.store.names_now() if part in name]

    def removed(self, result: Pruned) -> list[str]:
        """The runs that went, in order."""
        return sorted(one.run for one in result.removed)
