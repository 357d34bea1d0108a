"""The store in a folder whose files were written by other tools."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
import threading
import unicodedata
from collections.abc import Callable, Coroutine
from contextlib import closing
from pathlib import Path
from typing import IO, Any

import pytest

from adapters.folder_faults import Killed, fault, unsynchronized
from bqdump.adapters.checksums import crc32c
from bqdump.adapters.folder.content import contains
from bqdump.adapters.folder.index import locked_index
from bqdump.adapters.folder.paths import name_rules, path_of
from bqdump.adapters.folder.store import FolderStore
from bqdump.core.documents.path_template import NameRules
from bqdump.core.errors import BqdumpError, TargetError, UsageError
from bqdump.core.progress.log_events import LogEvent
from bqdump.ports.store import Copy, ObjectInfo
from logged import logged


async def listed(store: FolderStore) -> list[ObjectInfo]:
    return [info async for page in store.objects("") for info in page]


def test_files_without_an_index_keep_their_generation_until_they_change(tmp_path: Path) -> None:
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


def test_an_export_on_a_read_only_disk_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_the_first_write_assigns_every_file_a_permanent_generation(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"one")
    store = FolderStore(tmp_path)
    asyncio.run(store.write("b", b"two", 0))
    first = asyncio.run(listed(store))
    assert asyncio.run(listed(FolderStore(tmp_path))) == first
    assert len({info.generation for info in first}) == 2


def test_a_folder_that_cannot_be_listed_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(BqdumpError, match=r"cannot list .*/: File name too long\."):
        asyncio.run(FolderStore(tmp_path).folders("n" * 300 + "/"))


def test_a_cancelled_upload_leaves_no_file(tmp_path: Path) -> None:
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


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder next to the target, with files of others."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "x").write_bytes(b"not ours")
    return folder


def link_table(root: Path, outside: Path) -> None:
    (root / "a").symlink_to(outside)


def link_deep(root: Path, outside: Path) -> None:
    (root / "b").mkdir()
    (root / "b/a").symlink_to(outside)


def link_file(root: Path, outside: Path) -> None:
    (root / "a").mkdir()
    (root / "a/x").symlink_to(outside / "x")


def link_to_nothing(root: Path, outside: Path) -> None:
    (root / "a").mkdir()
    (root / "a/x").symlink_to(outside / "new")


@pytest.mark.parametrize(("place", "name"), [(link_table, "a/x"), (link_table, "a/new"), (link_deep, "b/a/x"),
                                             (link_file, "a/x"), (link_to_nothing, "a/x")])  # fmt: skip
def test_links_inside_a_target_are_not_followed(
    tmp_path: Path, outside: Path, caplog: pytest.LogCaptureFixture, place: Callable[[Path, Path], None], name: str
) -> None:
    root = tmp_path / "target"
    store = FolderStore(root)
    generation = asyncio.run(store.write("source", b"ours", 0))
    place(root, outside)

    async def upload(expect: int | None) -> None:
        await store.upload(name, lambda file: file.write(b"ours"), expect)

    tries: list[Callable[[], Coroutine[Any, Any, Any]]] = [
        lambda: store.write(name, b"ours", None), lambda: store.write(name, b"ours", 0),
        lambda: upload(None), lambda: upload(0), lambda: store.stat(name), lambda: store.read(name),
        lambda: store.delete([(name, 1)]), lambda: store.copy([Copy("source", generation, name, 0)], "o"),
        lambda: store.copy([Copy(name, generation, "copy", 0)], "o"),
    ]  # fmt: skip
    for attempt in tries:
        with pytest.raises(TargetError, match=r"target/(b/)?a(/x)?: it is a symbolic link.* not followed"):
            asyncio.run(attempt())
    assert [info.name for info in asyncio.run(listed(store))] == ["source"]
    assert logged(caplog, LogEvent.LINK_SKIPPED)
    real = [path.name for path in sorted(root.iterdir()) if path.is_dir() and not path.is_symlink()]
    assert asyncio.run(store.folders("")) == real
    assert [(path.name, path.read_bytes()) for path in outside.iterdir()] == [("x", b"not ours")]
    assert asyncio.run(store.read("source")).data == b"ours"


def test_files_are_read_while_the_index_is_locked(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    generation = asyncio.run(store.write("a", b"one", 0))
    with closing(sqlite3.connect(tmp_path / ".bqdump-index.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert asyncio.run(asyncio.wait_for(store.read("a", 1, 2), 10)) == (b"ne", generation)


def test_a_file_that_was_replaced_without_the_index_is_read_with_a_new_generation(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    generation = asyncio.run(store.write("a", b"one", 0))
    (tmp_path / "a").write_bytes(b"others")
    data, later = asyncio.run(store.read("a"))
    assert (data, later > generation) == (b"others", True)
    assert asyncio.run(store.read("a")) == (b"others", later)


def test_threads_take_turns_instead_of_trying_to_lock_the_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, most = set[int](), list[int]()

    class Counted(sqlite3.Connection):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            opened.add(id(self))
            most.append(len(opened))

        def close(self) -> None:
            opened.discard(id(self))
            super().close()

    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *args, **options: connect(*args, factory=Counted, **options))
    store = FolderStore(tmp_path)

    async def write() -> None:
        await asyncio.gather(*(store.write(f"{number}", b"one", 0) for number in range(40)))

    asyncio.run(write())
    assert set(most) == {1}


def test_files_of_a_folder_without_an_index_are_read_at_the_same_time(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"one")
    read = threading.Thread(target=lambda: asyncio.run(FolderStore(tmp_path).read("a")), daemon=True)
    with locked_index(tmp_path, writes=False):
        read.start()
        read.join(10)
        assert not read.is_alive()


def test_the_target_itself_may_be_a_link(tmp_path: Path, outside: Path) -> None:
    (tmp_path / "link").symlink_to(outside)
    store = FolderStore(tmp_path / "link")
    generation = asyncio.run(store.write("a/b", b"one", 0))
    assert asyncio.run(FolderStore(outside).read("a/b")) == (b"one", generation)


def test_an_index_that_is_a_link_is_refused(tmp_path: Path, outside: Path) -> None:
    root = tmp_path / "target"
    root.mkdir()
    (root / ".bqdump-index.sqlite").symlink_to(outside / "index")
    for work in (FolderStore(root).write("a", b"one", 0), FolderStore(root).stat("a")):
        with pytest.raises(TargetError, match="symbolic link"):
            asyncio.run(work)
    assert not (outside / "index").exists()


def test_anything_but_files_and_folders_is_refused(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "target")
    asyncio.run(store.write("b", b"one", 0))
    os.mkfifo(tmp_path / "target/a")
    for work in (store.read("a"), store.stat("a"), store.write("a", b"two", None)):
        with pytest.raises(TargetError, match="not a regular file"):
            asyncio.run(work)
    assert [info.name for info in asyncio.run(listed(store))] == ["b"]


def test_a_hard_link_to_a_file_elsewhere_is_replaced_and_that_file_stays(tmp_path: Path, outside: Path) -> None:
    root = tmp_path / "target"
    store = FolderStore(root)
    asyncio.run(store.write("source", b"ours", 0))
    (root / "x").hardlink_to(outside / "x")
    info = asyncio.run(store.stat("x"))
    assert info
    asyncio.run(store.write("x", b"ours", info.generation))
    assert (outside / "x").read_bytes() == b"not ours"


def test_files_whose_names_are_not_utf_8_are_ignored(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    asyncio.run(store.write("a", b"one", 0))
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9")).write_bytes(b"latin 1")
    assert [info.name for info in asyncio.run(listed(store))] == ["a"]


def folding(*folded: str) -> Callable[[Path], bool]:
    """Whether a path exists on a file system that ignores case or Unicode forms."""

    def fold(name: str) -> str:
        if "case" in folded:
            name = name.casefold()
        return unicodedata.normalize("NFD", name) if "form" in folded else name

    return lambda path: fold(path.name) in {fold(item.name) for item in path.parent.iterdir()}


@pytest.mark.parametrize("folded", [(), ("case",), ("form",), ("case", "form")])
def test_the_rules_of_a_file_system_for_names_are_detected(tmp_path: Path, folded: tuple[str, ...]) -> None:
    rules = name_rules(tmp_path / "new/folder", folding(*folded))
    assert (rules.ignores_case, rules.ignores_form) == ("case" in folded, "form" in folded)
    assert rules.part_bytes == os.pathconf(tmp_path, "PC_NAME_MAX")
    assert list(tmp_path.iterdir()) == []


def test_the_rules_of_this_file_system_are_detected(tmp_path: Path) -> None:
    (tmp_path / "a\u00e9").touch()
    rules = name_rules(tmp_path)
    assert rules.ignores_case == (tmp_path / "A\u00e9").exists()
    assert rules.ignores_form == (tmp_path / "ae\u0301").exists()


def test_a_file_that_differs_in_case_is_not_replaced_if_case_is_ignored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bqdump.adapters.folder.store.name_rules", lambda root: NameRules(ignores_case=True))
    store = FolderStore(tmp_path)
    asyncio.run(store.write("Orders/Orders.csv", b"one", 0))
    for name in ("orders/x.csv", "Orders/ORDERS.csv"):
        with pytest.raises(TargetError, match="does not distinguish the two names"):
            asyncio.run(store.write(name, b"two", 0))
    asyncio.run(store.write("Orders/other.csv", b"two", 0))
    assert [info.name for info in asyncio.run(listed(store))] == ["Orders/Orders.csv", "Orders/other.csv"]


@pytest.mark.parametrize("name", ["a/..\\..\\b", "C:/a", "a:b", "con/a.csv", "a./b"])
def test_names_that_windows_reserves_are_refused_there(tmp_path: Path, name: str) -> None:
    assert path_of(tmp_path, name, windows=False).is_relative_to(tmp_path)
    with pytest.raises(UsageError, match="it cannot exist on Windows"):
        path_of(tmp_path, name, windows=True)


def test_a_folder_is_looked_for_among_so_many_entries(tmp_path: Path) -> None:
    (tmp_path / "deep/er/_bqdump").mkdir(parents=True)
    (tmp_path / "deep/loop").symlink_to(tmp_path)
    assert contains(tmp_path, "_bqdump")
    assert not contains(tmp_path, "_bqdumper")
    assert contains(tmp_path / "deep/er", "_bqdump", most=0)
    for number in range(20):
        (tmp_path / f"{number}").touch()
    assert contains(tmp_path, "_bqdump", most=23)
    assert not contains(tmp_path, "_bqdump", most=20)


def test_only_the_temporary_files_of_dead_processes_are_removed(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib; from bqdump.adapters.folder.content import temporary\n"
        "with temporary(pathlib.Path(sys.argv[1])) as (path, file):\n"
        "  print(path.name, flush=True); sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    killed, alive = (subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(2))
    with killed, alive:
        assert killed.stdout
        assert alive.stdout
        names = [process.stdout.readline().decode().strip() for process in (killed, alive) if process.stdout]
        killed.kill()
        killed.wait()
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
        asyncio.run(FolderStore(tmp_path).write("a", b"one", 0))
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted([".bqdump-index.sqlite", names[1], "a"])
        assert alive.stdin
        alive.stdin.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == [".bqdump-index.sqlite", "a"]


def test_a_write_within_one_clock_tick_is_another_generation_even_after_a_kill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FolderStore(tmp_path)
    with unsynchronized():
        monkeypatch.setattr(os, "fsync", lambda file: os.utime(file, ns=(7, 7)))
        first = asyncio.run(store.write("a", b"one", 0))
        with fault(0, "killed", ("sql COMMIT",)), pytest.raises(Killed):
            asyncio.run(store.write("a", b"two", first))
    data, generation = asyncio.run(store.read("a"))
    info = asyncio.run(store.stat("a"))
    assert (data, generation > first) == (b"two", True)
    assert info
    assert info.crc32c == crc32c(b"two")
