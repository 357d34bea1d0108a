"""The files of an export while they are loaded: load jobs read them by name, whatever their generation."""

from __future__ import annotations

import asyncio

from bqdump.core.documents.manifest import File, TableEntry
from bqdump.ports.store import ObjectInfo
from bqdump.repository.presence import recorded_in, with_checksums
from bqdump.restoration.task import RunningRestore

# More files than this are listed, with one request for 1,000, instead of looked at one by one.
LOOKED_AT = 4


async def changed_files(restore: RunningRestore, entry: TableEntry) -> list[str]:
    """The names of a table's files that are missing, or have another generation or checksum than in the manifest.

    The generations of a copied export are those of the copy as it is now, which has changed if its checksum has.
    """
    files = {file.name: file for file in entry.files}
    stored = await _stored(restore, list(files.values()))
    return [name for name, file in files.items() if stored.get(name) != (file.generation, file.crc32c)]


async def _stored(restore: RunningRestore, files: list[File]) -> dict[str, tuple[int, str]]:
    """Generations and checksums by name."""
    store = restore.task.store
    if len(files) <= LOOKED_AT:
        found = await asyncio.gather(*(store.stat(file.name) for file in files))
        return {info.name: (info.generation, info.crc32c) for info in found if info}
    expected = {file.name for file in files}
    listed: dict[str, ObjectInfo] = {}
    async for page in store.objects(_common_prefix(sorted(expected))):
        listed.update({info.name: info for info in page if info.name in expected})
    stored = await with_checksums(store, listed, recorded_in(files))
    return {name: (info.generation, info.crc32c) for name, info in stored.items()}


def _common_prefix(names: list[str]) -> str:
    first, last = names[0], names[-1]
    same = next((at for at, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))
    return first[:same]
