"""A project with several datasets, and a bucket, in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import msgspec

from bqdump.adapters.memory import MemoryStore
from bqdump.core.documents.codec import decode
from bqdump.core.documents.document import Document
from bqdump.core.documents.manifest import Manifest
from bqdump.core.documents.run import Owner
from bqdump.core.documents.sets import SetManifest
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target
from bqdump.export.task import ReadRoute
from bqdump.ports.warehouse import JobError, Warehouse
from bqdump.sets.run import SetResult, run_set
from bqdump.sets.task import SetTask
from bqdump_memory import MemoryWarehouse

Result = TypeVar("Result")
FIRST = 1_790_000_000_000
SETTINGS = Settings(project="p", dataset="*", target=Target("gs", "memory", "x/"), compression="none")


def no_reading() -> ReadRoute:
    raise AssertionError("nothing is read here")


class SetWorld:
    """Datasets with tables `orders` and `items`, each with a row that names it. broken: tables whose jobs fail."""

    def __init__(self, *datasets: str) -> None:
        self.time = FIRST
        self.store = MemoryStore()
        self.broken: set[str] = set()
        self.warehouse = MemoryWarehouse(self.store, self.clock, failing=self._failing)
        for dataset in datasets or ("ops_eu", "ops_us", "sales"):
            self.put(dataset, "orders", "items")

    def clock(self) -> int:
        self.time += 1
        return self.time

    def _failing(self, table: str, job: str) -> JobError | None:
        return JobError("invalid", "it is broken") if table in self.broken else None

    def put(self, dataset: str, *tables: str) -> None:
        """Give tables a row."""
        for table in tables:
            self.warehouse.put("p", dataset, table, [f"{dataset}.{table}"])

    def task(self, run: str, task: int = 0, tasks: int = 1, execution: str = "", **settings: Any) -> SetTask:
        """One task of a run."""
        chosen = self.settings(**settings)
        warehouse: Warehouse = self.warehouse
        return SetTask(self.store, warehouse, chosen, run, Owner(execution or run, task), tasks, no_reading)

    def settings(self, **changes: Any) -> Settings:
        """The settings with these changes."""
        if "prefix" in changes:
            changes["target"] = msgspec.structs.replace(SETTINGS.target, prefix=changes.pop("prefix"))
        return msgspec.structs.replace(SETTINGS, **changes)

    def run(self, run: str, tasks: int = 1, execution: str = "", **settings: Any) -> list[SetResult]:
        """All tasks of a run, at the same time. Raises the first error once all have ended."""

        async def every() -> list[Any]:
            made = [self.task(run, task, tasks, execution, **settings) for task in range(tasks)]
            return await asyncio.gather(*(run_set(one) for one in made), return_exceptions=True)

        results = asyncio.run(every())
        if errors := [one for one in results if isinstance(one, BaseException)]:
            raise errors[0]
        return results

    def read(self, document: Document[Result]) -> Result | None:
        """A document as it is stored."""
        found = self.store.peek(document.name)
        return decode(found[0], document.type, document.name) if found else None

    def set_manifest(self, **settings: Any) -> SetManifest:
        """The set that is published."""
        found = self.read(self.settings(**settings).layout.set_manifest)
        assert found
        return found

    def manifest(self, dataset: str, prefix: str = "x/") -> Manifest | None:
        """The published manifest of a dataset."""
        layout = self.settings(prefix=f"{prefix}{dataset}/").layout
        latest = self.read(layout.latest)
        return self.read(Document(latest.manifest, Manifest)) if latest else None

    def content(self, dataset: str, prefix: str = "x/") -> dict[str, str]:
        """The published rows by table."""
        manifest = self.manifest(dataset, prefix)
        assert manifest
        files = {table.table: [self.store.peek(file.name) for file in table.files] for table in manifest.tables}
        return {table: "".join(found[0].decode() for found in all_ if found) for table, all_ in files.items()}


def once(work: Callable[[], Awaitable[Result]]) -> Result:
    """The result of a coroutine."""

    async def main() -> Result:
        return await work()

    return asyncio.run(main())


def names(project: SetManifest) -> dict[str, str]:
    """State by dataset."""
    return {one.dataset: one.state for one in project.datasets}


def sorted_names(things: Sequence[Any]) -> list[str]:
    return sorted(one.dataset for one in things)
