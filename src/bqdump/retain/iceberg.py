"""Iceberg tables of pruned runs: the metadata that readers find lists no snapshot whose files are deleted.

Metadata files do not change, and manifests name them. So metadata without these snapshots is a new file; iceberg.json
of a run that stays records it, and version-hint.text moves to it, both by compare-and-swap. All of this comes before
any file is deleted, and may be repeated. Whoever has opened the metadata before still reads all other snapshots. Where
a later run is published meanwhile, its metadata counts.

A snapshot stays as long as a run that is kept names its manifest list, whichever run has written it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Iterable
from typing import NamedTuple

import msgspec

from bqdump.core.documents.manifest import IcebergFile
from bqdump.core.documents.retention import ObjectVersion
from bqdump.core.documents.target import IcebergTables, Latest
from bqdump.core.errors import DocumentError
from bqdump.core.iceberg.metadata import read_history, without_snapshots
from bqdump.core.iceberg.table import HINT, hint_of, metadata_name, name_in_hint
from bqdump.core.progress.log_events import LogEvent
from bqdump.repository.log import logged_runs
from bqdump.repository.objects import read_object, write_object, write_once
from bqdump.repository.published import read_latest
from bqdump.repository.repository import exists, swap, value_of
from bqdump.retain.survey import Task

log = logging.getLogger(__name__)

REQUESTS_AT_ONCE = 16


class _Hint(NamedTuple):
    """A version-hint.text.

    metadata: the metadata file that it names, "" for none.
    generation: 0 if it does not exist.
    """

    metadata: str
    generation: int


class _Rewritten(NamedTuple):
    """The metadata of a table without the snapshots of deleted runs.

    before: the metadata file that readers found until now.
    name: the one that they are to find, "" where no snapshot is left.
    written: set where this prune has written it.
    """

    table: str
    before: str
    name: str
    hint: _Hint
    written: IcebergFile | None = None


async def forget_snapshots(task: Task, files: Collection[ObjectVersion]) -> None:
    """Take the snapshots of these objects, which are about to be deleted, out of the metadata that readers find."""
    latest = await read_latest(task.store, task.settings)
    if not latest or latest.replaces:
        return
    try:
        rewriting = _Rewriting(task, latest, files)
        await rewriting.rewrite(rewriting.tables())
    except DocumentError as error:
        # Readers find the current snapshots as before. Nothing else of the prune depends on these documents.
        message = "the snapshots of pruned runs stay in the Iceberg metadata: %s"
        log.warning(message, error, extra=LogEvent.CLEANUP_FAILED.extra())


async def forget_table(task: Task, latest: Latest, files: Collection[ObjectVersion], table: str) -> None:
    """The same for one table. Raises DocumentError where a list of metadata files is missing or damaged."""
    await _Rewriting(task, latest, files).rewrite([table])


class _Rewriting:
    """One pass over tables. files: what is about to be deleted."""

    def __init__(self, task: Task, latest: Latest, files: Collection[ObjectVersion]) -> None:
        self._task, self._store, self._layout = task, task.store, task.layout
        self._published, self._listed = latest.run, latest.iceberg
        self._doomed = {file.name for file in files}
        self._slots = asyncio.Semaphore(REQUESTS_AT_ONCE)

    def tables(self) -> list[str]:
        """The tables whose metadata is about to be deleted."""
        below = (
            name.removeprefix(self._layout.iceberg) for name in self._doomed if name.startswith(self._layout.iceberg)
        )
        return sorted({name.partition("/")[0] for name in below})

    async def rewrite(self, tables: Iterable[str]) -> None:
        """Write metadata of these tables anew, and lead readers to it.

        Raises DocumentError where a list of metadata files is missing or damaged.
        """
        known = await value_of(self._store, self._layout.run(self._published).iceberg)
        if self._listed and not known:
            raise DocumentError("read", self._listed, "it does not exist")
        named = known.tables if known else {}
        owner = self._published if known else await self._newest_with_tables()
        answers = await asyncio.gather(*(self._table(table, named.get(table, ""), owner) for table in tables))
        rewritten = [table for table in answers if table]
        await self._record(owner, rewritten)
        latest = await read_latest(self._store, self._task.settings)
        if latest and latest.run == self._published:
            await asyncio.gather(*map(self._show, rewritten))

    async def _newest_with_tables(self) -> str:
        """The newest run with a list of Iceberg tables, which can record what is written; "" for none."""
        runs = await logged_runs(self._store, self._layout)
        for run in sorted(runs, key=lambda run: (runs[run], run), reverse=True):
            if await exists(self._store, self._layout.run(run).iceberg):
                return run
        return ""

    async def _table(self, table: str, named: str, owner: str) -> _Rewritten | None:
        """The table's metadata without the snapshots that go; None where it stays as it is.

        named: by the published run.
        owner: the run with which what is written is deleted one day.
        """
        async with self._slots:
            hint = await self._hint(table)
            before = named or hint.metadata
            if not before:
                return None
            try:
                data = await self._read(before)
                left = without_snapshots(data, before, await self._expired(table, data, before))
            except DocumentError as error:
                message = "the snapshots of pruned runs stay in the metadata of %s: %s"
                log.warning(message, table, error, extra=LogEvent.CLEANUP_FAILED.extra(table=table))
                return None
            if left and left.data == data and before not in self._doomed:
                # A prune may have been killed before it moved the hint.
                return _Rewritten(table, before, before, hint) if hint.metadata != before else None
            if left is None or not owner:
                return None if named else _Rewritten(table, before, "", hint)
            name = metadata_name(self._layout.iceberg_table(table), left.sequence, owner, left.data)
            return _Rewritten(table, before, name, hint, await self._stored(name, left.data))

    async def _hint(self, table: str) -> _Hint:
        name = f"{self._layout.iceberg_table(table)}metadata/{HINT}"
        stored = await read_object(self._store, name)
        return _Hint(name_in_hint(name, stored.data), stored.generation) if stored else _Hint("", 0)

    async def _read(self, name: str) -> bytes:
        stored = await read_object(self._store, name)
        if stored is None:
            raise DocumentError("read", name, "it does not exist")
        return stored.data

    async def _expired(self, table: str, data: bytes, name: str) -> set[int]:
        """The ids of the snapshots whose manifest list is deleted, or about to be. data, name: of the metadata."""
        folder, root, present = f"{self._layout.iceberg_table(table)}metadata/", f"{self._store.url}/", set[str]()
        async for page in self._store.objects(folder):
            present.update(root + info.name for info in page if info.name not in self._doomed)
        snapshots = read_history(data, name).snapshots
        return {snapshot["snapshot-id"] for snapshot in snapshots if snapshot["manifest-list"] not in present}

    async def _stored(self, name: str, data: bytes) -> IcebergFile:
        return IcebergFile(name, len(data), await write_once(self._store, name, data))

    async def _record(self, owner: str, tables: Collection[_Rewritten]) -> None:
        """Name the metadata in the owner's iceberg.json: latest.json leads readers there, and prune one day."""

        async def step(now: IcebergTables | None) -> IcebergTables | None:
            if now is None:
                return None
            files = {table.written for table in tables if table.written} - {*now.rewritten}
            moved = {table.table: table.name for table in tables if now.tables.get(table.table) == table.before}
            if not files and not moved:
                return None
            rewritten = (*now.rewritten, *sorted(files, key=lambda file: file.name))
            return msgspec.structs.replace(now, tables=now.tables | moved, rewritten=rewritten)

        if owner and tables:
            await swap(self._store, self._layout.run(owner).iceberg, step)

    async def _show(self, table: _Rewritten) -> None:
        """Move version-hint.text, or delete it where no snapshot is left, unless something else has moved it."""
        async with self._slots:
            if table.name:
                name, content = hint_of(table.name)
                await write_object(self._store, name, content, table.hint.generation)
            elif table.hint.generation:
                name = f"{self._layout.iceberg_table(table.table)}metadata/{HINT}"
                await self._store.delete([(name, table.hint.generation)])
