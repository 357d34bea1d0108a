"""What the Iceberg tables of a run have in common: what earlier runs have published, and the store they go to.

Field ids for Parquet files that BigQuery wrote: a second footer, added to each file where it was written.

Any task may do this at any time, also when another one does: a file that has ids is left as it is. It happens before
the manifest exists, which records the files as they are then.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

import msgspec

from bqdump.core.documents.document import ByMode, Document, Mode, RunId
from bqdump.core.documents.layout import Layout
from bqdump.core.documents.manifest import File, IcebergFile, Manifest, TableEntry
from bqdump.core.documents.run import TablePlan
from bqdump.core.errors import BqdumpError, ConflictError, DeniedError, DocumentError, VerificationError
from bqdump.core.formats.types import columns
from bqdump.core.iceberg.columns import nodes_of, with_ids
from bqdump.core.iceberg.footer import instants, second_footer
from bqdump.core.iceberg.manifests import DataFile
from bqdump.core.iceberg.metadata import History
from bqdump.core.iceberg.parquet import file_facts
from bqdump.core.iceberg.table import Request
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.sizes import counted
from bqdump.core.tables.columns import exported
from bqdump.export.collected import Collected
from bqdump.export.publish.clear import delete
from bqdump.export.publish.count import TIMES_READ, read_footer
from bqdump.export.task import RunningExport
from bqdump.ports.store import ObjectInfo, ObjectStore
from bqdump.repository.objects import read_object, write_once
from bqdump.repository.repository import value_of

REQUESTS_AT_ONCE = 24


class Earlier(NamedTuple):
    """What was published before a run.

    named: the metadata that the published run's manifest names, by table; None where that run is of another dataset, or
        later than the run.
    runs: those of the log that keep their files, with their snapshot times (ms).
    run: the published run, "" where its metadata may lack the runs before it.
    over: the one that was published when its metadata was written, "" where that is not known.
    """

    named: Mapping[str, tuple[IcebergFile, ...]] | None
    runs: Mapping[str, int]
    run: str = ""
    over: str = ""


class _Laked(msgspec.Struct, frozen=True):
    table: str
    iceberg: tuple[IcebergFile, ...] = ()


class _Named(ByMode, msgspec.Struct, frozen=True):
    """The part of a manifest that names Iceberg metadata."""

    run: RunId
    project: str
    dataset: str
    mode: Mode
    tables: tuple[_Laked, ...]


class Lake:
    """The Iceberg tables of one run. `manifest` has no metadata of them yet."""

    def __init__(self, store: ObjectStore, layout: Layout, manifest: Manifest, earlier: Earlier) -> None:
        self.store, self.layout, self.manifest, self.earlier = store, layout, manifest, earlier
        self.root = f"{store.url}/"
        self.requests = asyncio.Semaphore(REQUESTS_AT_ONCE)
        self._named: dict[str, asyncio.Task[Mapping[str, tuple[IcebergFile, ...]] | None]] = {}

    async def named_by(self, run: str, table: str) -> tuple[IcebergFile, ...] | None:
        """The metadata of a table in the manifest of an earlier run, () where it has none.

        None unless there is a manifest, of this dataset and of a run that keeps its files.
        """
        if run not in self._named:
            self._named[run] = asyncio.ensure_future(self._read_named(run))
        named = await self._named[run]
        return None if named is None else named.get(table, ())

    async def _read_named(self, run: str) -> Mapping[str, tuple[IcebergFile, ...]] | None:
        if run == self.earlier.run:
            return self.earlier.named
        with suppress(DocumentError):
            async with self.requests:
                stored = await value_of(self.store, Document(self.layout.run(run).manifest.name, _Named))
            same = stored and (stored.project, stored.dataset) == (self.manifest.project, self.manifest.dataset)
            if stored and same and not stored.replaces:
                return {table.table: table.iceberg for table in stored.tables if table.iceberg}
        return None

    async def entry_of(self, run: str, table: str) -> TableEntry | None:
        """The table in the manifest of an earlier run. Raises DocumentError."""
        async with self.requests:
            stored = await value_of(self.store, self.layout.run(run).manifest)
        return next((entry for entry in stored.tables if entry.table == table), None) if stored else None

    async def request(self, entry: TableEntry, run: str, time: int, history: History) -> Request:
        """What describes the files of a table: of this run, or of an earlier one. Raises DocumentError."""
        return Request(
            root=self.root,
            folder=self.layout.iceberg_table(entry.table),
            run=run,
            time=time,
            files=await asyncio.gather(*map(self._data_file, entry.files)),
            columns=with_ids(nodes_of(exported(columns(entry.definition), entry.shape))),
            docs=_descriptions(entry.definition),
            history=history,
        )

    async def _data_file(self, file: File) -> DataFile:
        async with self.requests:
            for _ in range(TIMES_READ - 1):
                with suppress(DocumentError):
                    return await self._described(file)
            return await self._described(file)

    async def _described(self, file: File) -> DataFile:
        info = ObjectInfo(file.name, file.size, file.crc32c, file.generation)
        facts = file_facts(await read_footer(self.store, info), file.name)
        if file.rows is not None and facts.rows != file.rows:
            cause = f"it has {counted(facts.rows, 'row')}, and {file.rows:,} were counted"
            raise DocumentError("describe", file.name, cause)
        return DataFile(self.root + file.name, file.size, facts)

    async def read(self, name: str) -> bytes | None:
        """An object, None where it is not there."""
        async with self.requests:
            stored = await read_object(self.store, name)
        return stored.data if stored else None

    async def store_all(self, objects: Sequence[tuple[str, bytes]]) -> tuple[IcebergFile, ...]:
        """Store these objects, each after those that it names."""
        return tuple([await self._store_one(name, data) for name, data in objects])

    async def _store_one(self, name: str, data: bytes) -> IcebergFile:
        async with self.requests:
            return IcebergFile(name, len(data), await write_once(self.store, name, data))


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


log = logging.getLogger(__name__)

FILES_AT_ONCE = 24
# Only tasks of this run change these files, and each at most once.
TIMES_CHANGED = 5


async def add_field_ids(export: RunningExport, tables: Sequence[TablePlan], collected: Collected) -> None:
    """Give the files of tables that BigQuery wrote as Parquet field ids, and their TIMESTAMPs the UTC flag.

    `collected` then has the files as they are now. A table whose files cannot be changed is left as it is, with a
    warning. Raises VerificationError for a file that is gone, and what reading raises.
    """
    slots = asyncio.Semaphore(FILES_AT_ONCE)

    async def number(table: TablePlan) -> None:
        files = collected.written.get(table.id, [])
        if table.route == "read" or export.format_of(table) != "parquet" or not files:
            return
        times = frozenset(instants(exported(columns(table.definition), table.shape)))

        async def changed(info: ObjectInfo) -> ObjectInfo:
            async with slots:
                return await _with_ids(export, info, times)

        try:
            collected.written[table.id] = list(await asyncio.gather(*map(changed, files)))
        except DeniedError as error:
            message = "%s: its files stay without field ids: %s"
            log.warning(message, table.table, error, extra=LogEvent.FILES_WITHOUT_IDS.extra(table=table.table))

    await asyncio.gather(*map(number, tables))


async def _with_ids(export: RunningExport, info: ObjectInfo, times: frozenset[str]) -> ObjectInfo:
    """The file with ids."""
    scratch = f"{export.layout.staging}footers/{export.owner.execution}-{export.owner.task}/{info.name}"
    for _ in range(TIMES_CHANGED):
        with suppress(ConflictError, VerificationError):
            more = second_footer(await _certain_footer(export, info), times, info.name)
            return await export.store.append(info.name, info.generation, more, scratch) if more else info
        # Another task has done it, or this one, and the answer was lost.
        rewritten = await export.store.stat(info.name)
        if rewritten is None:
            raise VerificationError("publish", info.name, "it was deleted meanwhile")
        info = rewritten
    raise ConflictError("append to", info.name, "others keep changing it")


async def _certain_footer(export: RunningExport, info: ObjectInfo) -> bytes:
    """The footer, which is read until it is the same twice: parts of files come without a checksum."""
    last = b""
    for _ in range(2 * TIMES_READ):
        footer = await read_footer(export.store, info)
        if footer == last:
            return footer
        last = footer
    raise DocumentError("read the Parquet footer of", info.name, "it is different each time")


async def clear_scratch(export: RunningExport) -> None:
    """Delete what killed tasks have left. An error is only logged."""
    try:
        async for page in export.store.objects(f"{export.layout.staging}footers/"):
            await delete(export, ((info.name, info.generation) for info in page))
    except BqdumpError as error:
        log.warning("staged footers could not be deleted: %s", error, extra=LogEvent.CLEANUP_FAILED.extra())
