"""Reading back finds what a listing cannot: bytes that are no longer those whose checksum the store has recorded."""

from __future__ import annotations

import asyncio
import atexit
import itertools
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bqdump.adapters.data_files import DataFiles
from bqdump.adapters.memory import MemoryStore
from bqdump.check.findings import Verified
from bqdump.check.read_back import ReadOptions, turn
from bqdump.check.verify import verify
from bqdump.core.documents.manifest import Manifest
from bqdump.core.documents.run import Owner
from bqdump.core.errors import DocumentError, UsageError
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target
from bqdump.export.publish.count import count_rows
from bqdump.export.run import run
from bqdump.export.task import Task
from bqdump.ports.store import Stored
from bqdump.repository.manifests import load_manifest
from bqdump_memory import MemoryWarehouse

READER = DataFiles()
# Not at the module's end: a process may come back to it, where several share the tests.
atexit.register(READER.close)
FORMATS = ("csv", "avro")


def settings(format_: str, path: str = "{table}/{table}_*.{ext}") -> Settings:
    return Settings(
        project="project", dataset="data", target=Target("gs", "memory"), format=format_, path=path, header=False
    )


TABLES = {"big": ["one", "two", "three"], "small": ["four"]}


def exported(
    format_: str, *runs: str, path: str = "{table}/{table}_*.{ext}", tables: dict[str, list[str]] = TABLES
) -> MemoryStore:
    store = MemoryStore()
    clock = itertools.count(1_800_000_000_000)
    warehouse = MemoryWarehouse(store, lambda: next(clock), shard_rows=2)
    for table, rows in tables.items():
        warehouse.put("project", "data", table, rows)
    for name in runs or ("r1",):
        asyncio.run(run(Task(store, warehouse, settings(format_, path), name, Owner(f"e{name}", 0), 1)))
    return store


def read(
    store: MemoryStore, format_: str, run: str = "", parts: int = 1, path: str = "{table}/{table}_*.{ext}"
) -> Verified:
    return asyncio.run(verify(store, settings(format_, path), run, ReadOptions(READER, parts)))


def found(verified: Verified) -> list[tuple[str, str]]:
    return [(finding.kind.value, finding.file or finding.table) for finding in verified.findings]


def files(store: MemoryStore) -> list[str]:
    return [name for name in store.names_now() if not name.startswith("_bqdump/")]


def damage(store: MemoryStore, name: str, data: bytes) -> None:
    """Other bytes under the same generation, size and checksum, as a broken disk would give them."""
    store._objects[name] = store._objects[name]._replace(data=data)


@pytest.mark.parametrize("format_", FORMATS)
def test_a_whole_export_is_read_whole(format_: str) -> None:
    verified = read(exported(format_), format_)
    assert verified.findings == ()
    assert verified.read is not None
    assert (verified.read.files, verified.read.rows, verified.read.bytes) == (3, 4, verified.bytes)


@pytest.mark.parametrize("format_", FORMATS)
@given(data=st.data())
def test_any_byte_that_flips_in_silence_is_found(format_: str, data: st.DataObject) -> None:
    store = exported(format_, tables={"small": ["four", "five", "six"]})
    name = data.draw(st.sampled_from(files(store)))
    whole = store._objects[name].data
    position, bit = data.draw(st.integers(0, len(whole) - 1)), data.draw(st.integers(0, 7))
    flipped = whole[:position] + bytes([whole[position] ^ 1 << bit]) + whole[position + 1 :]
    for damaged in (flipped, whole[:position]):
        damage(store, name, damaged)
        assert found(read(store, format_)) == [("checksum", name)]
    damage(store, name, whole)
    assert found(read(store, format_)) == []


@pytest.mark.parametrize("path", ["{table}/{table}_*.{ext}", "{run}/{table}_*.{ext}"])
def test_a_third_after_each_of_three_exports_reads_every_file(path: str) -> None:
    runs = ("r1", "r2", "r3")
    store = exported("csv", *(runs[:1] if "{run}" not in path else runs), path=path)
    reads, sampled = list[int](), set[tuple[str, int]]()
    for name in runs:
        if "{run}" not in path:
            store = exported("csv", *runs[: runs.index(name) + 1])
        verified = read(store, "csv", name, parts=3, path=path)
        assert verified.findings == ()
        assert verified.read is not None
        reads.append(verified.read.files)
        manifest = asyncio.run(load_manifest(store, settings("csv", path), name)).value
        sampled |= {(entry.table, shard) for entry, file in turn(manifest, ReadOptions(READER, 3))
                    for shard, one in enumerate(entry.files) if one == file}  # fmt: skip
    assert len(sampled) == 3
    assert 0 not in reads


