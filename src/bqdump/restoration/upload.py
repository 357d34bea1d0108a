"""Files of a local folder, uploaded to a bucket while they are loaded: load jobs read from Cloud Storage only."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from typing import IO

from bqdump.core.documents.manifest import File, TableEntry
from bqdump.repository.data_files import read_part, upload_once
from bqdump.restoration.jobs import FailedJobError
from bqdump.restoration.task import RunningRestore

PIECE_BYTES = 8 << 20


async def upload_files(restore: RunningRestore, entry: TableEntry) -> None:
    """Upload a table's files that are not there yet. Raises FailedJobError for one that is not as exported."""
    if restore.uploads_files:
        await asyncio.gather(*(_upload(restore, entry.table, file) for file in entry.files))


async def _upload(restore: RunningRestore, table: str, file: File) -> None:
    name = restore.uploaded(file.name)
    async with restore.uploads:
        there = await restore.task.bucket.stat(name)
        if there is None or there.crc32c != file.crc32c:
            with tempfile.TemporaryFile() as copy:
                await _read(restore, table, file, copy)
                there = await upload_once(restore.task.bucket, name, lambda out: _write(copy, out))
    if there is None or there.crc32c != file.crc32c:
        raise FailedJobError(table, "checksum", f"{file.name} does not have the checksum of the manifest")


async def _read(restore: RunningRestore, table: str, file: File, copy: IO[bytes]) -> None:
    for start in range(0, file.size, PIECE_BYTES):
        length = min(PIECE_BYTES, file.size - start)
        data = await read_part(restore.task.store, file.name, file.generation, start, length)
        if data is None:
            raise FailedJobError(table, "replaced", f"{file.name} is no longer the exported file")
        copy.write(data)


def _write(copy: IO[bytes], out: IO[bytes]) -> None:
    copy.seek(0)
    shutil.copyfileobj(copy, out)
