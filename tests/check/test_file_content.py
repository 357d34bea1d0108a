"""Whoever reads a data file gets what the manifest records, or an error: the same one, whatever reads it."""

from __future__ import annotations

import asyncio
import atexit
import hashlib
import os
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import Any, NamedTuple

import msgspec
import pytest

from bqdump import file_content
from bqdump.adapters.data_files import DataFiles
from bqdump.adapters.duckdb_shell import DuckDBShell
from bqdump.adapters.folder.store import FolderStore
from bqdump.adapters.memory import MemoryStore
from bqdump.adapters.movers import StreamMover
from bqdump.check.compare_values import compare_values
from bqdump.check.query import Export
from bqdump.check.read_back import ReadOptions, data_file, digest_file
from bqdump.copying.survey import Place, not_as_exported
from bqdump.core.documents.codec import encode
from bqdump.core.documents.manifest import File, Manifest, TableEntry
from bqdump.core.errors import VerificationError
from bqdump.core.exit_codes import DIFFERENCE, exit_code
from bqdump.core.progress.events import ignore
from bqdump.file_content import OtherFileError, digest_of
from bqdump.ports.store import Copy, ObjectStore, Stored
from bqdump.restoration.uploads import upload_files
from bqdump.ui.file import preview
from restore.world import SETTINGS, ExportedWorld

READER = DataFiles()
# Not at the module's end: a process may come back to it, where several share the tests.
atexit.register(READER.close)
TABLE = "one"
OLD = ExportedWorld({TABLE: ["a", "b"], "two": ["c"]})
NEW = ExportedWorld({TABLE: ["a", "x"], "two": ["c"]})


class Scene(NamedTuple):
    """A place with two runs: manifest, and the one before it. folder: where it is, if it is one. used: see readers."""

    store: ObjectStore
    manifest: Manifest
    before: Manifest
    folder: Path | None
    used: list[Any]

    @property
    def entry(self) -> TableEntry:
        """The table whose file is damaged."""
        return next(entry for entry in self.manifest.tables if entry.table == TABLE)

    @property
    def file(self) -> File:
        """Its only file."""
        (file,) = self.entry.files
        return file


def placed(world: ExportedWorld, store: ObjectStore, run: str) -> Manifest:
    """The manifest of a run whose files are in the store, each with its SHA-256."""

    def file_in(file: File) -> File:
        found = world.store.peek(file.name)
        assert found
        name = f"{run}/{file.name}"
        generation = asyncio.run(store.write(name, found[0], 0))
        sha256 = hashlib.sha256(found[0]).hexdigest()
        return msgspec.structs.replace(file, name=name, generation=generation, sha256=sha256)

    tables = [msgspec.structs.replace(entry, files=tuple(map(file_in, entry.files))) for entry in world.manifest.tables]
    return msgspec.structs.replace(world.manifest, run=run, tables=tuple(tables))


