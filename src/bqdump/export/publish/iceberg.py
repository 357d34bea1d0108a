"""Iceberg metadata of the tables of a run: written before the manifest, which names it.

Each object has a name of its own, with the run and a digest of its content. So any task may write all of them at any
time, and the manifest decides which ones count. Once the run is published, `version-hint.text` names them, too.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from contextlib import suppress

import msgspec

from bqdump.core.documents.document import Document
from bqdump.core.documents.manifest import File, IcebergFile, Manifest, ManifestFiles, TableEntry
from bqdump.core.documents.publication import IcebergTables, Latest
from bqdump.core.errors import BqdumpError, DocumentError
from bqdump.core.formats.types import columns
from bqdump.core.iceberg.columns import nodes_of, with_ids
from bqdump.core.iceberg.manifests import DataFile
from bqdump.core.iceberg.metadata import History, no_history, read_history
from bqdump.core.iceberg.parquet import file_facts
from bqdump.core.iceberg.table import HINT, Request, Written, hint_of, name_in_hint, run_of, snapshot_objects
from bqdump.core.plan.unsupported import exported
from bqdump.core.progress.log_events import LogEvent
from bqdump.export.publish.clear import delete
from bqdump.export.publish.count import TIMES_READ, read_footer
from bqdump.export.task import RunningExport
from bqdump.ports.store import ObjectInfo
from bqdump.repository.objects import read_object, write_object, write_once
from bqdump.repository.published import read_latest
from bqdump.repository.repository import create, exists, value_of

log = logging.getLogger(__name__)

TABLES_AT_ONCE, REQUESTS_AT_ONCE = 16, 24
# A hint is written again where another run has written it meanwhile; an earlier run does that once at most.
TIMES_SHOWN = 3


async def with_iceberg(export: RunningExport, manifest: Manifest, latest: Latest | None) -> Manifest:
    """The manifest with Iceberg metadata, which is stored, for each table whose files are Parquet.

    Tables that were carried over keep the metadata of their export. latest: the published run.
    """
    lake = _Lake(export, manifest, await _earlier(export, latest))
    slots = asyncio.Semaphore(TABLES_AT_ONCE)

    async def one(entry: TableEntry) -> TableEntry:
        async with slots:
            return await lake.with_metadata(entry)

    return msgspec.structs.replace(manifest, tables=tuple(await asyncio.gather(*map(one, manifest.tables))))


async def _earlier(export: RunningExport, latest: Latest | None) -> dict[str, str]:
    """The metadata file of each table of the run that was published before."""
    if latest is None or latest.age >= export.plan.age or not export.same_dataset(latest):
        return {}
    found = await value_of(export.store, Document(latest.manifest, ManifestFiles))
    tables = (*found.tables, *found.left) if found else ()
    return {table.table: table.iceberg[-1].name for table in tables if table.iceberg}


class _Lake:
    """The tables of one run. earlier: the metadata file of each table before."""

    def __init__(self, export: RunningExport, manifest: Manifest, earlier: dict[str, str]) -> None:
        self._export, self._manifest, self._earlier = export, manifest, earlier
        self._store, self._layout = export.store, export.settings.layout
        self._root = f"{export.store.url}/"
        self._requests = asyncio.Semaphore(REQUESTS_AT_ONCE)
        self._kept: dict[str, asyncio.Task[bool]] = {}

    async def with_metadata(self, entry: TableEntry) -> TableEntry:
        """The entry with metadata, which is stored; the same entry where it has some, or cannot have any."""
        if entry.iceberg or entry.format != "parquet":
            return entry
        try:
            written = snapshot_objects(await self._request(entry))
        except DocumentError as error:
            # The export is complete without it.
            message = "%s is not published as an Iceberg table: %s"
            log.warning(message, entry.table, error, extra=LogEvent.TABLE_NOT_ICEBERG.extra(table=entry.table))
            return entry
        if written.left_out:
            message = "the Iceberg table %s lacks columns that Iceberg has no type for: %s"
            named = ", ".join(written.left_out)
            log.warning(message, entry.table, named, extra=LogEvent.TABLE_NOT_ICEBERG.extra(table=entry.table))
        return msgspec.structs.replace(entry, iceberg=await self._stored(written))

    async def _request(self, entry: TableEntry) -> Request:
        files, history = await asyncio.gather(
            asyncio.gather(*map(self._data_file, entry.files)), self._history(entry.table)
        )
        return Request(
            root=self._root,
            folder=self._layout.iceberg_table(entry.table),
            run=self._manifest.run,
            time=self._manifest.snapshot,
            files=files,
            columns=with_ids(nodes_of(exported(columns(entry.definition), entry.shape))),
            docs=_descriptions(entry.definition),
            history=history,
        )

    async def _data_file(self, file: File) -> DataFile:
        async with self._requests:
            for _ in range(TIMES_READ - 1):
                with suppress(DocumentError):
                    return await self._described(file)
            return await self._described(file)

    async def _described(self, file: File) -> DataFile:
        info = ObjectInfo(file.name, file.size, file.crc32c, file.generation)
        facts = file_facts(await read_footer(self._store, info), file.name)
        if file.rows is not None and facts.rows != file.rows:
            raise DocumentError("describe", file.name, f"it has {facts.rows:,} rows, and {file.rows:,} were counted")
        return DataFile(self._root + file.name, file.size, facts)

    async def _history(self, table: str) -> History:
        """What earlier runs have recorded of the table, with the snapshots that can still be read."""
        none = no_history(self._root + self._layout.iceberg_table(table))
        name = self._earlier.get(table) or await self._hinted(table)
        try:
            async with self._requests:
                stored = await read_object(self._store, name) if name else None
                history = read_history(stored.data, name) if stored else none
        except DocumentError:
            return none
        if history.last_updated_ms > self._manifest.snapshot:
            return none
        # Where runs replace files, those of earlier snapshots are gone.
        runs = [] if self._manifest.replaces else history.runs()
        kept = await asyncio.gather(*map(self._keeps, runs))
        return history.only({run for run, there in zip(runs, kept, strict=True) if there} - {self._manifest.run})

    async def _hinted(self, table: str) -> str:
        """The metadata that was published last of a table that the published run does not have; "" for none."""
        hint = f"{self._layout.iceberg_table(table)}metadata/{HINT}"
        async with self._requests:
            stored = await read_object(self._store, hint)
        return name_in_hint(hint, stored.data) if stored else ""

    async def _keeps(self, run: str) -> bool:
        """Whether a run still has its files."""
        if run not in self._kept:
            document = self._layout.run(run).manifest
            self._kept[run] = asyncio.ensure_future(exists(self._store, document))
        return await self._kept[run]

    async def _stored(self, written: Written) -> tuple[IcebergFile, ...]:
        """What is written, each object after those that it names."""
        return tuple([await self._store_one(name, data) for name, data in written.objects])

    async def _store_one(self, name: str, data: bytes) -> IcebergFile:
        async with self._requests:
            return IcebergFile(name, len(data), await write_once(self._store, name, data))


class _Described(msgspec.Struct):
    name: str
    description: str = ""


class _Schema(msgspec.Struct):
    fields: list[_Described] = []


class _Definition(msgspec.Struct):
    schema: _Schema = msgspec.field(default_factory=_Schema)


_DEFINITION = msgspec.json.Decoder(_Definition | None)


def _descriptions(definition: msgspec.Raw) -> dict[str, str]:
    decoded = _DEFINITION.decode(definition)
    return {field.name: field.description for field in decoded.schema.fields} if decoded else {}


async def name_metadata(export: RunningExport, manifest: ManifestFiles) -> str:
    """Store the metadata file of each table, for latest.json; the name of the document, "" for no Iceberg tables."""
    named = {table.table: table.iceberg[-1].name for table in (*manifest.tables, *manifest.left) if table.iceberg}
    if not named:
        return ""
    document = export.layout.iceberg
    await create(export.store, document, IcebergTables(run=export.plan.run, tables=named))
    return document.name


async def show_metadata(export: RunningExport, manifest: ManifestFiles) -> None:
    """Make each table's version-hint.text name the metadata of this run.

    An error is only logged: the hint is a convenience, latest.json and the manifest have the names.
    """
    try:
        named = [table.iceberg[-1].name for table in (*manifest.tables, *manifest.left) if table.iceberg]
        hints = dict(map(hint_of, named))
        for _ in range(TIMES_SHOWN):
            hints = await _show(export, hints)
            if not hints:
                break
        if export.plan.mode == "replace":
            await _clear(export, (table.table for table in manifest.removed))
            await _delete_unnamed(export, manifest)
    except BqdumpError as error:
        message = "the export is published, but its version-hint.text files could not be written: %s"
        log.warning(message, error, extra=LogEvent.CLEANUP_FAILED.extra())


async def _show(export: RunningExport, hints: dict[str, bytes]) -> dict[str, bytes]:
    """Write these hints unless a later run is published. Returns those that another run has written meanwhile.

    The generations are read first, so nothing that a later run has written is written over.
    """
    slots, again = asyncio.Semaphore(REQUESTS_AT_ONCE), dict[str, bytes]()

    async def generation(name: str, content: bytes) -> int | None:
        async with slots:
            stored = await read_object(export.store, name)
            if stored is None:
                return 0
            return None if stored.data == content else stored.generation

    async def write(name: str, content: bytes, expect: int) -> None:
        async with slots:
            if not await write_object(export.store, name, content, expect):
                again[name] = content

    seen = await asyncio.gather(*(generation(name, content) for name, content in hints.items()))
    latest = await read_latest(export.store, export.settings)
    if latest is None or latest.run != export.plan.run:
        return {}
    todo = [(name, content, expect) for (name, content), expect in zip(hints.items(), seen, strict=True)]
    await asyncio.gather(*(write(name, content, expect) for name, content, expect in todo if expect is not None))
    return again


async def _clear(export: RunningExport, tables: Iterable[str]) -> None:
    """Delete the hints of removed tables, whose files were deleted."""
    names = [f"{export.settings.layout.iceberg_table(table)}metadata/{HINT}" for table in tables]
    found = await asyncio.gather(*map(export.store.stat, names))
    latest = await read_latest(export.store, export.settings)
    if latest and latest.run == export.plan.run:
        await delete(export, ((info.name, info.generation) for info in found if info))


async def drop_metadata(export: RunningExport, lost: Manifest, made: ManifestFiles | None) -> None:
    """Delete what was written for a manifest that is not stored, because another task's is, or the run has ended."""
    named = _names([made]) if made else set()
    written = [file for entry in lost.tables for file in entry.iceberg if run_of(file.name) == export.plan.run]
    await delete(export, ((file.name, file.generation) for file in written if file.name not in named))


async def withdraw_metadata(export: RunningExport) -> None:
    """Delete the metadata of a run that is not published, unless its files stay in a folder of their own."""
    if export.plan.mode == "replace":
        await _delete_unnamed(export, None)


async def _delete_unnamed(export: RunningExport, manifest: ManifestFiles | None) -> None:
    """Delete what this run has written, except what its manifest or that of the published run names.

    Where runs replace files, the folder has the metadata of one run.
    """
    written = [
        info
        async for page in export.store.objects(export.settings.layout.iceberg)
        for info in page
        if run_of(info.name) == export.plan.run
    ]
    latest = await read_latest(export.store, export.settings) if written else None
    published = await value_of(export.store, Document(latest.manifest, ManifestFiles)) if latest else None
    named = _names([one for one in (manifest, published) if one])
    await delete(export, ((info.name, info.generation) for info in written if info.name not in named))


def _names(manifests: Sequence[ManifestFiles]) -> set[str]:
    return {file.name for one in manifests for table in (*one.tables, *one.left) for file in table.iceberg}
