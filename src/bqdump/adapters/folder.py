"""The ObjectStore in a local folder: objects are files, to open with any tool."""

from __future__ import annotations

import asyncio
import os
import shutil
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, TypeVar, cast

from bqdump.adapters.checksums import Summed, crc32c
from bqdump.adapters.folder_errors import as_target_error
from bqdump.adapters.folder_index import INDEX, Index, Row, locked_index
from bqdump.adapters.folder_paths import (
    OWN,
    folders_below,
    name_rules,
    path_of,
    refuse_other_spelling,
)
from bqdump.adapters.folder_temporary import clear_abandoned, passing_name, temporary
from bqdump.core.documents.layout import STATE, is_note
from bqdump.core.documents.notes import NOTE_BYTES
from bqdump.core.documents.validation import refuse_size
from bqdump.core.errors import BqdumpError, ConflictError, NotFoundError, UnavailableError, UsageError
from bqdump.core.plan.file_names import NameRules
from bqdump.ports.store import BucketInfo, Copy, Note, ObjectInfo, Stored

Result = TypeVar("Result")
PAGE = 1000
# So many are copied in one step: until it is done, each takes its room once more where links cannot be made.
COPIES = 50


class _FillError(Exception):
    """What `fill` has raised by itself: it is not the folder's failure, whatever it is."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(cause)
        self.cause = cause


class FolderStore:
    """A folder, made when it is first written to. Several processes may use it at once."""

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()
        self.url = str(self._root)
        # How names are treated there; not known before the first write.
        self._rules: NameRules | None = None

    async def describe(self) -> BucketInfo:
        """See ObjectStore. Raises UsageError for a folder that holds something else."""

        def look() -> BucketInfo:
            with as_target_error("look at", self.url):
                if self._root.is_dir() and not (self._root / INDEX).exists() and any(self._foreign()):
                    if any(self._root.rglob(STATE)):
                        cause = "it is a copy of an export, and a run can replace files only where they were written"
                        raise UsageError("use", self.url, cause, "Name a new folder or an empty one.")
                    cause = "it is not empty, and holds no export"
                    raise UsageError("use", self.url, cause, "Name a new folder, an empty one, or one of an export.")
                if self._root.exists() and not self._root.is_dir():
                    raise UsageError("use", self.url, "it is no folder", "Name a new folder or an empty one.")
                return BucketInfo("", 0, 0, names=name_rules(self._root))

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
            await self._locked("write", name, lambda index: self._put(index, name, data, expect), writes=True)
        ).generation

    async def upload(
        self, name: str, fill: Callable[[IO[bytes]], Result], expect: int | None
    ) -> tuple[ObjectInfo, Result]:
        """See ObjectStore."""

        abandoned = threading.Event()

        def stored() -> tuple[ObjectInfo, Result]:
            with as_target_error("write", f"{self.url}/{name}"):
                self._path(name)
                self._ready()
                with temporary(self._root) as (made, file):
                    summed = Summed(file)
                    try:
                        result = fill(cast("IO[bytes]", summed))
                    except Exception as error:
                        if summed.failed:
                            raise summed.failed from None
                        raise _FillError(error) from None
                    if abandoned.is_set():
                        raise UnavailableError("write", f"{self.url}/{name}", "its task has been cancelled")
                    _sync(file)
                    with locked_index(self._root, writes=True) as index:
                        return self._place(index, name, made, summed.crc32c, expect).info, result

        try:
            return await asyncio.to_thread(stored)
        except _FillError as error:
            raise error.cause from None
        finally:
            # The thread may still be writing.
            abandoned.set()

    async def write_note(self, name: str, data: bytes, expect: int | None) -> int:
        """See ObjectStore."""
        if len(data) > NOTE_BYTES or not is_note(name):
            raise ValueError(f"a note of {len(data)} bytes called {name}")
        return await self.write(name, data, expect)

    async def notes(self, prefix: str) -> AsyncIterator[list[Note]]:
        """See ObjectStore."""

        def read(index: Index) -> list[Note]:
            rows = [row for row in index.below(prefix, is_note) if row.size <= NOTE_BYTES]
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
            with as_target_error("list", f"{self.url}/{prefix}"):
                return folders_below(self._root, prefix)

        return await asyncio.to_thread(names)

    async def copy(self, copies: Sequence[Copy], origin: str) -> list[ObjectInfo | BqdumpError]:
        """See ObjectStore."""

        def each(index: Index) -> list[ObjectInfo | BqdumpError]:
            return [result for some in _some(copies) for result in self._copy(index, some, origin)]

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
            with as_target_error(operation, f"{self.url}/{name}"):
                if writes:
                    self._ready()
                with locked_index(self._root, writes=writes) as index:
                    return work(index)

        return await asyncio.to_thread(locked)

    def _path(self, name: str) -> Path:
        return path_of(self._root, name)

    def _foreign(self) -> Iterator[Path]:
        return (path for path in self._root.iterdir() if not path.name.startswith(OWN))

    def _ready(self) -> None:
        """Make the folder; the first time, look how it treats names and remove what dead processes have left."""
        self._root.mkdir(parents=True, exist_ok=True)
        if self._rules is None:
            clear_abandoned(self._root)
            self._rules = name_rules(self._root)

    def _put(self, index: Index, name: str, data: bytes, expect: int | None) -> Row:
        index.expect(name, expect)
        with temporary(self._root) as (made, file):
            file.write(data)
            _sync(file)
            return self._place(index, name, made, crc32c(data), None)

    def _place(self, index: Index, name: str, made: Path, checksum: str, expect: int | None, origin: str = "") -> Row:
        """Give a finished file its name, where that is free and no other one's."""
        index.expect(name, expect)
        if self._rules:
            refuse_other_spelling(self._root, name, self._rules)
        return index.place(name, made, checksum, origin)

    def _copy(self, index: Index, wishes: Sequence[Copy], origin: str) -> list[ObjectInfo | BqdumpError]:
        """Copy some files in two steps: whoever is killed between them leaves files whose origin is known."""
        results: list[ObjectInfo | BqdumpError] = []
        made: list[Path] = []
        try:
            for wish in wishes:
                made.append(passing_name(self._root))
                results.append(self._announced(index, wish, made[-1], origin))
            index.settle()
            for number, wish in enumerate(wishes):
                if isinstance(result := results[number], ObjectInfo):
                    try:
                        row = self._place(index, wish.target, made[number], result.crc32c, wish.expect, origin)
                        results[number] = row.info
                    except ConflictError as error:
                        results[number] = error
            return results
        finally:
            for path in made:
                # Where the target was the same file already, giving it its name has left the twin.
                path.unlink(missing_ok=True)

    def _announced(self, index: Index, wish: Copy, made: Path, origin: str) -> ObjectInfo | BqdumpError:
        """The source, of which a twin has been made and announced as the next content of the target."""
        source = index.find(wish.source)
        if source is None or source.generation != wish.source_generation:
            return NotFoundError("copy", f"{self.url}/{wish.source}", "there is no such file of this generation")
        try:
            index.expect(wish.target, wish.expect)
        except ConflictError as error:
            return error
        _twin(self._path(wish.source), made)
        index.announce(wish.target, made, source.crc32c, origin)
        return source.info

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


def _some(copies: Sequence[Copy]) -> Iterator[Sequence[Copy]]:
    return (copies[start : start + COPIES] for start in range(0, len(copies), COPIES))


def _sync(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _twin(path: Path, made: Path) -> None:
    """The same content under a second name: a link, for no file is ever changed in place; else a copy."""
    try:
        made.hardlink_to(path)
    except OSError:
        shutil.copyfile(path, made)
