"""Iceberg tables of pruned runs: the metadata that readers find lists no snapshot whose files are deleted.

Metadata files do not change, and manifests name them. So metadata without these snapshots is a new file; iceberg.json
of a run that stays records it, and version-hint.text moves to it, both by compare-and-swap. All of this comes before
anything is deleted, and may be repeated. Whoever has opened the metadata before still reads all other snapshots. Where
a later run is published meanwhile, its metadata counts.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec

from bqdump.core.documents.layout import Layout
from bqdump.core.documents.manifest import IcebergFile
from bqdump.core.documents.retention import Tombstone
from bqdump.core.documents.target import IcebergTables, Latest
from bqdump.core.errors import DocumentError
from bqdump.core.iceberg.metadata import RUN, read_history, without
from bqdump.core.iceberg.table import HINT, hint_of, metadata_name, name_in_hint, run_of
from bqdump.core.progress.log_events import LogEvent
from bqdump.repository.objects import read_object, write_object, write_once
from bqdump.repository.published import read_latest
from bqdump.repository.repository import Loaded, exists, swap, value_of
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
    owner: the run with which it is deleted one day.
    written: set where this prune has written it.
    """

    table: str
    before: str
    name: str
    hint: _Hint
    owner: str = ""
    written: IcebergFile | None = None


async def forget_snapshots(task: Task, deletions: Sequence[Loaded[Tombstone]]) -> None:
    """Take the snapshots of these runs, which are about to be deleted, out of the metadata that readers find."""
    latest = await read_latest(task.store, task.settings)
    if not latest or latest.replaces:
        return
    try:
        pruned = {tombstone.value.run for tombstone in deletions}
        await _Rewriting(task, latest, pruned).rewrite(_tables(task.layout, deletions))
    except DocumentError as error:
        # Readers find the current snapshots as before. Nothing else of the prune depends on these documents.
        message = "the snapshots of pruned runs stay in the Iceberg metadata: %s"
        log.warning(message, error, extra=LogEvent.CLEANUP_FAILED.extra())


async def forget_table(task: Task, latest: Latest, runs: set[str], table: str) -> None:
    """Take the snapshots of these runs out of the metadata of one table that readers find.

    Raises DocumentError where a list of metadata files is missing or damaged.
    """
    await _Rewriting(task, latest, runs).rewrite_one(table)


def _tables(layout: Layout, deletions: Iterable[Loaded[Tombstone]]) -> set[str]:
    """The tables whose metadata is about to be deleted."""
    names = (file.name for tombstone in deletions for file in tombstone.value.files)
    below = (name.removeprefix(layout.iceberg) for name in names if name.startswith(layout.iceberg))
    return {name.partition("/")[0] for name in below}


class _Rewriting:
    """One pass over tables. pruned: the runs that are about to be deleted."""

    def __init__(self, task: Task, latest: Latest, pruned: set[str]) -> None:
        self._task, self._store, self._layout = task, task.store, task.layout
        self._published, self._listed, self._pruned = latest.run, latest.iceberg, pruned
        self._slots, self._manifests = asyncio.Semaphore(REQUESTS_AT_ONCE), dict[str, asyncio.Task[bool]]()

    async def rewrite(self, pruned: set[str]) -> None:
        """pruned: tables of which metadata is about to be deleted.

        Raises DocumentError where a list of metadata files is missing or damaged.
        """
        known = await value_of(self._store, self._layout.run(self._published).iceberg)
        if self._listed and not known:
            raise DocumentError("read", self._listed, "it does not exist")
        named = known.tables if known else {}
        # A table that did not change has the metadata of an earlier run again, as it was before earlier prunes.
        unchanged = {table for table, name in named.items() if run_of(name) != self._published}
        tables = sorted(pruned | unchanged)
        answers = await asyncio.gather(*(self._table(table, named.get(table, "")) for table in tables))
        rewritten = [table for table in answers if table]
        by_owner = defaultdict[str, list[_Rewritten]](list)
        for table in rewritten:
            by_owner[table.owner].append(table)
        for owner, owned in by_owner.items():
            await self._record(owner, owned)
        latest = await read_latest(self._store, self._task.settings)
        if latest and latest.run == self._published:
            await asyncio.gather(*map(self._show, rewritten))

    async def rewrite_one(self, table: str) -> None:
        """The same for this table alone, also if the published run does not have it any more."""
        known = await value_of(self._store, self._layout.run(self._published).iceberg)
        rewritten = await self._table(table, known.tables.get(table, "") if known else "")
        if rewritten:
            await self._record(rewritten.owner, [rewritten])
            await self._show(rewritten)

    async def _table(self, table: str, named: str) -> _Rewritten | None:
        """The table's metadata without pruned snapshots; None where it has none. named: by the published run."""
        async with self._slots:
            hint = await self._hint(table)
            before = named or hint.metadata
            if not before:
                return None
            try:
                data = await self._read(before)
                snapshots = read_history(data, before).snapshots
                # The published run names the files of the current one, whichever run exported them.
                left = without(data, before, await self._expired(table, snapshots[:-1] if named else snapshots))
            except DocumentError as error:
                message = "the snapshots of pruned runs stay in the metadata of %s: %s"
                log.warning(message, table, error, extra=LogEvent.CLEANUP_FAILED.extra(table=table))
                return None
            if left and left.data == data:
                # A prune may have been killed before it moved the hint.
                return _Rewritten(table, before, before, hint) if hint.metadata != before else None
            if left is None:
                return None if named else _Rewritten(table, before, "", hint)
            owner = self._published if named else left.run
            if not named and not await exists(self._store, self._layout.run(owner).iceberg):
                # A run that was never published: nothing could record what is written for it.
                return _Rewritten(table, before, "", hint)
            name = metadata_name(self._layout.iceberg_table(table), left.sequence, owner, left.data)
            return _Rewritten(table, before, name, hint, owner, await self._stored(name, left.data))

    async def _hint(self, table: str) -> _Hint:
        name = f"{self._layout.iceberg_table(table)}metadata/{HINT}"
        stored = await read_object(self._store, name)
        return _Hint(name_in_hint(name, stored.data), stored.generation) if stored else _Hint("", 0)

    async def _read(self, name: str) -> bytes:
        stored = await read_object(self._store, name)
        if stored is None:
            raise DocumentError("read", name, "it does not exist")
        return stored.data

    async def _expired(self, table: str, snapshots: Sequence[dict[str, Any]]) -> set[int]:
        """The ids of snapshots of runs that are deleted, or about to be, and of those whose manifest list is."""
        folder, root, present = f"{self._layout.iceberg_table(table)}metadata/", f"{self._store.url}/", set[str]()
        async for page in self._store.objects(folder):
            present.update(root + info.name for info in page)
        kept = {run for run in {snapshot["summary"][RUN] for snapshot in snapshots} if await self._is_kept(run)}
        # Several snapshots may have the same manifest list, so one of a run that is gone may have it, too.
        return {
            snapshot["snapshot-id"]
            for snapshot in snapshots
            if snapshot["manifest-list"] not in present or snapshot["summary"][RUN] not in kept
        }

    async def _is_kept(self, run: str) -> bool:
        if run in self._pruned:
            return False
        if run not in self._manifests:
            self._manifests[run] = asyncio.ensure_future(exists(self._store, self._layout.run(run).manifest))
        return await self._manifests[run]

    async def _stored(self, name: str, data: bytes) -> IcebergFile:
        return IcebergFile(name, len(data), await write_once(self._store, name, data))

    async def _record(self, owner: str, tables: Sequence[_Rewritten]) -> None:
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

        if owner:
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
