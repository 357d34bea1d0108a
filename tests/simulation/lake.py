"""The law of Iceberg tables, asserted at every change of their metadata."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import fastavro
import msgspec

from bqdump.core.documents.codec import decode
from bqdump.core.documents.manifest import IcebergFile, Manifest, TableEntry
from bqdump.core.documents.target import IcebergTables, Latest
from bqdump.core.iceberg.metadata import RUN
from bqdump.core.iceberg.table import HINT, METADATA, run_of
from bqdump.ports.store import ObjectInfo
from simulation.law import Law
from simulation.view import View, metadata_of


class Lake:
    """The Iceberg tables of one target. hold: see Laws."""

    def __init__(self, view: View, hold: Callable[[Law, bool, str], None]) -> None:
        self.view, self._hold = view, hold
        # What completed manifests have named, and the runs that latest.json has named, in order.
        self._named: set[tuple[str, int]] = set()
        self._published: list[str] = []

    def published(self, run: str) -> None:
        """latest.json names a run."""
        self._published.append(run)

    def completed(self, manifest: Manifest) -> None:
        """A manifest was written: what it names is there, and true of its files; or a later run replaces them."""
        publishing = self.view.publishing()
        replaced = manifest.replaces and publishing is not None and publishing.age > manifest.age
        for objects in metadata_of(manifest).values():
            self._named |= {(one.name, one.generation) for one in objects}
            if not replaced:
                self._there(manifest.run, objects)
        for entry in manifest.tables:
            if entry.iceberg and not replaced:
                self._true(manifest, entry)

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

    def _true(self, manifest: Manifest, entry: TableEntry) -> None:
        """Each snapshot has exactly the files of its run, and so has the one that stands for a run published before."""
        metadata = msgspec.json.decode(self._data(entry.iceberg[-1].name))
        before = self._published[: self._published.index(manifest.over) + 1] if manifest.over in self._published else []
        standing = [] if manifest.replaces else [run for run in before if self._is_due(manifest, run)]
        for wrong in untrue(self.view, entry.table, metadata, [*standing, manifest.run], manifest):
            self._hold(Law.LAKE, False, f"{manifest.run}: {wrong}")

    def _is_due(self, manifest: Manifest, run: str) -> bool:
        other = self.view.manifest(run)
        return other is not None and other.mode == "keep" and other.dataset == manifest.dataset

    def _data(self, name: str) -> bytes:
        found = self.view.store.peek(name)
        self._hold(Law.LAKE, found is not None, f"{name} is not there")
        return found[0] if found else b"{}"

    def _name_of(self, hint: str) -> str:
        found = self.view.store.peek(hint)
        return f"{hint.removesuffix(HINT)}{found[0].decode()}{METADATA}" if found else ""

    def _hinted(self, hint: str) -> str:
        return run_of(self._name_of(hint))


def untrue(
    view: View, table: str, metadata: dict[str, Any], runs: Sequence[str], own: Manifest | None = None
) -> Iterator[str]:
    """What is wrong with a table's metadata: with snapshots of runs that have their manifest, and as of runs.

    runs: those as of which their files must be found, if they have the table. own: the run that the current snapshot
    stands for.
    """
    root, ids = f"{view.store.url}/", {one["snapshot-id"]: one for one in metadata["snapshots"]}
    for snapshot in metadata["snapshots"]:
        run = snapshot["summary"][RUN]
        manifest = own if own and own.run == run else view.manifest(run)
        if manifest is None or manifest.snapshot != snapshot["timestamp-ms"]:
            # It was pruned since; its id may be that of a new run.
            continue
        named, wanted = files_of(view, root, snapshot), _wanted(manifest, table)
        if named != wanted:
            yield f"{table} of {run} is {wanted}, its metadata has {named}"
        if metadata["refs"].get(run) != {"snapshot-id": snapshot["snapshot-id"], "type": "tag"}:
            yield f"{table} has no tag {run}"
    for run in dict.fromkeys(runs):
        manifest = own if own and own.run == run else view.manifest(run)
        if manifest is None or not any(one.iceberg for one in _entries(manifest, table)):
            continue
        log = [one for one in metadata["snapshot-log"] if one["timestamp-ms"] <= manifest.snapshot]
        standing = ids.get(log[-1]["snapshot-id"]) if log else None
        named, wanted = files_of(view, root, standing) if standing else {}, _wanted(manifest, table)
        if standing is None or named != wanted:
            yield f"{table} as of {run} is {wanted}, its metadata has {named}"
        if own and run == own.run and log and log[-1]["snapshot-id"] != metadata["current-snapshot-id"]:
            yield f"the current snapshot of {table} does not stand for {run}"
    if metadata["current-snapshot-id"] != metadata["snapshots"][-1]["snapshot-id"]:
        yield f"the current snapshot of {table} is not the last one"


def _wanted(manifest: Manifest, table: str) -> dict[str, tuple[int, int | None, int]]:
    """The data files that a manifest has of a table: bytes, rows and generation."""
    files = [file for one in _entries(manifest, table) for file in one.files]
    return {file.name: (file.size, file.rows, file.generation) for file in files}


def _entries(manifest: Manifest, table: str) -> list[TableEntry]:
    return [entry for entry in manifest.tables if entry.table == table]


def files_of(view: View, root: str, snapshot: dict[str, Any]) -> dict[str, tuple[int, int, int]]:
    """The data files that a snapshot names: bytes, rows and generation; none where an object or a file is missing."""
    named = {}
    for listed in _records(view, snapshot["manifest-list"].removeprefix(root)):
        for one in _records(view, listed["manifest_path"].removeprefix(root)):
            data = one["data_file"]
            name = data["file_path"].removeprefix(root)
            if info := view.info(name):
                named[name] = (data["file_size_in_bytes"], data["record_count"], info.generation)
    return named


def _records(view: View, name: str) -> list[dict[str, Any]]:
    found = view.store.peek(name)
    return [dict(record) for record in fastavro.reader(io.BytesIO(found[0]))] if found else []
