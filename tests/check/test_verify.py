"""Verification finds whatever has happened to any file of an export."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest

from bqdump.adapters.memory import MemoryStore
from bqdump.check.findings import FindingKind, Verified
from bqdump.check.verify import verify
from bqdump.core.documents.run import Owner
from bqdump.core.errors import NotFoundError
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target
from bqdump.export.run import run
from bqdump.export.task import ReadRoute, Task
from bqdump_memory import MemoryEncoder, MemoryReader, MemoryWarehouse

SETTINGS = Settings(project="project", dataset="data", target=Target("gs", "memory"))
FILES = ["big/big_000000000000.csv", "big/big_000000000001.csv", "empty/empty_000000000000.csv"]


async def at_once(call: Callable[[], Any]) -> Any:
    return call()


def exported(settings: Settings = SETTINGS, tables: Sequence[str] = ("big", "empty")) -> MemoryStore:
    """An export; by the read route somebody has begun an attempt at the first table before, and has died."""
    store = MemoryStore()
    clock = itertools.count(1_800_000_000_000)
    warehouse = MemoryWarehouse(store, lambda: next(clock), shard_rows=2)
    for name in tables:
        warehouse.put("project", "data", name, ["one", "two", "three"] if name == "big" else [])
    store.put_now("big/notes.txt", b"beside ours")
    reading = ReadRoute(MemoryReader(warehouse, warehouse.clock), MemoryEncoder(), 1, at_once)
    task = Task(store, warehouse, settings, "r1", Owner("e1", 0), 1, open_read_route=lambda: reading)

    async def export() -> None:
        await store.write_note(task.layout.read_attempt("00000-00000", 0).name, b"{}", 0)
        await run(task)

    asyncio.run(export())
    return store


def kinds(store: MemoryStore, settings: Settings = SETTINGS) -> list[tuple[str, str]]:
    verified: Verified = asyncio.run(verify(store, settings))
    return [(finding.kind.value, finding.file) for finding in verified.findings]


@pytest.mark.parametrize("path", ["{table}/{table}_*.{ext}", "{run}/{table}_*.{ext}", "{table}_*.{ext}"])
def test_a_whole_export_has_no_findings(path: str) -> None:
    settings = Settings(project="project", dataset="data", target=Target("gs", "memory"), path=path)
    assert kinds(exported(settings), settings) == []


@pytest.mark.parametrize("file", FILES)
def test_a_deleted_file_is_missing(file: str) -> None:
    store = exported()
    stored = store.peek(file)
    assert stored
    asyncio.run(store.delete([(file, stored[1].generation)]))
    assert kinds(store) == [(FindingKind.MISSING, file)]


@pytest.mark.parametrize("file", FILES[:2])
def test_any_flipped_byte_is_a_checksum(file: str) -> None:
    whole = exported().peek(file)
    assert whole
    for position in range(len(whole[0])):
        store = exported()
        stored = store.peek(file)
        assert stored
        data = bytearray(stored[0])
        data[position] ^= 1
        store.put_now(file, bytes(data))
        assert kinds(store) == [(FindingKind.CHECKSUM, file)]


@pytest.mark.parametrize("file", FILES)
def test_a_longer_or_shorter_file_is_a_size(file: str) -> None:
    store = exported()
    store.put_now(file, b"x")
    assert kinds(store) == [(FindingKind.SIZE, file)]


def test_a_shard_too_many_is_extra_and_other_files_are_not() -> None:
    store = exported()
    store.put_now("big/big_000000000002.csv", b"four\n")
    assert kinds(store) == [(FindingKind.EXTRA, "big/big_000000000002.csv")]


def test_a_shard_too_many_of_the_only_file_is_extra() -> None:
    store = exported(tables=["empty"])
    assert kinds(store) == []
    store.put_now("empty/empty_000000000007.csv", b"four\n")
    store.put_now("empty/empty_7.csv", b"named by somebody else")
    assert kinds(store) == [(FindingKind.EXTRA, "empty/empty_000000000007.csv")]


def test_what_another_attempt_of_the_read_route_has_left_is_extra() -> None:
    settings = msgspec.structs.replace(SETTINGS, path="{run}/{table}_*.{ext}", route="read")
    store = exported(settings)
    assert [name for name in store.names_now() if name.startswith("r1/big")] == ["r1/big_000001000000.csv"]
    assert kinds(store, settings) == []
    store.put_now("r1/big_000000000000.csv", b"one\n")
    assert kinds(store, settings) == [(FindingKind.EXTRA, "r1/big_000000000000.csv")]


def test_the_same_content_written_again_was_replaced() -> None:
    store = exported()
    stored = store.peek(FILES[0])
    assert stored
    store.put_now(FILES[0], stored[0])
    assert kinds(store) == [(FindingKind.REPLACED, FILES[0])]


def test_nothing_published_is_not_found() -> None:
    with pytest.raises(NotFoundError, match="nothing has been published"):
        asyncio.run(verify(MemoryStore(), SETTINGS))
    with pytest.raises(NotFoundError, match="r9"):
        asyncio.run(verify(exported(), SETTINGS, "r9"))


def copy_of(store: MemoryStore, bucket: str = "elsewhere") -> tuple[MemoryStore, Settings]:
    """The same objects in another store, at other generations; and the settings that lead there."""
    made = MemoryStore(bucket)
    made.put_now("first", b"so that no generation is as it was")
    for name in store.names_now():
        stored = store.peek(name)
        assert stored
        made.put_now(name, stored[0])
    return made, Settings(project="", dataset="", target=Target("gs", bucket))


@pytest.mark.parametrize("bucket", ["elsewhere", "memory"])
@pytest.mark.parametrize("run_id", ["", "r1"])
def test_a_copy_is_verified_by_its_content_and_named_as_one(bucket: str, run_id: str) -> None:
    store, settings = copy_of(exported(), bucket)
    verified = asyncio.run(verify(store, settings, run_id))
    assert (verified.copied, verified.findings, verified.files) == (True, (), 3)
    assert not asyncio.run(verify(exported(), SETTINGS)).copied


@pytest.mark.parametrize("file", FILES)
def test_what_a_copy_lacks_or_has_otherwise_is_found(file: str) -> None:
    store, settings = copy_of(exported())
    stored = store.peek(file)
    assert stored
    store.put_now(file, stored[0] + b"x")
    assert kinds(store, settings) == [(FindingKind.SIZE, file)]
    if stored[0]:
        store.put_now(file, bytes(len(stored[0])))
        assert kinds(store, settings) == [(FindingKind.CHECKSUM, file)]
    changed = store.peek(file)
    assert changed
    asyncio.run(store.delete([(file, changed[1].generation)]))
    assert kinds(store, settings) == [(FindingKind.MISSING, file)]


def test_files_that_were_all_written_again_where_they_were_exported_are_no_copy() -> None:
    store = exported()
    for file in FILES:
        stored = store.peek(file)
        assert stored
        store.put_now(file, stored[0])
    assert kinds(store) == [(FindingKind.REPLACED, file) for file in FILES]


def test_one_file_at_its_own_generation_shows_that_this_is_no_copy() -> None:
    store = exported()
    for name in [*FILES[1:], SETTINGS.layout.run("r1").manifest.name]:
        stored = store.peek(name)
        assert stored
        store.put_now(name, stored[0])
    assert kinds(store) == [(FindingKind.REPLACED, file) for file in FILES[1:]]
