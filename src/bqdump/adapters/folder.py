"""The ObjectStore in a local folder: objects are files, to open with any tool.

Generations and origins, which a file system does not have, are kept in a small SQLite index beside the files. A file
that something else has written or changed is an object of a new generation. A folder without an index, such as a copy
of a bucket, stays without one while it is only read: the time of its last change is a file's generation there.
"""

from __future__ import annotations

import asyncio
import errno
import os
import secrets
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO, NamedTuple, TypeVar, cast

from bqdump.adapters.checksums import Summed, crc32c, crc32c_of_file
from bqdump.core.errors import BqdumpError, ConflictError, DeniedError, NotFoundError, UsageError
from bqdump.core.sound import refuse_size
from bqdump.ports.store import NOTE_BYTES, BucketInfo, Copy, Note, ObjectInfo, Stored

Result = TypeVar("Result")
INDEX = ".bqdump-index.sqlite"
PAGE = 1000
SCHEMA = """
CREATE TABLE IF NOT EXISTS objects (
  name TEXT PRIMARY KEY, size INTEGER, changed INTEGER, crc32c TEXT, generation INTEGER, origin TEXT, note INTEGER
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS generations (last INTEGER);
INSERT INTO generations SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM generations);
"""


class _Row(NamedTuple):
    name: str
    size: int
    changed: int
    crc32c: str
    generation: int
    origin: str
    note: int


