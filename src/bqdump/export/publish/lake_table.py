"""The Iceberg metadata of one table of a run: a snapshot of the run, after those of every earlier run that is kept.

A table that did not change keeps the metadata of the published run: its last snapshot stands for this run as well.
What earlier runs have written of the table is known from one listing. What is lost is written anew.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from contextlib import suppress
from typing import Any, NamedTuple

import msgspec

from bqdump.core.documents.manifest import IcebergFile, TableEntry
from bqdump.core.errors import DocumentError, VerificationError
from bqdump.core.iceberg.metadata import MOST_SNAPSHOTS, Age, History, age_of, no_history, read_history
from bqdump.core.iceberg.table import HINT, describe, metadata_object, name_in_hint, run_of, with_same_rows
from bqdump.core.progress.log_events import LogEvent
from bqdump.export.publish.lake import Lake

log = logging.getLogger(__name__)


class _Snapshot(NamedTuple):
    """A snapshot in a metadata file."""

    source: History
    of: dict[str, Any]


class _Known(NamedTuple):
    """What earlier runs have left of a table.

    history: the snapshots of every earlier run that is kept.
    base: the metadata that is published, None where it is missing or damaged.
    """

    history: History
    base: History | None = None


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
        known = await self._known()
        shared = await self._snapshot(self._entry.iceberg, known.history)
        try:
            return msgspec.structs.replace(self._entry, iceberg=await self._stored(known, shared))
        except DocumentError as error:
            # The export is complete without it.
            message = "%s is not published as an Iceberg table: %s"
            not_iceberg = LogEvent.TABLE_NOT_ICEBERG.extra(table=self._entry.table)
            log.warning(message, self._entry.table, error, extra=not_iceberg)
            return msgspec.structs.replace(self._entry, iceberg=())

    async def _stored(self, known: _Known, shared: _Snapshot | None) -> tuple[IcebergFile, ...]:
        """What makes the files an Iceberg table: the manifest, the manifest list, and the metadata file.

        All of it is that of the published run where nothing has changed.
        """
        history, time, files = known.history, self._lake.manifest.snapshot, self._entry.iceberg[:-1]
        if shared:
            history = with_same_rows(history, *shared, self._run, time, self._place)
            if known.base and history.snapshots == known.base.snapshots and self._entry.iceberg == self._named():
                return self._entry.iceberg
        else:
            described = describe(await self._lake.request(self._entry, self._run, time, history))
            history, files = described.history, await self._lake.store_all(described.objects)
            if described.left_out:
                message = "the Iceberg table %s lacks columns that Iceberg has no type for: %s"
                lacks = LogEvent.TABLE_NOT_ICEBERG.extra(table=self._entry.table)
                log.warning(message, self._entry.table, ", ".join(described.left_out), extra=lacks)
        metadata = metadata_object(self._lake.root, self._folder, self._run, history)
        return (*files, *await self._lake.store_all([metadata]))

    def _named(self) -> tuple[IcebergFile, ...]:
        """The metadata that the published run has of the table, () for none."""
        return (self._lake.earlier.named or {}).get(self._entry.table, ())

    async def _known(self) -> _Known:
        none, earlier, named = no_history(self._place), self._lake.earlier, self._named()
        if earlier.named is None or not (named or self._there):
            # Nothing was ever written of this table.
            return _Known(none)
        known = await self._metadata(named[-1].name if named else await self._hinted())
        if known and known.last_updated_ms > self._lake.manifest.snapshot:
            known = None
        if known is None or not self._are_there(named):
            if named:
                gone = next((file.name for file in named if not self._are_there([file])), named[-1].name)
                which = f"{gone}, Iceberg metadata of {self._entry.table},"
                self._warn(f"{which} is missing or damaged; what is lost is written anew")
            return _Known(await self._completed(none, known or none))
        if not named:
            # Another dataset may have left what a hint leads to, so the manifests decide.
            return _Known(await self._completed(none, known))
        ages, lists = self._ages(known), self._lists()
        lost = [one for one in known.snapshots if one["manifest-list"] not in lists]
        standing = known.standing(ages)
        again = {age for one in lost for age in standing.get(one["snapshot-id"], ())}
        return _Known(
            await self._completed(known.only(ages, lists), known, sound=bool(earlier.run), again=again), known
        )

    def _ages(self, base: History) -> list[Age]:
        """The ages of the runs that are kept; of this one where it has the files of the last snapshot."""
        files, last = self._entry.iceberg, base.snapshots[-1] if base.snapshots else None
        own = last and len(files) > 1 and last["manifest-list"] == self._lake.root + files[-2].name
        ages = [(time, run) for run, time in self._lake.earlier.runs.items()]
        return [*ages, *([(self._lake.manifest.snapshot, self._run)] if own else [])]

    async def _completed(
        self, history: History, base: History, *, sound: bool = False, again: Collection[Age] = ()
    ) -> History:
        """The history with a snapshot for each run that has the table and is not read as it was.

        base: before it was reduced to what is kept.
        sound: whether it stands for all runs that were published before the published one.
        again: the runs whose snapshots are lost.
        """
        anew = dict[str, Age]()
        for (time, run), named in await self._missing(history, sound, again):
            snapshot = await self._snapshot(named, base)
            if snapshot is None and (of := history.as_of(anew.get(named[0].name, (0, "")))):
                # A run before has the same files.
                snapshot = _Snapshot(history, of)
            if snapshot:
                history = with_same_rows(history, *snapshot, run, time, self._place)
            elif described := await self._described_anew(history, run, time):
                history, anew[named[0].name] = described, (time, run)
        return history

    async def _missing(
        self, history: History, sound: bool, again: Collection[Age]
    ) -> list[tuple[Age, tuple[IcebergFile, ...]]]:
        """The runs whose snapshot may be missing, with what their manifests name of the table, the earliest first.

        Where the metadata is sound, they are those that were published while the published run was about to write it:
        the runs since the one before. Where that one is not known, those before the first one that is not missing.
        """
        earlier, missing, ended = self._lake.earlier, list[tuple[Age, tuple[IcebergFile, ...]]](), False
        has = set(map(age_of, history.snapshots))
        newest = sorted(((time, run) for run, time in earlier.runs.items()), reverse=True)[: MOST_SNAPSHOTS - 1]
        for age in newest:
            run = age[1]
            ended = ended or (sound and run == earlier.over)
            if ended and age not in again:
                continue
            named = () if age in has else await self._lake.named_by(run, self._entry.table)
            if named:
                missing.append((age, named))
            if sound and run != earlier.run and earlier.over not in earlier.runs and named is not None:
                standing = history.as_of(age)
                ended = ended or not named or (standing is not None and self._has(standing, named))
        return missing[::-1]

    def _has(self, snapshot: dict[str, Any], named: tuple[IcebergFile, ...]) -> bool:
        return len(named) > 1 and snapshot["manifest-list"] == self._lake.root + named[-2].name

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
