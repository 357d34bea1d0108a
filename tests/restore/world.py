"""An export in memory, and restores of it."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import msgspec

from bqdump.adapters.memory import MemoryStore
from bqdump.core.documents.codec import decode
from bqdump.core.documents.manifest import Manifest
from bqdump.core.documents.run import Owner
from bqdump.core.documents.target import Latest
from bqdump.core.restore.plan import Options
from bqdump.core.restore.result import Restoration
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target
from bqdump.core.tables.catalog import Dataset
from bqdump.export.run import run as export
from bqdump.export.task import Task as ExportTask
from bqdump.restoration.restore import restore_one as restore
from bqdump.restoration.task import Request, Task
from bqdump_memory import MemoryDestination

SETTINGS = Settings(project="project", dataset="data", target=Target("gs", "memory"), header=False)
INTO = Options(project="project", dataset="copy")
ROWS = {"one": ["a", "b"], "two": ["c"], "none": []}


class RecordingDestination(MemoryDestination):
    """Records the changes of tables."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.changes: list[tuple[str, dict[str, Any]]] = []

    async def change_table(self, dataset: Dataset, name: str, changes: msgspec.Raw) -> None:
        """See Destination."""
        self.changes.append((name, msgspec.json.decode(changes)))
        await super().change_table(dataset, name, changes)


class ExportedWorld:
    """A bucket, and a warehouse with a dataset of three tables, which is exported once."""

    def __init__(self, rows: dict[str, list[str]] = ROWS, **options: Any) -> None:
        self.store, clock = MemoryStore(), itertools.count(1_800_000_000_000)
        self.big = RecordingDestination(self.store, lambda: next(clock), **options)
        self.export("r1", rows)

    def export(self, run: str, rows: dict[str, list[str]]) -> None:
        """Export tables with these rows; the files of the run before are replaced."""
        for table, lines in rows.items():
            self.big.put("project", "data", table, lines)
        asyncio.run(export(ExportTask(self.store, self.big, SETTINGS, run, Owner(run, 0), 1)))

    @property
    def manifest(self) -> Manifest:
        """The published manifest."""
        found: Manifest = self._document(self._document("_bqdump/latest.json", Latest).manifest, Manifest)
        return found

    def change_manifest(self, **changes: Any) -> None:
        """Store the published manifest with other fields."""
        name = self._document("_bqdump/latest.json", Latest).manifest
        self.store.put_now(name, msgspec.json.encode(msgspec.structs.replace(self.manifest, **changes)))

    def change_definition(self, table: str, **properties: Any) -> None:
        """Let the manifest say that a table has these properties as well."""
        tables = [
            msgspec.structs.replace(
                entry, definition=msgspec.Raw(msgspec.json.encode(msgspec.json.decode(entry.definition) | properties))
            )
            if entry.table == table
            else entry
            for entry in self.manifest.tables
        ]
        self.change_manifest(tables=tuple(tables))

    def changes(self) -> list[tuple[str, dict[str, Any]]]:
        """The tables that are changed from now on, with their changes."""
        self.big.changes = []
        return self.big.changes

    def task(self, options: Options = INTO, execution: str = "first", task: int = 0, tasks: int = 1,
             **request: Any) -> Task:  # fmt: skip
        """One task of a restore."""
        owner = Owner(execution, task)
        return Task(self.store, self.big, SETTINGS, Request(options, **request), owner, tasks)

    def restore(self, options: Options = INTO, execution: str = "first", **request: Any) -> Restoration:
        """A restore by one task."""
        return asyncio.run(restore(self.task(options, execution, **request)))

    def rows(self, table: str, dataset: str = "copy") -> list[str] | None:
        """The rows that a table has now, None without one."""
        found = self.big.datasets.get(("project", dataset), {}).get(table)
        rows = found.versions[-1].rows if found else None
        return None if rows is None else list(rows)

    def definition(self, table: str, dataset: str = "copy") -> dict[str, Any]:
        """A table's resource."""
        decoded: dict[str, Any] = msgspec.json.decode(self.big.datasets["project", dataset][table].definition)
        return decoded

    def _document(self, name: str, type_: Any) -> Any:
        found = self.store.peek(name)
        assert found
        return decode(found[0], type_, name)
