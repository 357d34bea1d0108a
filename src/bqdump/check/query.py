"""Queries over an export: the files of a table are read when a statement names it."""

from __future__ import annotations

import asyncio
import base64
import hashlib
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
            await self.shell.attach(table, [await self._source(store, entry, file) for file in entry.files])

    async def _source(self, store: ObjectStore, entry: TableEntry, file: File) -> Source:
        """A file to query. In a folder it is compared here and queried where it is; elsewhere, compared when read."""
        described = data_file(self.manifest, entry, file)
        if self._folder and (path := self._folder / file.name).is_file():
            async for _ in _compared(file, _of_path(path)):
                pass
            return Source(described, path)
        return Source(described, _compared(file, _pieces(store, self.manifest, file)))


async def _of_path(path: Path) -> AsyncIterator[bytes]:
    """The bytes of a file of a folder, whose generation may be another one, as the folder may be a copy."""
    with path.open("rb") as opened:
        while piece := await asyncio.to_thread(opened.read, PIECE_BYTES):
            yield piece


async def _compared(file: File, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The bytes of a file. Raises VerificationError, at the end, if they are not those that the manifest records."""
    # Imported where files are read.
    import google_crc32c

    size, checksum, sha256 = 0, 0, hashlib.sha256()
    async for piece in pieces:
        size += len(piece)
        checksum = await asyncio.to_thread(google_crc32c.extend, checksum, piece)
        if file.sha256:
            await asyncio.to_thread(sha256.update, piece)
        yield piece
    found = base64.b64encode(checksum.to_bytes(4, "big")).decode()
    if (size, found) != (file.size, file.crc32c):
        cause = f"expected {file.size} bytes with the CRC32C {file.crc32c}, found {size} bytes with {found}"
    elif file.sha256 not in ("", sha256.hexdigest()):
        cause = f"expected the SHA-256 {file.sha256}, found {sha256.hexdigest()}"
    else:
        return
    raise VerificationError("read", file.name, cause, "Query another run. {call:verify} compares all files.")


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
