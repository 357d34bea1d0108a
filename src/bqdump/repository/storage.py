"""The storage of a target: what each run names, and what it shares with others. It takes reading every manifest."""

from __future__ import annotations

import asyncio
from collections.abc import Container
from contextlib import suppress
from typing import TYPE_CHECKING

from bqdump.concurrency import gathered
from bqdump.core.documents.codec import RELEASE
from bqdump.core.documents.document import Document
from bqdump.core.documents.layout import Layout
from bqdump.core.documents.retention import Erasure, RetainedFiles
from bqdump.core.documents.target import Erasing
from bqdump.core.errors import DocumentError
from bqdump.core.settings.settings import Settings
from bqdump.ports.store import ObjectStore
from bqdump.repository.log import log_refused
from bqdump.repository.repository import Loaded, load, value_of

if TYPE_CHECKING:
    from bqdump.core.retention.pruned import Storage

READS_AT_ONCE = 4


async def erasure_records(store: ObjectStore, layout: Layout, table: str = "") -> list[Loaded[Erasure]]:
    """The records of erasures, each with its generation. table: only those of this one."""
    records = list[Loaded[Erasure]]()
    async for page in store.objects(layout.erasures):
        for info in page:
            record = await load(store, Document(info.name, Erasure))
            if record and table in ("", record.value.erasing.table):
                records.append(record)
    return records


async def read_erasing(store: ObjectStore, layout: Layout) -> Erasing | None:
    """The erasure that has begun and not ended, None without one.

    Where its mark is damaged, the record shows which it is. Without a record, nothing is changed yet: whoever stores
    one looks at the mark once more.
    """
    try:
        return await value_of(store, layout.erasing)
    except DocumentError as error:
        # One of another release is no damage.
        if error.hint == RELEASE:
            raise
        records = [record.value for record in await erasure_records(store, layout)]
        log_refused(error.subject, error)
        return next((record.erasing for record in records if not (record.done or record.refused)), None)


class PresentFiles:
    """The files below the target, listed when they are first needed.

    Where exports replace files, few of those that older manifests name are left.
    """

    def __init__(self, store: ObjectStore, settings: Settings) -> None:
        self._store, self._settings, self._lock = store, settings, asyncio.Lock()
        self._found: set[tuple[str, int]] | None = None

    async def of(self, manifest: RetainedFiles) -> Container[tuple[str, int]] | None:
        """Names and generations of what exists; None where everything that this manifest names does."""
        if not manifest.replaces:
            return None
        async with self._lock:
            if self._found is None:
                self._found = await self._list()
        return self._found

    async def _list(self) -> set[tuple[str, int]]:
        referenced, layout = set[tuple[str, int]](), self._settings.layout
        async for page in self._store.objects(self._settings.target.prefix):
            files = (info for info in page if info.name.startswith(layout.iceberg) or layout.root not in info.name)
            referenced.update((file.name, file.generation) for file in files)
        return referenced


async def read_storage(store: ObjectStore, settings: Settings) -> Storage:
    """The storage of all runs whose manifests can be read."""
    from bqdump.core.retention.pruned import Storage

    storage, present = Storage(), PresentFiles(store, settings)

    async def add(run: str) -> None:
        with suppress(DocumentError):
            document = Document(settings.layout.run(run).manifest.name, RetainedFiles)
            if manifest := await value_of(store, document):
                storage.add(run, manifest, await present.of(manifest))

    await gathered(add, await store.folders(settings.layout.runs), READS_AT_ONCE)
    return storage