def test_rows_that_differ_from_the_manifest_s_are_found() -> None:
    store = exported("avro")
    where = "_bqdump/runs/r1/manifest.json"
    manifest = msgspec.json.decode(store._objects[where].data, type=Manifest)
    big, small = manifest.tables
    first, second = big.files
    wrong = msgspec.structs.replace(big, files=(msgspec.structs.replace(first, rows=5), second), rows=6)
    store.put_now(where, msgspec.json.encode(msgspec.structs.replace(manifest, tables=(wrong, small))))
    verified = read(store, "avro")
    assert found(verified) == [("rows", first.name), ("rows", "big")]
    assert [(f.expected, f.found) for f in verified.findings] == [("5 rows", "2 rows"), ("6 rows", "3 rows")]


def test_rows_of_text_are_held_against_those_that_bigquery_had() -> None:
    store = exported("csv")
    where = "_bqdump/runs/r1/manifest.json"
    manifest = msgspec.json.decode(store._objects[where].data, type=Manifest)
    assert [(table.rows, table.expected_rows) for table in manifest.tables] == [(None, 3), (None, 1)]
    wrong = msgspec.structs.replace(manifest.tables[0], expected_rows=4)
    store.put_now(where, msgspec.json.encode(msgspec.structs.replace(manifest, tables=(wrong, manifest.tables[1]))))
    assert found(read(store, "csv")) == [("rows", "big")]


class ChangingStore(MemoryStore):
    """Replaces (or deletes) a file as soon as somebody begins to read it."""

    deleting = False

    async def read(self, name: str, start: int = 0, length: int | None = None) -> Stored:
        if name.startswith("big/"):
            if self.deleting:
                self._objects.pop(name, None)
            else:
                self.put_now(name, b"other\n")
        return await super().read(name, start, length)


@pytest.mark.parametrize("deleting", [False, True])
def test_a_file_that_is_replaced_while_it_is_read_is_reported(deleting: bool) -> None:
    before = exported("csv")
    store = ChangingStore()
    store._objects, store._generation, store.deleting = before._objects, before._generation, deleting
    assert found(read(store, "csv")) == [
        ("replaced", name) for name in files(exported("csv")) if name.startswith("big")
    ]


def test_a_disk_without_room_is_found_before_anything_is_read_or_billed(monkeypatch: pytest.MonkeyPatch) -> None:
    store = exported("csv")
    requested: list[int] = []

    def check_room(size: int) -> None:
        requested.append(size)
        raise UsageError("read files", "temporary files", "full")

    monkeypatch.setattr(READER, "check_room", check_room)
    monkeypatch.setattr(store, "read", refuse_files(store))
    with pytest.raises(UsageError, match="full"):
        read(store, "csv")
    assert requested == [sum(len((store.peek(name) or (b"",))[0]) for name in files(store))]


def refuse_files(store: MemoryStore) -> Callable[..., Coroutine[Any, Any, Stored]]:
    """Documents can be read, files cannot."""
    original = store.read

    async def documents(name: str, start: int = 0, length: int | None = None) -> Stored:
        assert name.startswith("_bqdump/")
        return await original(name, start, length)

    return documents


class Flipping(MemoryStore):
    """Changes one bit of the first `flips` parts of each object that are read."""

    def __init__(self, store: MemoryStore, flips: int) -> None:
        super().__init__()
        self.__dict__.update(store.__dict__)
        self._flips = flips
        self._read: dict[str, int] = {}

    async def read(self, name: str, start: int = 0, length: int | None = None) -> Stored:
        stored = await super().read(name, start, length)
        seen = self._read[name] = self._read.get(name, 0) + (length is not None)
        if length is None or not stored.data or seen > self._flips:
            return stored
        return stored._replace(data=stored.data[:-1] + bytes((stored.data[-1] ^ 1,)))


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize(("flips", "differs"), [(1, False), (2, False), (99, True)])
def test_a_file_that_was_changed_on_the_way_is_read_again_before_it_differs(
    format_: str, flips: int, differs: bool
) -> None:
    verified = read(Flipping(exported(format_), flips), format_)
    assert {kind for kind, _ in found(verified)} == ({"checksum"} if differs else set())


@pytest.mark.parametrize("flips", [1, 2])
def test_rows_are_counted_again_where_their_recorded_number_was_changed_in_transit(flips: int) -> None:
    store = exported("avro")
    listed = [info for name in files(store) if (info := store.peek(name))]
    infos = [info for _, info in listed]
    required = asyncio.run(count_rows(store, "avro", infos))
    assert asyncio.run(count_rows(Flipping(store, flips), "avro", infos)) == required
    with pytest.raises(DocumentError):
        asyncio.run(count_rows(Flipping(store, 99), "avro", infos))