class FolderStore:
    """A folder, made when it is first written to. Several processes may use it at once."""

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()
        self.url = str(self._root)

    async def describe(self) -> BucketInfo:
        """See ObjectStore. Raises UsageError for a folder that holds something else."""

        def look() -> BucketInfo:
            with _told("look at", self.url):
                if self._root.is_dir() and any(self._root.iterdir()) and not (self._root / INDEX).exists():
                    cause = "it is not empty, and holds no export"
                    raise UsageError("use", self.url, cause, "Name a new folder, an empty one, or one of an export.")
                if self._root.exists() and not self._root.is_dir():
                    raise UsageError("use", self.url, "it is no folder", "Name a new folder or an empty one.")
            return BucketInfo("", 0, 0)

        return await asyncio.to_thread(look)

    async def stat(self, name: str) -> ObjectInfo | None:
        """See ObjectStore."""
        return await self._locked("look at", name, lambda index: _info(self._row(index, name)))

    async def read(self, name: str, start: int = 0, length: int | None = None) -> Stored:
        """See ObjectStore."""

        def read(index: sqlite3.Connection) -> Stored:
            row = self._row(index, name, summed=False)
            if row is None:
                raise NotFoundError("read", f"{self.url}/{name}", "there is no such file")
            if length is None and not start:
                refuse_size(name, row.size)
            with self._path(name).open("rb") as file:
                file.seek(start)
                return Stored(file.read(-1 if length is None else length), row.generation)

        return await self._locked("read", name, read)

    async def write(self, name: str, data: bytes, expect: int | None) -> int:
        """See ObjectStore."""
        return (
            await self._locked("write", name, lambda index: self._put(index, name, data, expect, "", 0), writes=True)
        ).generation

    async def upload(
        self, name: str, fill: Callable[[IO[bytes]], Result], expect: int | None
    ) -> tuple[ObjectInfo, Result]:
        """See ObjectStore."""

        made = self._unnamed()

        def written() -> tuple[str, Result]:
            with _told("write", f"{self.url}/{name}"):
                self._path(name)
                self._root.mkdir(parents=True, exist_ok=True)
                with self._temporary(made) as file:
                    summed = Summed(file)
                    result = fill(cast("IO[bytes]", summed))
                    file.flush()
                    os.fsync(file.fileno())
                return summed.crc32c, result

        try:
            checksum, result = await asyncio.to_thread(written)
            row = await self._locked(
                "write", name, lambda index: self._place(index, name, made, checksum, expect), writes=True
            )
        finally:
            # Also where nobody waits any more for the thread, which may still be at it.
            made.unlink(missing_ok=True)
        return _known(row), result

    async def write_note(self, name: str, data: bytes, expect: int | None) -> int:
        """See ObjectStore."""
        if len(data) > NOTE_BYTES:
            raise ValueError(f"a note of {len(data)} bytes")
        return (
            await self._locked("write", name, lambda index: self._put(index, name, data, expect, "", 1), writes=True)
        ).generation

    async def notes(self, prefix: str) -> AsyncIterator[list[Note]]:
        """See ObjectStore."""

        def read(index: sqlite3.Connection) -> list[Note]:
            rows = [row for row in self._rows(index, prefix) if row.note]
            return [Note(row.name, self._path(row.name).read_bytes(), row.generation) for row in rows]

        found = await self._locked("list", prefix, read)
        for start in range(0, len(found), PAGE):
            yield found[start : start + PAGE]

    async def objects(self, prefix: str) -> AsyncIterator[list[ObjectInfo]]:
        """See ObjectStore."""
        found = await self._locked("list", prefix, lambda index: self._rows(index, prefix))
        for start in range(0, len(found), PAGE):
            yield [info for row in found[start : start + PAGE] if (info := _info(row))]

    async def folders(self, prefix: str) -> list[str]:
        """See ObjectStore."""

        def names() -> list[str]:
            folder = self._path(prefix) if prefix else self._root
            return sorted(item.name for item in folder.iterdir() if item.is_dir()) if folder.is_dir() else []

        return await asyncio.to_thread(names)

    async def copy(self, copies: Sequence[Copy], origin: str) -> list[ObjectInfo | BqdumpError]:
        """See ObjectStore."""

        def each(index: sqlite3.Connection) -> list[ObjectInfo | BqdumpError]:
            return [self._copy(index, wish, origin) for wish in copies]

        return await self._locked("copy files in", "", each, writes=True)

    async def delete(self, objects: Sequence[tuple[str, int]]) -> list[bool | BqdumpError]:
        """See ObjectStore."""

        def each(index: sqlite3.Connection) -> list[bool | BqdumpError]:
            return [self._delete(index, name, generation) for name, generation in objects]

        return await self._locked("delete files in", "", each, writes=True)

    async def close(self) -> None:
        """See ObjectStore."""

    async def _locked(
        self, operation: str, name: str, work: Callable[[sqlite3.Connection], Result], *, writes: bool = False
    ) -> Result:
        """What `work` gives, done in a thread while no other process is at work in the folder.

        What only reads leaves nothing in a folder that is no target yet.
        """

        def locked() -> Result:
            with _told(operation, f"{self.url}/{name}"):
                if writes:
                    self._root.mkdir(parents=True, exist_ok=True)
                place = self._root / INDEX if writes or (self._root / INDEX).exists() else ":memory:"
                with closing(sqlite3.connect(place, timeout=60, isolation_level=None)) as index:
                    index.executescript(SCHEMA)
                    index.execute("BEGIN IMMEDIATE")
                    result = work(index)
                    index.execute("COMMIT")
                    return result

        return await asyncio.to_thread(locked)

    def _path(self, name: str) -> Path:
        parts = name.rstrip("/").split("/")
        if name.startswith("/") or any(part in ("", ".", "..") for part in parts) or "\0" in name:
            raise UsageError("write", f"file {name!r}", "this name would leave the folder")
        return self._root.joinpath(*parts)

    def _row(self, index: sqlite3.Connection, name: str, *, summed: bool = True) -> _Row | None:
        """What the index knows of the file, brought up to date with the file itself.

        summed: whether the checksum is wanted, for which a file that no index knows is read.
        """
        path = self._path(name)
        try:
            status = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            index.execute("DELETE FROM objects WHERE name = ?", (name,))
            return None
        found = index.execute("SELECT * FROM objects WHERE name = ?", (name,)).fetchone()
        if found and (found[1], found[2]) == (status.st_size, status.st_mtime_ns):
            return _Row(*found)
        if not (self._root / INDEX).exists():
            checksum = crc32c_of_file(path) if summed else ""
            return _Row(name, status.st_size, status.st_mtime_ns, checksum, status.st_mtime_ns, "", 0)
        return self._enter(index, name, crc32c_of_file(path), "", 0)

    def _rows(self, index: sqlite3.Connection, prefix: str) -> list[_Row]:
        names = sorted(name for name in self._names() if name.startswith(prefix))
        return [row for name in names if (row := self._row(index, name))]

    def _names(self) -> Iterator[str]:
        for folder, _, files in os.walk(self._root):
            for file in files:
                path = Path(folder, file)
                if not file.startswith(".bqdump-"):
                    yield path.relative_to(self._root).as_posix()

    def _put(
        self, index: sqlite3.Connection, name: str, data: bytes, expect: int | None, origin: str, note: int
    ) -> _Row:
        self._expect(index, name, expect)
        with self._temporary(self._unnamed()) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        return self._place(index, name, Path(file.name), crc32c(data), None, origin, note)

    def _expect(self, index: sqlite3.Connection, name: str, expect: int | None) -> None:
        """Raise ConflictError unless the file has this generation; None takes any."""
        row = self._row(index, name) if expect is not None else None
        current = row.generation if row else 0
        if expect is not None and expect != current:
            raise ConflictError("write", f"{self.url}/{name}", f"its generation is {current}, not {expect}")

    def _unnamed(self) -> Path:
        """Where to write what has no name yet, in the same file system."""
        return self._root / f".bqdump-{secrets.token_hex(8)}"

    @contextmanager
    def _temporary(self, made: Path) -> Iterator[IO[bytes]]:
        """A file that is gone where writing it fails."""
        with made.open("xb") as file:
            try:
                yield file
            except BaseException:
                made.unlink(missing_ok=True)
                raise

    def _place(
        self,
        index: sqlite3.Connection,
        name: str,
        made: Path,
        checksum: str,
        expect: int | None,
        origin: str = "",
        note: int = 0,
    ) -> _Row:
        """Give a finished file its name, atomically."""
        self._expect(index, name, expect)
        path = self._path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        made.replace(path)
        return self._enter(index, name, checksum, origin, note)

    def _enter(self, index: sqlite3.Connection, name: str, checksum: str, origin: str, note: int) -> _Row:
        (generation,) = index.execute("UPDATE generations SET last = last + 1 RETURNING last").fetchone()
        status = self._path(name).stat()
        row = _Row(name, status.st_size, status.st_mtime_ns, checksum, generation, origin, note)
        index.execute("REPLACE INTO objects VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        return row

    def _copy(self, index: sqlite3.Connection, wish: Copy, origin: str) -> ObjectInfo | BqdumpError:
        source = self._row(index, wish.source)
        if source is None or source.generation != wish.source_generation:
            return NotFoundError("copy", f"{self.url}/{wish.source}", "there is no such file of this generation")
        try:
            self._expect(index, wish.target, wish.expect)
            made = self._twin(self._path(wish.source))
            try:
                return _known(self._place(index, wish.target, made, source.crc32c, None, origin))
            finally:
                # Where the target was the same file already, giving it its name has left the twin.
                made.unlink(missing_ok=True)
        except ConflictError as error:
            return error

    def _twin(self, path: Path) -> Path:
        """The same content under a passing name: a link, for no file is ever changed in place; else a copy."""
        with self._temporary(self._unnamed()) as file:
            made = Path(file.name)
        made.unlink()
        try:
            made.hardlink_to(path)
        except OSError:
            shutil.copyfile(path, made)
        return made

    def _delete(self, index: sqlite3.Connection, name: str, generation: int) -> bool:
        row = self._row(index, name)
        if row is None or row.generation != generation:
            return False
        path = self._path(name)
        path.unlink()
        index.execute("DELETE FROM objects WHERE name = ?", (name,))
        for folder in path.parents:
            if folder == self._root or any(folder.iterdir()):
                break
            folder.rmdir()
        return True


def _info(row: _Row | None) -> ObjectInfo | None:
    return _known(row) if row else None


def _known(row: _Row) -> ObjectInfo:
    return ObjectInfo(row.name, row.size, row.crc32c, row.generation, row.origin)


@contextmanager
def _told(operation: str, subject: str) -> Iterator[None]:
    """Raise what the file system refuses as a BqdumpError."""
    try:
        yield
    except PermissionError as error:
        raise DeniedError(operation, subject, error.strerror or str(error)) from error
    except (OSError, sqlite3.Error) as error:
        cause = getattr(error, "strerror", None) or str(error)
        full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) or "full" in cause
        room = "Make room and run the export again: it publishes nothing before it is whole."
        raise BqdumpError(operation, subject, cause, room if full else "Check the disk and the folder.") from error
