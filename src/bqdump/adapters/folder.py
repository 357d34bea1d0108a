"""The ObjectStore in a local folder: objects are files, to open with any tool."""

from __future__ import annotations

import asyncio
import errno
import os
import secrets
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TypeVar, cast

from bqdump.adapters.checksums import Summed, crc32c
from bqdump.adapters.folder_index import INDEX, OWN, Index, Row, locked_index, path_of
from bqdump.core.errors import BqdumpError, ConflictError, DeniedError, NotFoundError, UsageError
from bqdump.core.notes import NOTE_BYTES
from bqdump.core.sound import refuse_size
from bqdump.ports.store import BucketInfo, Copy, Note, ObjectInfo, Stored

Result = TypeVar("Result")
PAGE = 1000


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
        return await self._locked("look at", name, lambda index: (row := index.find(name)) and row.info)

    async def read(self, name: str, start: int = 0, length: int | None = None) -> Stored:
        """See ObjectStore."""

        def read(index: Index) -> Stored:
            row = index.find(name, summed=False)
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
        return row.info, result

    async def write_note(self, name: str, data: bytes, expect: int | None) -> int:
        """See ObjectStore."""
        if len(data) > NOTE_BYTES:
            raise ValueError(f"a note of {len(data)} bytes")
        return (
            await self._locked("write", name, lambda index: self._put(index, name, data, expect, "", 1), writes=True)
        ).generation

    async def notes(self, prefix: str) -> AsyncIterator[list[Note]]:
        """See ObjectStore."""

        def read(index: Index) -> list[Note]:
            rows = [row for row in index.below(prefix) if row.note]
            return [Note(row.name, self._path(row.name).read_bytes(), row.generation) for row in rows]

        found = await self._locked("list", prefix, read)
        for start in range(0, len(found), PAGE):
            yield found[start : start + PAGE]

    async def objects(self, prefix: str) -> AsyncIterator[list[ObjectInfo]]:
        """See ObjectStore."""
        found = await self._locked("list", prefix, lambda index: index.below(prefix))
        for start in range(0, len(found), PAGE):
            yield [row.info for row in found[start : start + PAGE]]

    async def folders(self, prefix: str) -> list[str]:
        """See ObjectStore."""

        def names() -> list[str]:
            with _told("list", f"{self.url}/{prefix}"):
                folder = self._path(prefix) if prefix else self._root
                return sorted(item.name for item in folder.iterdir() if item.is_dir()) if folder.is_dir() else []

        return await asyncio.to_thread(names)

    async def copy(self, copies: Sequence[Copy], origin: str) -> list[ObjectInfo | BqdumpError]:
        """See ObjectStore."""

        def each(index: Index) -> list[ObjectInfo | BqdumpError]:
            return [self._copy(index, wish, origin) for wish in copies]

        return await self._locked("copy files in", "", each, writes=True)

    async def delete(self, objects: Sequence[tuple[str, int]]) -> list[bool | BqdumpError]:
        """See ObjectStore."""

        def each(index: Index) -> list[bool | BqdumpError]:
            return [self._delete(index, name, generation) for name, generation in objects]

        return await self._locked("delete files in", "", each, writes=True)

    async def close(self) -> None:
        """See ObjectStore."""

    async def _locked(
        self, operation: str, name: str, work: Callable[[Index], Result], *, writes: bool = False
    ) -> Result:
        """What `work` gives, done in a thread while no other process is at work in the folder.

        What only reads leaves nothing in a folder that is no target yet.
        """

        def locked() -> Result:
            with _told(operation, f"{self.url}/{name}"), locked_index(self._root, writes=writes) as index:
                return work(index)

        return await asyncio.to_thread(locked)

    def _path(self, name: str) -> Path:
        return path_of(self._root, name)

    def _put(self, index: Index, name: str, data: bytes, expect: int | None, origin: str, note: int) -> Row:
        index.expect(name, expect)
        with self._temporary(self._unnamed()) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        return self._place(index, name, Path(file.name), crc32c(data), None, origin, note)

    def _unnamed(self) -> Path:
        """Where to write what has no name yet, in the same file system."""
        return self._root / f"{OWN}{secrets.token_hex(8)}"

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
        index: Index,
        name: str,
        made: Path,
        checksum: str,
        expect: int | None,
        origin: str = "",
        note: int = 0,
    ) -> Row:
        """Give a finished file its name, atomically."""
        index.expect(name, expect)
        path = self._path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        made.replace(path)
        return index.enter(name, checksum, origin, note)

    def _copy(self, index: Index, wish: Copy, origin: str) -> ObjectInfo | BqdumpError:
        source = index.find(wish.source)
        if source is None or source.generation != wish.source_generation:
            return NotFoundError("copy", f"{self.url}/{wish.source}", "there is no such file of this generation")
        try:
            index.expect(wish.target, wish.expect)
            made = self._twin(self._path(wish.source))
            try:
                return self._place(index, wish.target, made, source.crc32c, None, origin).info
            finally:
                # Where the target was the same file already, giving it its name has left the twin.
                made.unlink(missing_ok=True)
        except ConflictError as error:
            return error

    def _twin(self, path: Path) -> Path:
        """The same content under a passing name: a link, for no file is ever changed in place; else a copy."""
        made = self._unnamed()
        try:
            made.hardlink_to(path)
        except OSError:
            shutil.copyfile(path, made)
        return made

    def _delete(self, index: Index, name: str, generation: int) -> bool:
        row = index.find(name)
        if row is None or row.generation != generation:
            return False
        path = self._path(name)
        path.unlink()
        index.forget(name)
        for folder in path.parents:
            if folder == self._root or any(folder.iterdir()):
                break
            folder.rmdir()
        return True


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
