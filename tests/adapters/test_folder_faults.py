"""A folder whose processes are killed, or whose disk is full, at any step. The index is restored from the files."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

import pytest

from adapters.folder_faults import Killed, fault, unsynchronized
from bqdump.adapters.checksums import crc32c
from bqdump.adapters.folder import content
from bqdump.adapters.folder.store import FolderStore
from bqdump.adapters.memory import MemoryStore
from bqdump.core.documents.layout import Layout, is_note
from bqdump.core.documents.run import Owner
from bqdump.core.errors import BqdumpError, TargetError
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target
from bqdump.export.run import run
from bqdump.export.task import ReadRoute, Task
from bqdump.ports.store import Copy, Note, ObjectInfo
from bqdump_memory import MemoryEncoder, MemoryReader, MemoryWarehouse
from tiers import points

Result = TypeVar("Result")
LAYOUT = Layout("p/")
RUN = LAYOUT.run("r1")
UNIT = "00000-00000"
OLD, NEW = b'{"old":1}', b'{"new":1}'
# A document of every kind.
NAMES = {
    "latest": LAYOUT.latest.name, "publishing": LAYOUT.publishing.name, "erasing": LAYOUT.erasing.name,
    "entry": LAYOUT.entry("r1", 1).name,
    "planner": RUN.planner.name, "plan": RUN.plan.name, "units": RUN.units("n"), "claim": RUN.claim(UNIT).name,
    "reading": RUN.read_attempt(UNIT, 0).name, "session": RUN.session(UNIT).name, "receipt": RUN.receipt(UNIT).name,
    "failure": RUN.failure(UNIT, 0, "x").name, "failed report": RUN.failed_report("x"), "publisher": RUN.publisher.name,
    "intent": RUN.intent.name, "manifest": RUN.manifest.name, "contents": RUN.contents.name, "report": RUN.report,
    "staged file": RUN.staged(UNIT, 0, "p/t/t_*.csv").replace("*", "000000000000"), "file": "p/t/t_000000000000.csv",
}  # fmt: skip


def shape(name: str) -> tuple[int, bool, bool]:
    """What the steps of a write depend on: the folders that it may create, and the call that writes."""
    return name.count("/"), is_note(name), name.endswith(".csv")


# One document of each shape.
SHAPES = list({shape(name): document for document, name in NAMES.items()}.values())
REPLACED, KEPT = "{table}/{table}_*.{ext}", "{run}/{table}/{table}_*.{ext}"
KILLS = ("killed", "full", "denied")
REFUSED = {"full": "Free some space", "denied": "Make the folder writable", "read-only": "Make the folder writable"}


class Seen(NamedTuple):
    """What a new process finds under a name."""

    info: ObjectInfo | None
    data: bytes


async def seen(folder: Path, name: str) -> Seen:
    """Read a file in every way, and compare the results."""
    store = FolderStore(folder)
    info = await store.stat(name)
    assert [one async for page in store.objects(name) for one in page] == ([info] if info else [])
    if info is None:
        return Seen(None, b"")
    data, generation = await store.read(name)
    assert (info.generation, info.crc32c, info.size) == (generation, crc32c(data), len(data))
    notes = [note async for page in store.notes(name.rpartition("/")[0] + "/") for note in page if note.name == name]
    assert notes == ([Note(name, data, generation, info.updated)] if is_note(name) else [])
    return Seen(info, data)


async def put(store: FolderStore, name: str, data: bytes, expect: int | None) -> None:
    if is_note(name):
        await store.write_note(name, data, expect)
    elif name.endswith(".csv"):
        await store.upload(name, lambda file: file.write(data), expect)
    else:
        await store.write(name, data, expect)


def own_files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.startswith(".bqdump-"))


def interrupted(work: Callable[[], Coroutine[Any, Any, Any]], number: int, kind: str) -> bool:
    """Whether the work met the fault. A full disk raises a clear error."""
    with fault(number, kind) as met:
        failed = None
        try:
            done(work())
        except (Killed, TargetError) as error:
            failed = error
    assert failed is None or isinstance(failed, Killed) or REFUSED[kind] in str(failed)
    return met.went_off


def done(work: Coroutine[Any, Any, Result]) -> Result:
    """The result of work in a folder, which waits for nothing here. An event loop would take longer than the work."""
    try:
        work.send(None)
    except StopIteration as ended:
        return cast("Result", ended.value)
    raise AssertionError("it waits")


async def in_this_thread(work: Callable[..., Any], *given: Any) -> Any:
    return work(*given)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing waits for the disk or another thread, and files of dead processes are removed without waiting an hour."""
    monkeypatch.setattr(content, "LONG_AGO", -1)
    monkeypatch.setattr(asyncio, "to_thread", in_this_thread)
    with unsynchronized():
        yield


@pytest.mark.parametrize(("replaces", "kind"), [(False, "killed"), (True, "killed"), (False, "full"), (True, "denied")])
@pytest.mark.parametrize("document", SHAPES)
def test_a_write_is_complete_or_absent_after_a_fault_at_any_step(
    tmp_path: Path, document: str, replaces: bool, kind: str
) -> None:
    name = NAMES[document]
    for number in points(itertools.count()):
        folder = tmp_path / str(number)
        done(put(FolderStore(folder), "other", b"{}", 0))
        if replaces:
            done(put(FolderStore(folder), name, OLD, 0))
        before = done(seen(folder, name))
        generation = before.info.generation if before.info else 0
        met = interrupted(partial(put, FolderStore(folder), name, NEW, generation), number, kind)
        after = done(seen(folder, name))
        assert after.data == NEW or after == before
        current = after.info.generation if after.info else 0
        assert (current == generation) == (after.data != NEW)
        done(put(FolderStore(folder), name, NEW, current))
        assert done(seen(folder, name)).data == NEW
        assert own_files(folder) == [".bqdump-index.sqlite"]
        if not met:
            assert number > 3
            break


