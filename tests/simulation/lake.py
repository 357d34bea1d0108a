"""The law of Iceberg tables, asserted at every change of their metadata."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any

import fastavro
import msgspec

from bqdump.core.documents.codec import decode
from bqdump.core.documents.manifest import File, IcebergFile, Manifest
from bqdump.core.documents.publication import IcebergTables, Latest
from bqdump.core.iceberg.metadata import RUN
from bqdump.core.iceberg.table import HINT, METADATA, run_of
from bqdump.ports.store import ObjectInfo
from simulation.law import Law
from simulation.view import View, metadata_of


class Lake:
    """The Iceberg tables of one target. hold: see Laws."""

    def __init__(self, view: View, hold: Callable[[Law, bool, str], None]) -> None:
        self.view, self._hold = view, hold
        # What completed manifests have named.
        self._named: set[tuple[str, int]] = set()

    def completed(self, manifest: Manifest) -> None:
        """A manifest was written: what it names is there, and true of its files; or a later run replaces them."""
        publishing = self.view.publishing()
        replaced = manifest.replaces and publishing is not None and publishing.age > manifest.age
        for table, objects in metadata_of(manifest).items():
            self._named |= {(one.name, one.generation) for one in objects}
            if replaced:
                continue
            self._there(manifest.run, objects)
            files = {file.name: file for entry in manifest.tables if entry.table == table for file in entry.files}
            if files:
                self._true(manifest, table, objects[-1].name, files)

    def written(self, run: str, name: str, before: tuple[bytes, ObjectInfo] | None) -> None:
        """Somebody has written metadata, or a hint."""
        if not name.endswith(HINT):
            self._hold(Law.OWN_FILES, run_of(name) == run and before is None, f"{run} wrote {name}")
            return
        now = self._hinted(name)
        if before is not None:
            was = run_of(f"{name.removesuffix(HINT)}{before[0].decode()}{METADATA}")
            forward = self.view.age(was) <= self.view.age(now)
            self._hold(Law.LAKE, forward, f"{name} went from {was} to {now}")

    def deleted(self, run: str, info: ObjectInfo) -> None:
        """Somebody has deleted an object."""
        if info.name.startswith(self.view.layout.iceberg):
            self.is_whole()

    def may_delete(self, run: str, info: ObjectInfo) -> bool:
        """Its own metadata, what manifests have named, and hints of removed tables."""
        hint = info.name.endswith(HINT)
        return hint or run_of(info.name) == run or (info.name, info.generation) in self._named

    def is_whole(self) -> None:
        """What the published run names is there, and what latest.json names."""
        latest = self.view.latest()
        manifest = self.view.manifest(latest.run) if latest else None
        self._tables_of(latest, manifest)
        for objects in metadata_of(manifest).values() if manifest else ():
            self._there(f"the published {manifest and manifest.run}", objects)

    def at_the_end(self, manifests: Sequence[Manifest]) -> None:
        """Every manifest that counts has its metadata, and nothing lies about. A hint may be late: it is a convenience.

        Where runs keep their files, a killed task may have left metadata that its run does not name.
        """
        self.is_whole()
        for manifest in manifests:
            for objects in metadata_of(manifest).values():
                self._there(manifest.run, objects)
        if manifests and all(manifest.mode == "replace" for manifest in manifests):
            every = [objects for manifest in manifests for objects in metadata_of(manifest).values()]
            named = {one.name for objects in every for one in objects}
            names = [name for name in self.view.names(self.view.layout.iceberg) if not name.endswith(HINT)]
            about = sorted(set(names) - named)
            self._hold(Law.RESUMABLE, not about, f"metadata lies about: {about}")

    def _tables_of(self, latest: Latest | None, manifest: Manifest | None) -> None:
        """The document that latest.json names has a metadata file of each table that is there."""
        if latest is None or manifest is None:
            return
        wanted = set(metadata_of(manifest))
        found = self.view.store.peek(latest.iceberg) if latest.iceberg else None
        tables = decode(found[0], IcebergTables, latest.iceberg).tables if found else {}
        self._hold(Law.LAKE, set(tables) == wanted, f"latest.json has metadata of {sorted(tables)}, not of {wanted}")
        for name in tables.values():
            self._hold(Law.LAKE, self.view.info(name) is not None, f"{name}, which latest.json names, is not there")

    def _there(self, run: str, objects: Sequence[IcebergFile]) -> None:
        for one in objects:
            info = self.view.info(one.name)
            same = info is not None and (info.generation, info.size) == (one.generation, one.size)
            self._hold(Law.LAKE, same, f"{one.name} of {run} is not there")

    def _true(self, manifest: Manifest, table: str, name: str, files: dict[str, File]) -> None:
        """The current snapshot has exactly these files; all other snapshots have theirs."""
        root = f"{self.view.store.url}/"
        metadata = msgspec.json.decode(self._data(name))
        for snapshot in metadata["snapshots"]:
            run = snapshot["summary"][RUN]
            named: dict[str, tuple[int, int]] = {}
            if snapshot["snapshot-id"] != metadata["current-snapshot-id"] and self.view.manifest(run) is None:
                # It was pruned since.
                continue
            for listed in self._records(snapshot["manifest-list"].removeprefix(root)):
                for entry in self._records(listed["manifest_path"].removeprefix(root)):
                    data = entry["data_file"]
                    named[data["file_path"].removeprefix(root)] = (data["file_size_in_bytes"], data["record_count"])
            if snapshot["snapshot-id"] == metadata["current-snapshot-id"]:
                wanted = {file.name: (file.size, file.rows) for file in files.values()}
                self._hold(Law.LAKE, named == wanted, f"{manifest.run}: {table} is {wanted}, its metadata has {named}")
            else:
                there = all(self.view.info(file) for file in named)
                self._hold(Law.LAKE, there, f"{manifest.run}: files of {run}, a snapshot of {table}, are not there")

    def _records(self, name: str) -> list[dict[str, Any]]:
        return [dict(record) for record in fastavro.reader(io.BytesIO(self._data(name)))]

    def _data(self, name: str) -> bytes:
        found = self.view.store.peek(name)
        self._hold(Law.LAKE, found is not None, f"{name} is not there")
        return found[0] if found else b"{}"

    def _name_of(self, hint: str) -> str:
        found = self.view.store.peek(hint)
        return f"{hint.removesuffix(HINT)}{found[0].decode()}{METADATA}" if found else ""

    def _hinted(self, hint: str) -> str:
        return run_of(self._name_of(hint))
