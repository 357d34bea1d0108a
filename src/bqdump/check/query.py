"""Queries over an export: the files of a table are read when a statement names it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

from bqdump.check.read_back import data_file
from bqdump.core.documents.manifest import File, Manifest, TableEntry
from bqdump.core.errors import VerificationError
from bqdump.core.formats.types import columns
from bqdump.core.settings.settings import Settings
from bqdump.core.tables.columns import exported
from bqdump.ports.data_reader import QueryShell, Source
from bqdump.ports.store import ObjectStore
from bqdump.repository.objects import read_part, uncover_files

PIECE_BYTES = 8 << 20


class Export:
    """An export to query: its manifest, and the shell. reading: hears of each table whose files are read."""

    def __init__(
        self,
        settings: Settings,
        manifest: Manifest,
        shell: QueryShell,
        reading: Callable[[TableEntry], None] = lambda _: None,
    ) -> None:
        self.manifest, self.shell = manifest, shell
        self._reading = reading
        self._folder = Path(settings.target.folder) if settings.target.folder else None
        self._entries = {entry.table: entry for entry in manifest.tables}
        for entry in manifest.tables:
            shell.define(entry.table, exported(columns(entry.definition), entry.shape))

    async def attach(self, store: ObjectStore, statement: str) -> None:
        """Read the files of tables that the statement names. Raises VerificationError for files that are gone."""
        for table in self.shell.needed(statement):
            entry = self._entries[table]
            self._reading(entry)
            await self.shell.attach(table, [self._source(store, entry, file) for file in entry.files])

    def _source(self, store: ObjectStore, entry: TableEntry, file: File) -> Source:
        described = data_file(self.manifest, entry, file)
        if self._folder and (path := self._folder / file.name).is_file():
            return Source(described, path)
        return Source(described, _pieces(store, self.manifest, file))


async def _pieces(store: ObjectStore, manifest: Manifest, file: File) -> AsyncIterator[bytes]:
    for start in range(0, file.size, PIECE_BYTES):
        length = min(PIECE_BYTES, file.size - start)
        data = await read_part(store, file.name, file.generation, start, length)
        if data is None and await uncover_files(store, manifest, [file], {}):
            data = await read_part(store, file.name, file.generation, start, length)
        if data is None:
            cause = f"generation {file.generation}, which the run exported, is not there"
            hint = "Query a later run if one has replaced the file. {call:verify} lists all such files."
            raise VerificationError("read", file.name, cause, hint)
        yield data
