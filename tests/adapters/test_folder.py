"""The store in a folder that nothing but other tools have written to."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from pathlib import Path
from typing import IO, Any

import pytest

from bqdump.adapters.folder import FolderStore
from bqdump.core.errors import BqdumpError
from bqdump.ports.store import ObjectInfo


async def listed(store: FolderStore) -> list[ObjectInfo]:
    return [info async for page in store.objects("") for info in page]


def test_files_that_no_index_knows_keep_their_generation_until_they_change(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(b"one")
    store = FolderStore(tmp_path)
    before = asyncio.run(listed(store))
    assert [info.name for info in before] == ["a", "b"]
    assert asyncio.run(listed(FolderStore(tmp_path))) == before
    for info in before:
        assert asyncio.run(store.stat(info.name)) == info
        assert asyncio.run(store.read(info.name, 1, 1)) == (b"n", info.generation)
    (tmp_path / "a").write_bytes(b"two")
    os.utime(tmp_path / "a", ns=(1, before[0].generation + 1))
    after = asyncio.run(listed(store))
    assert after[0].generation != before[0].generation
    assert after[0].crc32c != before[0].crc32c
    assert after[1] == before[1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_an_export_on_a_read_only_disk_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = FolderStore(tmp_path / "ä b")
    generation = asyncio.run(store.write("a", b"one", 0))
    connect = sqlite3.connect

    def read_only(place: Path | str, **options: Any) -> Any:
        if isinstance(place, Path):
            return connect(f"{place.as_uri()}?mode=ro", uri=True, **options)
        return connect(place, **options)

    monkeypatch.setattr(sqlite3, "connect", read_only)
    assert [(info.name, info.generation) for info in asyncio.run(listed(store))] == [("a", generation)]
    assert asyncio.run(store.read("a")) == (b"one", generation)
    (tmp_path / "ä b/a").write_bytes(b"other")
    (changed,) = asyncio.run(listed(store))
    assert changed.generation != generation
    with pytest.raises(BqdumpError, match="readonly"):
        asyncio.run(store.write("b", b"two", 0))


def test_the_first_write_gives_every_file_a_generation_that_lasts(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"one")
    store = FolderStore(tmp_path)
    asyncio.run(store.write("b", b"two", 0))
    first = asyncio.run(listed(store))
    assert asyncio.run(listed(FolderStore(tmp_path))) == first
    assert len({info.generation for info in first}) == 2


def test_a_folder_that_cannot_be_looked_at_is_an_error_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(BqdumpError, match=r"cannot list .*/: File name too long\."):
        asyncio.run(FolderStore(tmp_path).folders("n" * 300 + "/"))


def test_a_file_that_nobody_waits_for_any_more_leaves_nothing(tmp_path: Path) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def fill(file: IO[bytes]) -> None:
        file.write(b"half")
        begun.set()
        assert go_on.wait(20)
        file.write(b"and half")

    async def abandoned() -> None:
        store = FolderStore(tmp_path)
        writing = asyncio.create_task(store.upload("a", fill, 0))
        assert await asyncio.to_thread(begun.wait, 20)
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
        go_on.set()

    asyncio.run(abandoned())
    assert list(tmp_path.iterdir()) == []
