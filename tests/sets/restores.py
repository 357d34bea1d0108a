"""A set in memory, and restores of it."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from bqdump import verbs
from bqdump.core.documents.codec import decode
from bqdump.core.documents.definitions import Definitions, ObjectDefinition
from bqdump.core.documents.manifest import Manifest
from bqdump.core.documents.run import Owner
from bqdump.core.errors import DeniedError
from bqdump.core.restore.plan import Options
from bqdump.core.restore.result import Restoration
from bqdump.core.sets.restoring import EVERY, Choice
from bqdump.core.settings.settings import Settings
from bqdump.restoration.task import Request, Task
from bqdump_memory import MemoryDestination
from sets.world import SetWorld

COPIES = Options(project="p", dataset="{dataset}_copy")


class Destination(MemoryDestination):
    """Creates no dataset of the names in `refused`."""

    refused = frozenset[str]()

    async def create_dataset(self, project: str, name: str, definition: msgspec.Raw) -> bool:
        """See Destination."""
        if name in self.refused:
            raise DeniedError("create", f"dataset {project}.{name}", "no permission")
        return await super().create_dataset(project, name, definition)


class RestoreWorld(SetWorld):
    """Three datasets of two tables, exported once as a set by run `r1`."""

    def __init__(self, *datasets: str, **settings: Any) -> None:
        super().__init__(*datasets)
        self.big = Destination(self.store, self.clock, failing=self._failing)
        self.big.datasets, self.warehouse = self.warehouse.datasets, self.big
        self.run("r1", **settings)

    def settings(self, **changes: Any) -> Settings:
        """See SetWorld: memory loads files without a header."""
        return msgspec.structs.replace(super().settings(**changes), header=False)

    def restore_task(self, options: Options = COPIES, execution: str = "first", task: int = 0, tasks: int = 1,
                     **request: Any) -> Task:  # fmt: skip
        """One task of a restore."""
        owner = Owner(execution, task)
        return Task(self.store, self.big, self.settings(), Request(options, **request), owner, tasks)

    def restore(
        self, options: Options = COPIES, execution: str = "first", choice: Choice = EVERY, **request: Any
    ) -> Restoration:
        """A restore by one task."""
        return asyncio.run(verbs.restore(self.restore_task(options, execution, **request), choice))

    def plan(self, options: Options = COPIES, choice: Choice = EVERY, **request: Any) -> Restoration:
        """What it would do."""
        return asyncio.run(verbs.plan_restore(self.restore_task(options, **request), choice))

    def rows(self, dataset: str, table: str, project: str = "p") -> list[str] | None:
        """The rows that a table has now, None without one."""
        found = self.big.datasets.get((project, dataset), {}).get(table)
        rows = found.versions[-1].rows if found else None
        return None if rows is None else list(rows)

    def define(self, dataset: str, **queries: str) -> None:
        """Let the export of a dataset have these views."""
        name = f"x/{dataset}/_bqdump/runs/r1/manifest.json"
        found = self.store.peek(name)
        assert found
        views = [
            ObjectDefinition(view, "VIEW", msgspec.Raw(msgspec.json.encode({"view": {"query": query}})))
            for view, query in queries.items()
        ]
        manifest = decode(found[0], Manifest, name)
        changed = msgspec.structs.replace(manifest, definitions=Definitions(objects=tuple(views)))
        self.store.put_now(name, msgspec.json.encode(changed))

    def query(self, dataset: str, view: str) -> str:
        """The query of a view."""
        text: str = msgspec.json.decode(self.big.datasets["p", dataset][view].definition)["view"]["query"]
        return text
