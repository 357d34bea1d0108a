"""Verification finds Iceberg metadata that is missing or was changed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from bqdump.adapters.memory import MemoryStore
from bqdump.check.findings import FindingKind
from bqdump.check.read_back import ReadOptions
from bqdump.check.verify import verify
from bqdump.ports.data_reader import DataFile, Digest
from bqdump.ports.store import Stored
from retain.scene import KEEP, LAYOUT, SETTINGS, Scene
from retain.test_iceberg import tables
from retain.test_time_travel import LAKE, objects

PATHS = pytest.mark.parametrize("path", [KEEP, "{table}/{table}_*.{ext}"], ids=["keep", "replace"])
EACH = pytest.mark.parametrize("number", [0, 1, 2], ids=["manifest", "list", "metadata"])


class Sound:
    """A reader that finds every data file as it should be."""

    def check_room(self, size: int) -> None:
        """See DataReader."""

    async def digest(
        self, file: DataFile, content: AsyncIterator[bytes], *, checksums: bool, texts: bool = False
    ) -> Digest:
        """See DataReader."""
        return Digest(len([data async for data in content]))

    def close(self) -> None:
        """See DataReader."""


class Rotten(MemoryStore):
    """A store in which a bit of one object flips. The object is the same otherwise."""

    rotten = ""

    async def read(self, name: str, start: int = 0, length: int | None = None) -> Stored:
        """See ObjectStore."""
        data, generation = await super().read(name, start, length)
        return Stored(data[:-1] + bytes([data[-1] ^ 1]) if name == self.rotten else data, generation)


@pytest.fixture
def scene() -> Scene:
    return Scene(Rotten(page=100))


def found(scene: Scene, run: str = "", *, reads: bool = False) -> list[tuple[str, str, str]]:
    reading = ReadOptions(Sound()) if reads else None
    verified = asyncio.run(verify(scene.store, SETTINGS, run, reading))
    # Stands in for a reader of files, which counts no rows.
    return [(one.kind.value, one.table, one.file) for one in verified.findings if one.kind != FindingKind.ROWS]


@PATHS
@pytest.mark.parametrize("reads", [False, True])
def test_what_is_whole_has_no_findings(scene: Scene, path: str, reads: bool) -> None:
    scene.run("r1", "r2", "r3", path=path, **LAKE)
    assert found(scene, reads=reads) == []
    if path == KEEP:
        scene.prune(keep_last=2)
        assert found(scene, reads=reads) == found(scene, "r2", reads=reads) == []


@PATHS
@EACH
@pytest.mark.parametrize("changes", ["deleted", "longer", "other", "written again"])
def test_each_object_that_was_lost_or_changed_is_named(scene: Scene, path: str, number: int, changes: str) -> None:
    scene.run("r1", "r2", "r3", path=path, **LAKE)
    name = objects(scene, "r3", "items")[number]
    stored = scene.store.peek(name)
    assert stored
    scene.delete_now(name)
    made = {"longer": stored[0] + b" ", "other": stored[0][:-1] + b"?", "written again": stored[0]}
    if changes != "deleted":
        scene.store.put_now(name, made[changes])
    kind = {"deleted": "missing", "longer": "size", "other": "checksum", "written again": "replaced"}[changes]
    assert found(scene) == [(kind, "items", name)]
    scene.run("r4", path=path, **LAKE)
    assert found(scene) == []


def test_bytes_are_compared_when_files_are_read(scene: Scene) -> None:
    scene.run("r1", **LAKE)
    name = objects(scene, "r1", "items")[1]
    assert isinstance(scene.store, Rotten)
    scene.store.rotten = name
    assert found(scene) == []
    assert found(scene, reads=True) == [("checksum", "items", name)]


def test_the_document_that_leads_to_the_metadata_and_what_prune_has_written_are_looked_at(scene: Scene) -> None:
    scene.run("r1", "r2", "r3", **LAKE)
    scene.prune(keep_last=2)
    moved = tables(scene, "r3").tables["items"]
    scene.delete_now(moved)
    assert found(scene) == [("missing", "items", moved)]
    listed = LAYOUT.run("r3").iceberg.name
    scene.delete_now(listed)
    assert found(scene) == [("missing", "", listed)]
    scene.store.put_now(listed, b"{")
    assert found(scene) == [("unreadable", "", listed)]
    scene.run("r4", **LAKE)
    assert found(scene) == []


def test_a_copy_has_other_generations(scene: Scene) -> None:
    scene.run("r1", **LAKE)
    copy = Scene()
    copy.now = scene.now
    for name in scene.names():
        stored = scene.store.peek(name)
        assert stored
        copy.store.put_now(name, b"")
        copy.store.put_now(name, stored[0])
    assert found(copy) == []
    name = objects(copy, "r1", "items")[2]
    copy.delete_now(name)
    assert found(copy) == [("missing", "items", name)]


def test_a_run_without_iceberg_tables_asks_for_none(scene: Scene) -> None:
    scene.run("r1", **LAKE | {"iceberg": False})
    assert found(scene) == []