@pytest.mark.parametrize("kind", KILLS)
@pytest.mark.parametrize("replaces", [False, True], ids=["new", "replaced"])
def test_a_copy_has_its_origin_after_a_fault_at_any_step(tmp_path: Path, replaces: bool, kind: str) -> None:
    names = ["p/a/a.csv", "p/b/b.csv"]
    for number in points(itertools.count()):
        folder = tmp_path / str(number)
        sources = [f"{RUN.staging}{UNIT}.0/{place}" for place in range(2)]
        for source in sources:
            done(put(FolderStore(folder), source, NEW, 0))
        for name in names if replaces else ():
            done(put(FolderStore(folder), name, OLD, 0))
        before = [done(seen(folder, name)) for name in names]
        staged = [done(seen(folder, source)).info for source in sources]

        async def copy(folder: Path = folder, before: list[Seen] = before, staged: Any = staged) -> list[Any]:
            return await FolderStore(folder).copy(
                [Copy(source.name, source.generation, name, there.info.generation if there.info else 0)
                 for source, name, there in zip(staged, names, before, strict=True)], "run/1",
            )  # fmt: skip

        met = interrupted(copy, number, kind)
        now = [done(seen(folder, name)) for name in names]
        for there, old in zip(now, before, strict=True):
            assert there == old or (there.data == NEW and there.info and there.info.origin == "run/1")
        results = done(copy(before=now))
        assert [isinstance(one, BqdumpError) for one in results] == [False, False]
        assert [done(seen(folder, name)).data for name in names] == [NEW, NEW]
        assert own_files(folder) == [".bqdump-index.sqlite"]
        if not met:
            assert number > 8
            break


@pytest.mark.parametrize("kind", KILLS)
def test_a_file_is_deleted_or_unchanged_after_a_fault_at_any_step(tmp_path: Path, kind: str) -> None:
    name = NAMES["receipt"]
    for number in points(itertools.count()):
        folder = tmp_path / str(number)
        done(put(FolderStore(folder), name, OLD, 0))
        before = done(seen(folder, name))
        assert before.info
        wish = (name, before.info.generation)

        async def delete(folder: Path = folder, wish: tuple[str, int] = wish) -> list[bool | BqdumpError]:
            return await FolderStore(folder).delete([wish])

        met = interrupted(delete, number, kind)
        after = done(seen(folder, name))
        assert after == (before if after.info else (None, b""))
        assert done(delete()) == [after.info is not None]
        done(put(FolderStore(folder), name, NEW, 0))
        assert done(seen(folder, name)).data == NEW
        if not met:
            assert number > 3
            break


@pytest.mark.parametrize(
    ("kind", "step", "path"),
    [("killed", "sql COMMIT", REPLACED), ("killed", "os.rename", REPLACED), ("killed", "os.rename", KEPT),
     ("full", "sql COMMIT", REPLACED), ("full", "open", KEPT), ("denied", "os.rename", REPLACED),
     ("denied", "os.mkdir", KEPT), ("read-only", "sql COMMIT", KEPT), ("read-only", "open", REPLACED)],
)  # fmt: skip
def test_a_run_interrupted_by_a_fault_is_completed_by_the_next_start(
    tmp_path: Path, kind: str, step: str, path: str
) -> None:
    for number in points(itertools.count()):
        folder = tmp_path / str(number)
        with fault(number, kind, (step,)) as met:
            failed = None
            try:
                asyncio.run(run(export(folder, path)))
            except BaseException as error:
                failed = error
        if failed is None:
            # Only the report can be missing.
            assert (folder / "_bqdump/latest.json").exists()
        elif kind != "killed":
            # The error is about the folder, not about a table, which would be an TablesFailedError.
            assert isinstance(failed, TargetError)
            assert str(folder) in str(failed)
            assert REFUSED[kind] in str(failed)
        state = folder / "_bqdump/runs/r1"
        if kind == "full":
            # Otherwise a resumed run would wait for the dead planner.
            assert (state / "plan.json").exists() or not (state / "planner.json").exists()
        assert list(state.glob("failures/**/*.json")) == []
        outcome = asyncio.run(run(export(folder, path)))
        assert outcome.state == "published"
        [file] = [item for item in folder.rglob("*.csv") if "_bqdump" not in item.parts]
        assert file.read_bytes().count(b"\n") == 10
        assert done(seen(folder, "_bqdump/latest.json")).info
        assert own_files(folder) == [".bqdump-index.sqlite"]
        if not met.went_off:
            assert number > 3
            break


def export(folder: Path, path: str) -> Task:
    """Start the only task of a run, with the same index each time."""
    warehouse = MemoryWarehouse(MemoryStore("bucket"), lambda: 1_700_000_000_000)
    warehouse.put("p", "d", "t", [f"row {number}" for number in range(10)])
    reading = ReadRoute(MemoryReader(warehouse, warehouse.clock, batch_rows=7), MemoryEncoder(), 2, _call)
    settings = Settings(project="p", dataset="d", target=Target("file", str(folder)), route="read", path=path)
    return Task(FolderStore(folder), warehouse, settings, "r1", Owner("e1", 0), 1, open_read_route=lambda: reading)


async def _call(call: Callable[[], Any]) -> Any:
    return call()
