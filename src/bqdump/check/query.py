"""Queries over an export: the files of a table are read when a statement names it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bqdump.check.read_back import data_file
from bqdump.core.documents.manifest import File, Manifest, TableEntry
from bqdump.core.formats.types import columns
from bqdump.core.tables.columns import exported
from bqdump.file_content import OtherFileError, read_file
from bqdump.ports.data_reader import QueryShell
from bqdump.ports.store import ObjectStore
from bqdump.repository.objects import uncover_files


class Export:
    """An export to query: its manifest, and the shell. reading: hears of each table whose files are read."""

    def __init__(
        self,
        manifest: Manifest,
        shell: QueryShell,
        reading: Callable[[TableEntry], None] = lambda _: None,
    ) -> None:
        self.manifest, self.shell = manifest, shell
        self._reading = reading
        self._entries = {entry.table: entry for entry in manifest.tables}
        for entry in manifest.tables:
            shell.define(entry.table, exported(columns(entry.definition), entry.shape))

    async def attach(self, store: ObjectStore, statement: str) -> None:
        """Read the files of tables that the statement names. Raises OtherFileError."""
        for table in self.shell.needed(statement):
            entry = self._entries[table]
            self._reading(entry)
            paths = [await self._kept(store, table, file) for file in entry.files]
            described = [data_file(self.manifest, entry, file) for file in entry.files]
            await self.shell.attach(table, list(zip(described, paths, strict=True)))

    async def _kept(self, store: ObjectStore, table: str, file: File) -> Path:
        """A copy of the file that nobody else changes."""
        try:
            return await read_file(store, file, self.shell.store, table=table)
        except OtherFileError as error:
            if error.replaced and await uncover_files(store, self.manifest, [file], {}):
                return await read_file(store, file, self.shell.store, table=table)
            raise
