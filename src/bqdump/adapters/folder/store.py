"""The ObjectStore in a local folder: objects are regular files."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, TypeVar, cast

from bqdump.adapters.checksums import Summed, crc32c
from bqdump.adapters.folder.content import (
    FillError,
    as_target_error,
    clear_abandoned,
    link,
    passing_name,
    refuse_other_content,
    sync,
    temporary,
)
from bqdump.adapters.folder.index import Index, Row, content_of, locked_index, read_recorded
from bqdump.adapters.folder.paths import folders_below, name_rules, path_of, refuse_other_spelling, remove_empty
from bqdump.core.documents.layout import is_note
from bqdump.core.documents.notes import NOTE_BYTES
from bqdump.core.documents.path_template import NameRules
from bqdump.core.errors import BqdumpError, ConflictError, NotFoundError, UnavailableError
from bqdump.ports.store import Abilities, BucketInfo, Copy, Note, ObjectInfo, Stored

Result = TypeVar("Result")
PAGE = 1000
# The number of files per step of copying. Where links are not supported, a step needs their size in free space.
COPIES = 50


class FolderStore:
    """A folder, created by the first write. Several processes may use it at the same time."""

    abilities = Abilities(dated=False)

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()
        self.url = str(self._root)
        # The file system's rules for names, once they are known.
        self._rules: NameRules | None = None

    async def describe(self) -> BucketInfo:
        """See ObjectStore. Raises UsageError for a folder that contains anything but an export."""

        def look() -> BucketInfo:
            with as_target_error("look at", self.url):
                refuse_other_content(self._root)
                return BucketInfo("", 0, 0, names=name_rules(self._root))

        return await asyncio.to_thread(look)

    async def stat(self, name: str) -> ObjectInfo | None:
        return await self._locked("look at", name, lambda index: (row := index.find(name)) and row.info)

    async def read(self, name: str, start: int = 0, length: int | None = None) -> Stored:
        def read() -> Stored:
            with as_target_error("read", f"{self.url}/{name}"):
                if content := read_recorded(self._root, name, start, length):
                    return content
                with locked_index(self._root, writes=False) as index:
                    row = index.find(name, summed=False)
                    if row is None:
                        raise NotFoundError("read", f"{self.url}/{name}", "no such file")
                    with self._path(name).open("rb") as file:
                        return content_of(file, row, start, length)

        return await asyncio.to_thread(read)

    async def write(self, name: str, data: bytes, expect: int | None) -> int:
        row = await self._locked("write", name, lambda index: self._put(index, name, data, expect), writes=True)
        return row.generation

    async def upload(
        self, name: str, fill: Callable[[IO[bytes]], Result], expect: int | None
    ) -> tuple[ObjectInfo, Result]:
        abandoned = threading.Event()

        def stored() -> tuple[ObjectInfo, Result]:
            with as_target_error("write", f"{self.url}/{name}"):
                self._path(name)
                self._ready()
                with temporary(self._root) as (temporary_path, file):
                    summed = Summed(file)
                    try:
                        result = fill(cast("IO[bytes]", summed))
                    except Exception as error:
                        if summed.failed:
                            raise summed.failed from None
                        raise FillError(error) from None
                    if abandoned.is_set():
                        raise UnavailableError("write", f"{self.url}/{name}", "cancelled")
                    sync(file)
                    with locked_index(self._root, writes=True) as index:
                        return self._place(index, name, temporary_path, summed.crc32c, expect).info, result

        try:
            return await asyncio.to_thread(stored)
        except FillError as error:
            raise error.cause from None
        finally:
            # If this is cancelled, the thread is still writing.
            abandoned.set()

    async def stream(self, name: str, pieces: AsyncIterator[bytes], expect: int | None) -> ObjectInfo:
        subject = f"{self.url}/{name}"

        def begin(open_: ExitStack) -> tuple[Path, IO[bytes]]:
            with as_target_error("write", subject):
                self._path(name)
                self._ready()
                return open_.enter_context(temporary(self._root))

        def add(summed: Summed, piece: bytes) -> None:
            with as_target_error("write", subject):
                summed.write(piece)

        def end(path: Path, file: IO[bytes], summed: Summed) -> ObjectInfo:
            with as_target_error("write", subject):
                sync(file)
                with locked_index(self._root, writes=True) as index:
                    return self._place(index, name, path, summed.crc32c, expect).info

        with ExitStack() as open_:
            path, file = await asyncio.to_thread(begin, open_)
            summed = Summed(file)
            async for piece in pieces:
                await asyncio.to_thread(add, summed, piece)
            return await asyncio.to_thread(end, path, file, summed)

    async def write_note(self, name: str, data: bytes, expect: int | None) -> int:
        if len(data) > NOTE_BYTES or not is_note(name):
            raise ValueError(f"invalid note {name}: {len(data)} bytes")
        return await self.write(name, data, expect)

    async def notes(self, prefix: str, start: str = "") -> AsyncIterator[list[Note]]:
        def content(name: str) -> bytes:
            with self._path(name).open("rb") as file:
                return file.read(NOTE_BYTES + 1)

        def read(index: Index) -> list[Note]:
            rows = [row for row in index.below(prefix, is_note) if row.name >= start]
            return [Note(row.name, content(row.name), row.generation, row.info.updated) for row in rows]

        notes = await self._locked("list", prefix, read)
        for first in range(0, len(notes), PAGE):
            yield notes[first : first + PAGE]

    async def objects(self, prefix: str, start: str = "") -> AsyncIterator[list[ObjectInfo]]:
        rows = await self._locked("list", prefix, lambda index: index.below(prefix))
        infos = [row.info for row in rows if row.name >= start]
        for first in range(0, len(infos), PAGE):
            yield infos[first : first + PAGE]

    async def folders(self, prefix: str) -> list[str]:
        def names() -> list[str]:
            with as_target_error("list", f"{self.url}/{prefix}"):
                return folders_below(self._root, prefix)

        return await asyncio.to_thread(names)

    async def in_folders(self, prefix: str, name: str) -> list[ObjectInfo]:
        names = [f"{prefix}{folder}/{name}" for folder in await self.folders(prefix)]
        rows = await self._locked("list", prefix, lambda index: [index.find(name) for name in names])
        return [row.info for row in rows if row]

    async def copy(self, copies: Sequence[Copy], origin: str) -> list[ObjectInfo | BqdumpError]:
        def each(index: Index) -> list[ObjectInfo | BqdumpError]:
            steps = (copies[first : first + COPIES] for first in range(0, len(copies), COPIES))
            return [result for step in steps for result in self._copy(index, step, origin)]

        return await self._locked("copy files in", "", each, writes=True)

    async def append(self, name: str, generation: int, data: bytes, scratch: str) -> ObjectInfo:
        """See ObjectStore. The file is copied, since no file is changed in place."""
        if (info := await self.stat(name)) is None or info.generation != generation:
            raise ConflictError("append to", f"{self.url}/{name}", "it has another generation, or does not exist")

        def fill(file: IO[bytes]) -> None:
            with self._path(name).open("rb") as source:
                shutil.copyfileobj(source, file)
            file.write(data)

        return (await self.upload(name, fill, generation))[0]

    async def delete(self, objects: Sequence[tuple[str, int]]) -> list[bool | BqdumpError]:
        def each(index: Index) -> list[bool | BqdumpError]:
            return [self._delete(index, name, generation) for name, generation in objects]

        return await self._locked("delete files in", "", each, writes=True)

    async def discard_uploads(self, names: Collection[str]) -> None:
        """See ObjectStore. There are none."""

    async def close(self) -> None:
        """See ObjectStore."""

    async def _locked(
        self, operation: str, name: str, work: Callable[[Index], Result], *, writes: bool = False
    ) -> Result:
        """The result of `work`, done in a thread while no other process works in the folder.

        Without `writes`, nothing is created in a folder that contains no export yet.
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

    def _ready(self) -> None:
        """Create the folder. The first time, detect its rules for names and remove files of dead processes."""
        self._root.mkdir(parents=True, exist_ok=True)
        if self._rules is None:
            clear_abandoned(self._root)
            self._rules = name_rules(self._root)

    def _put(self, index: Index, name: str, data: bytes, expect: int | None) -> Row:
        index.expect(name, expect)
        with temporary(self._root) as (path, file):
            file.write(data)
            sync(file)
            return self._place(index, name, path, crc32c(data), None)

    def _place(self, index: Index, name: str, path: Path, checksum: str, expect: int | None, origin: str = "") -> Row:
        """Give a complete file its name, if the generation there is the expected one."""
        index.expect(name, expect)
        if self._rules:
            refuse_other_spelling(self._root, name, self._rules)
        return index.place(name, path, checksum, origin)

    def _copy(self, index: Index, wishes: Sequence[Copy], origin: str) -> list[ObjectInfo | BqdumpError]:
        """Copy some files in two steps, so that the origin of every copy is recorded even if this process is killed."""
        results: list[ObjectInfo | BqdumpError] = []
        links: list[Path] = []
        try:
            for wish in wishes:
                links.append(passing_name(self._root))
                results.append(self._announced(index, wish, links[-1], origin))
            index.settle()
            for number, wish in enumerate(wishes):
                if isinstance(result := results[number], ObjectInfo):
                    try:
                        row = self._place(index, wish.target, links[number], result.crc32c, wish.expect, origin)
                        results[number] = row.info
                    except ConflictError as error:
                        results[number] = error
            return results
        finally:
            for path in links:
                # If the target was the same file already, renaming has left the second link in place.
                path.unlink(missing_ok=True)

    def _announced(self, index: Index, wish: Copy, link_path: Path, origin: str) -> ObjectInfo | BqdumpError:
        """The source, after linking it as `link_path` and announcing that as the next content of the target."""
        source = index.find(wish.source)
        if source is None or source.generation != wish.source_generation:
            return NotFoundError("copy", f"{self.url}/{wish.source}", "no such file at this generation")
        try:
            index.expect(wish.target, wish.expect)
        except ConflictError as error:
            return error
        link(self._path(wish.source), link_path)
        index.announce(wish.target, link_path, source.crc32c, origin)
        return source.info

    def _delete(self, index: Index, name: str, generation: int) -> bool:
        row = index.find(name)
        if row is None or row.generation != generation:
            return False
        path = self._path(name)
        path.unlink()
        index.forget(name)
        remove_empty(self._root, path.parent)
        return True
