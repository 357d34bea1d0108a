"""What copies before this one have recorded about files of the place: those of its last run, and those of this run."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import NamedTuple

from bqdump.copying.task import Task
from bqdump.core.copy.manifest import Item
from bqdump.core.documents.copying import ArrivedFiles
from bqdump.core.documents.document import Document
from bqdump.core.documents.manifest import Manifest
from bqdump.core.errors import DocumentError
from bqdump.repository.repository import value_of


class Known(NamedTuple):
    """sha256: of files by name and generation. crc32c: by name, generation and size."""

    sha256: dict[tuple[str, int], str]
    crc32c: dict[tuple[str, int, int], str]


async def known_files(task: Task, run: str, items: Iterable[Item]) -> Known:
    """What is recorded in the copy. run, items: what is copied now."""
    store, layout = task.target.store, task.target.layout
    known = Known({}, {})
    with suppress(DocumentError):
        latest = await value_of(store, layout.latest)
        manifest = await value_of(store, Document(latest.manifest, Manifest)) if latest else None
        for entry in manifest.tables if manifest else ():
            known.sha256.update({(file.name, file.generation): file.sha256 for file in entry.files if file.sha256})
            known.crc32c.update({(file.name, file.generation, file.size): file.crc32c for file in entry.files})
    own = {item.target: item for item in items}
    async for page in store.objects(layout.run(run).arrivals):
        for info in page:
            with suppress(DocumentError):
                record = await value_of(store, Document(info.name, ArrivedFiles))
                for file in record.files if record else ():
                    known.sha256[file.name, file.generation] = file.sha256
                    if item := own.get(file.name):
                        known.crc32c[file.name, file.generation, item.size] = item.crc32c
    return known
