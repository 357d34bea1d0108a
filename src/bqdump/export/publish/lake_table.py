"""The Iceberg metadata of one table of a run: a snapshot of the run, after those of every earlier run that is kept.

A table whose files an earlier run has exported shares the manifest list of that run's snapshot: only a metadata file
is new. What earlier runs have written of the table is known from one listing. What is lost is written anew.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, NamedTuple

import msgspec

from bqdump.core.documents.manifest import IcebergFile, TableEntry
from bqdump.core.errors import DocumentError, VerificationError
from bqdump.core.iceberg.metadata import MOST_SNAPSHOTS, History, mark_of, no_history, read_history
from bqdump.core.iceberg.table import HINT, describe, metadata_object, name_in_hint, run_of, with_same_rows
from bqdump.core.progress.log_events import LogEvent
from bqdump.export.publish.lake import Lake

log = logging.getLogger(__name__)


class _Snapshot(NamedTuple):
    """A snapshot in a metadata file."""

    source: History
    of: dict[str, Any]


class LakeTable:
    """One table. hint: the name of its version-hint.text. hint_generation: 0 where it is not there."""

    def __init__(self, lake: Lake, entry: TableEntry) -> None:
        self._lake, self._entry, self._run = lake, entry, lake.manifest.run
        self._folder = lake.layout.iceberg_table(entry.table)
        self._place = lake.root + self._folder
        self.hint = f"{self._folder}metadata/{HINT}"
        self.hint_generation = 0
        # What the folder has, by name, and the metadata files that were read.
        self._there: dict[str, int] = {}
        self._read: dict[str, History | None] = {}

    async def with_metadata(self) -> TableEntry:
        """The entry with metadata, which is stored; without any where the files cannot be described."""
        async with self._lake.requests:
            async for page in self._lake.store.objects(f"{self._folder}metadata/"):
                self._there |= {info.name: info.generation for info in page}
        self.hint_generation = self._there.get(self.hint, 0)
        history, until = await self._history()
        shared = await self._snapshot(self._entry.iceberg, history)
        try:
            return msgspec.structs.replace(self._entry, iceberg=await self._stored(history, until, shared))
        except DocumentError as error:
            # The export is complete without it.
            message = "%s is not published as an Iceberg table: %s"
            not_iceberg = LogEvent.TABLE_NOT_ICEBERG.extra(table=self._entry.table)
            log.warning(message, self._entry.table, error, extra=not_iceberg)
            return msgspec.structs.replace(self._entry, iceberg=())

    async def _stored(self, history: History, until: int, shared: _Snapshot | None) -> tuple[IcebergFile, ...]:
        """What makes the files an Iceberg table: the manifest, the manifest list, and a new metadata file."""
        time, files = self._lake.manifest.snapshot, self._entry.iceberg[:-1]
        if shared:
            history = with_same_rows(history, *shared, self._run, time, self._place)
        else:
            described = describe(await self._lake.request(self._entry, self._run, time, history))
            history, files = described.history, await self._lake.store_all(described.objects)
            if described.left_out:
                message = "the Iceberg table %s lacks columns that Iceberg has no type for: %s"
                lacks = LogEvent.TABLE_NOT_ICEBERG.extra(table=self._entry.table)
                log.warning(message, self._entry.table, ", ".join(described.left_out), extra=lacks)
        metadata = metadata_object(self._lake.root, self._folder, self._run, history, until)
        return (*files, *await self._lake.store_all([metadata]))

    async def _history(self) -> tuple[History, int]:
        """The snapshots of earlier runs, and until when they are complete: see History.until."""
        none, earlier = no_history(self._place), self._lake.earlier
        if earlier.named is None:
            return none, 0
        named = earlier.named.get(self._entry.table, ())
        if not (named or self._there):
            # Nothing was ever written of this table.
            return none, earlier.until
        known = await self._metadata(named[-1].name if named else await self._hinted())
        if known and known.last_updated_ms > self._lake.manifest.snapshot:
            known = None
        base, sound = known or none, known is not None and self._are_there(named)
        if named and not sound:
            self._warn(f"Iceberg metadata of {self._entry.table} is missing or damaged; what is lost is written anew")
        # Where it is not sound, or another dataset may have left what a hint leads to, the manifests decide.
        history = base.only(set(earlier.runs.items()) if named and sound else (), self._lists())
        return await self._completed(history, base, sound=sound)

    async def _completed(self, history: History, base: History, *, sound: bool) -> tuple[History, int]:
        """The history with the snapshots of all runs that have the table.

        base: before it was reduced to those kept.
        sound: whether it has every run up to `base.until` with the table.
        """
        until, earlier = self._lake.earlier.until, self._lake.earlier.runs
        had, has = set(map(mark_of, base.snapshots)), set(map(mark_of, history.snapshots))
        newest = sorted(earlier.items(), key=lambda item: (item[1], item[0]))[1 - MOST_SNAPSHOTS :]
        for run, time in newest:
            if (run, time) in has or (sound and time <= base.until and (run, time) not in had):
                continue
            named = await self._lake.named_by(run, self._entry.table)
            if not named:
                continue
            if snapshot := await self._snapshot(named, base):
                history = with_same_rows(history, *snapshot, run, time, self._place)
            elif described := await self._described_anew(history, run, time):
                history = described
            else:
                # It is tried again by the next run.
                until = min(until, time - 1)
        return history, until

    async def _described_anew(self, history: History, run: str, time: int) -> History | None:
        """The history with the snapshot of an earlier run, whose metadata is lost; None where this is not possible."""
        try:
            entry = await self._lake.entry_of(run, self._entry.table)
            if entry is None:
                return None
            described = describe(await self._lake.request(entry, run, time, history))
            # Named after that run, with which prune deletes it.
            await self._lake.store_all(described.objects)
        except (DocumentError, VerificationError) as error:
            self._warn(f"the Iceberg table {self._entry.table} has no snapshot of run {run}: {error}")
            return None
        return described.history

    async def _snapshot(self, named: tuple[IcebergFile, ...], base: History | None = None) -> _Snapshot | None:
        """The snapshot of these objects, which a manifest names; None where one of them is lost.

        base: metadata that may have it, too, so that the metadata file is not needed.
        """
        if len(named) < 2 or not self._are_there(named[:-1]):
            return None
        address = self._lake.root + named[-2].name
        source = base
        if source is None or source.of_list(address) is None:
            source = await self._metadata(named[-1].name) if self._are_there(named[-1:]) else None
        of = source.of_list(address) if source else None
        return _Snapshot(source, of) if source and of else None

    def _are_there(self, named: Iterable[IcebergFile]) -> bool:
        return all(self._there.get(file.name) == file.generation for file in named)

    def _lists(self) -> set[str]:
        """The addresses of the manifest lists that are there, of runs that also have a manifest."""
        runs = {run_of(name) for name in self._there if "/m0-" in name}
        return {self._lake.root + name for name in self._there if "/snap-" in name and run_of(name) in runs}

    async def _metadata(self, name: str) -> History | None:
        """What a metadata file records, None where it is missing or damaged."""
        if name not in self._there:
            return None
        if name not in self._read:
            self._read[name] = None
            data = await self._lake.read(name)
            with suppress(DocumentError):
                self._read[name] = read_history(data, name) if data else None
        return self._read[name]

    async def _hinted(self) -> str:
        """The metadata that was published last of a table that the published run does not have; "" for none."""
        data = await self._lake.read(self.hint) if self.hint_generation else None
        return name_in_hint(self.hint, data) if data else ""

    def _warn(self, message: str) -> None:
        log.warning("%s", message, extra=LogEvent.ICEBERG_METADATA_LOST.extra(table=self._entry.table))