@pytest.fixture(params=["memory", "folder"])
def scene(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    folder = tmp_path if request.param == "folder" else None
    store: ObjectStore = FolderStore(tmp_path) if folder else MemoryStore()
    made = Scene(store, placed(NEW, store, "r2"), placed(OLD, store, "r1"), folder, [])
    names = {file.name for run in (made.manifest, made.before) for entry in run.tables for file in entry.files}
    read = store.read

    def observed(name: str, start: int = 0, length: int | None = None) -> Awaitable[Stored]:
        if name in names:
            assert file_content.__file__ in callers(), f"{name} is opened elsewhere"
        return read(name, start, length)

    monkeypatch.setattr(store, "read", observed)
    yield made
    asyncio.run(store.close())


def callers() -> set[str]:
    """The files of the functions that are being called in this thread."""
    frame: FrameType | None = sys._getframe()
    files = set[str]()
    while frame:
        files.add(frame.f_code.co_filename)
        frame = frame.f_back
    return files


async def verify_read(scene: Scene) -> None:
    described = data_file(scene.manifest, scene.entry, scene.file)
    options = ReadOptions(READER)
    scene.used.append(await digest_file(scene.store, described, scene.entry, scene.file, options, ignore))


async def diff_values(scene: Scene) -> None:
    scene.used.append(await compare_values(scene.store, scene.before, scene.manifest, READER))


async def sql(scene: Scene) -> None:
    shell = DuckDBShell()
    try:
        export = Export(scene.manifest, shell)
        statement = f"FROM {TABLE}"
        await export.attach(scene.store, statement)
        # What is put there later is not what is queried.
        damage(scene, b"later")
        scene.used.append(shell.run(statement).rows)
    finally:
        shell.close()


async def upload(scene: Scene) -> None:
    bucket = MemoryStore("via")
    task = SimpleNamespace(store=scene.store, bucket=bucket)
    restore: Any = SimpleNamespace(
        uploads_files=True, uploads=asyncio.Semaphore(1), task=task, uploaded=lambda name: f"up/{name}"
    )
    try:
        await upload_files(restore, scene.entry)
    finally:
        scene.used.extend(bucket.names_now())


async def copy(scene: Scene) -> None:
    target, file = MemoryStore("copy"), scene.file
    mover = StreamMover(scene.store, target)
    wish = Copy(file.name, file.generation, file.name, 0, file.size, file.crc32c, file.sha256)
    try:
        if await mover.move(wish) is None:
            # Else the run counts as pruned.
            await scene.store.write(SETTINGS.layout.run(scene.manifest.run).manifest.name, encode(scene.manifest), 0)
            task: Any = SimpleNamespace(source=Place(scene.store, SETTINGS))
            surveyed: Any = SimpleNamespace(run=scene.manifest.run, manifest=scene.manifest)
            raise await not_as_exported(task, surveyed, [file.name], None)
    finally:
        scene.used.extend(target.names_now())


async def digest(scene: Scene) -> None:
    scene.used.append(await digest_of(scene.store, scene.file, table=TABLE))


async def console(scene: Scene) -> None:
    settings = {"format": "csv", "header": False}
    shown, compared = await preview(scene.store, scene.file, settings, TABLE)
    assert compared
    scene.used.append(shown)


READERS = {
    "ui": console,
    "verify --read": verify_read,
    "diff --values": diff_values,
    "sql": sql,
    "restore --via": upload,
    "copy": copy,
    "copy --sign": digest,
}


def content(scene: Scene, file: File) -> bytes:
    if scene.folder:
        return (scene.folder / file.name).read_bytes()
    assert isinstance(scene.store, MemoryStore)
    return scene.store._objects[file.name].data


def damage(scene: Scene, data: bytes) -> None:
    """Other bytes under the same generation, as the store has recorded it, and at the same time."""
    if scene.folder:
        path = scene.folder / scene.file.name
        status = path.stat()
        path.write_bytes(data)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        return
    assert isinstance(scene.store, MemoryStore)
    scene.store._objects[scene.file.name] = scene.store._objects[scene.file.name]._replace(data=data)


def other_bytes(scene: Scene) -> None:
    data = content(scene, scene.file)
    damage(scene, bytes([data[0] ^ 1]) + data[1:])


def truncated(scene: Scene) -> None:
    damage(scene, content(scene, scene.file)[:-1])


def longer(scene: Scene) -> None:
    damage(scene, content(scene, scene.file) + b"d\n")


def written_again(scene: Scene) -> None:
    asyncio.run(scene.store.write(scene.file.name, content(scene, scene.file), None))


def of_another_file(scene: Scene) -> None:
    (other,) = next(entry.files for entry in scene.manifest.tables if entry.table == "two")
    damage(scene, content(scene, other))


def deleted(scene: Scene) -> None:
    asyncio.run(scene.store.delete([(scene.file.name, scene.file.generation)]))


@pytest.mark.parametrize("harm", [other_bytes, truncated, longer, written_again, of_another_file, deleted])
@pytest.mark.parametrize("reader", READERS)
def test_another_file_than_the_manifest_records_is_refused_by_whatever_reads_it(
    reader: str, harm: Callable[[Scene], None], scene: Scene
) -> None:
    harm(scene)
    with pytest.raises(VerificationError, match=scene.file.name) as raised:
        asyncio.run(READERS[reader](scene))
    assert exit_code(raised.value) == DIFFERENCE
    if reader != "copy":
        assert isinstance(raised.value, OtherFileError)
        assert raised.value.subject == f"table {TABLE}"
    assert scene.used == []


@pytest.mark.parametrize("reader", READERS)
def test_the_file_that_the_manifest_records_is_read(reader: str, scene: Scene) -> None:
    asyncio.run(READERS[reader](scene))
    assert len(scene.used) == 1
