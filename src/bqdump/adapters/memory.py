"""An ObjectStore in memory."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from typing import IO, NamedTuple, TypeVar

from bqdump.adapters.checksums import crc32c
from bqdump.core.documents.layout import is_note
from bqdump.core.documents.notes import NOTE_BYTES
from bqdump.core.documents.validation import refuse_size
from bqdump.core.errors import BqdumpError, ConflictError, DeniedError, JobFailedError, NotFoundError
from bqdump.core.times import rfc3339
from bqdump.ports.store import Abilities, BucketInfo, Copy, Lock, Note, ObjectInfo, Stored, is_in_folder

PAGE = 1000
Result = TypeVar("Result")


class _Object(NamedTuple):
    data: bytes
    info: ObjectInfo


class MemoryStore:
    """An ObjectStore in a dictionary. page: number of names on a page of a listing. clock: in milliseconds, 0: none.

    lock: of all objects that are written from now on; see Locks. As in the services, its date must be in the future.
    """

    def __init__(self, bucket: str = "memory", *, page: int = PAGE, abilities: Abilities | None = None) -> None:
        self.abilities = abilities or Abilities()
        self.url = f"gs://{bucket}"
        self.bucket = BucketInfo("US", 0, 0)
        self._objects: dict[str, _Object] = {}
        self._generation = 0
        self._page = page
        self.clock: Callable[[], int] = lambda: 0
        self.lock: Lock | None = None

    async def describe(self) -> BucketInfo:
        return self.bucket

    async def stat(self, name: str) -> ObjectInfo | None:
        stored = self._objects.get(name)
        return stored.info if stored else None

    async def read(self, name: str, start: int = 0, length: int | None = None) -> Stored:
        stored = self._objects.get(name)
        if stored is None:
            raise NotFoundError("read", f"{self.url}/{name}", "no such object")
        if length is None and not start:
            refuse_size(name, len(stored.data))
        end = None if length is None else start + length
        return Stored(stored.data[start:end], stored.info.generation)

    async def write(self, name: str, data: bytes, expect: int | None) -> int:
        return self._put(name, data, expect, "").generation

    async def upload(
        self, name: str, fill: Callable[[IO[bytes]], Result], expect: int | None
    ) -> tuple[ObjectInfo, Result]:
        """See ObjectStore. `fill` runs in the event loop's thread."""
        file = io.BytesIO()
        result = fill(file)
        return self._put(name, file.getvalue(), expect, ""), result

    async def stream(self, name: str, pieces: AsyncIterator[bytes], expect: int | None) -> ObjectInfo:
        info = self._put(name, b"".join([piece async for piece in pieces]), expect, "")
        return info._replace(generation=0, updated=0) if self.abilities.late_generations else info

    async def settled(self, sent: Sequence[ObjectInfo]) -> list[ObjectInfo | None]:
        """See Settling."""
        infos = [info if info.generation else await self.stat(info.name) for info in sent]
        return [
            stored if stored and (stored.size, stored.crc32c) == (info.size, info.crc32c) else None
            for info, stored in zip(sent, infos, strict=True)
        ]

    async def write_note(self, name: str, data: bytes, expect: int | None) -> int:
        if len(data) > NOTE_BYTES or not is_note(name):
            raise ValueError(f"invalid note {name}: {len(data)} bytes")
        return self._put(name, data, expect, "").generation

    async def notes(self, prefix: str, start: str = "") -> AsyncIterator[list[Note]]:
        async for page in self._pages(prefix, start):
            notes = (entry for entry in page if is_note(entry.info.name))
            yield [
                Note(note.info.name, note.data[: NOTE_BYTES + 1], note.info.generation, note.info.updated)
                for note in notes
            ]

    async def objects(self, prefix: str, start: str = "") -> AsyncIterator[list[ObjectInfo]]:
        async for page in self._pages(prefix, start):
            infos = [entry.info for entry in page]
            bare = not self.abilities.listed_checksums
            yield [info._replace(crc32c="", origin="", locked_until=0) for info in infos] if bare else infos

    async def folders(self, prefix: str) -> list[str]:
        below = [name.removeprefix(prefix) for name in self._objects if name.startswith(prefix)]
        return sorted({name.partition("/")[0] for name in below if "/" in name})

    async def in_folders(self, prefix: str, name: str) -> list[ObjectInfo]:
        found = [info async for page in self.objects(prefix) for info in page]
        return [info for info in found if is_in_folder(info.name, prefix, name)]

    async def copy(self, copies: Sequence[Copy], origin: str) -> list[ObjectInfo | BqdumpError]:
        return [self._copy(wish, origin) for wish in copies]

    async def append(self, name: str, generation: int, data: bytes, scratch: str) -> ObjectInfo:
        stored = self._objects.get(name)
        if stored is None:
            raise ConflictError("append to", f"{self.url}/{name}", "no such object")
        return self._put(name, stored.data + data, generation, "")

    async def delete(self, objects: Sequence[tuple[str, int]]) -> list[bool | BqdumpError]:
        results: list[bool | BqdumpError] = []
        for name, generation in objects:
            stored = self._objects.get(name)
            if stored is None or stored.info.generation != generation:
                results.append(False)
                continue
            try:
                self._refuse_locked(stored.info)
            except DeniedError as error:
                results.append(error)
                continue
            del self._objects[name]
            results.append(True)
        return results

    async def extend(self, objects: Sequence[tuple[str, int]], until: int) -> list[bool | BqdumpError]:
        results: list[bool | BqdumpError] = []
        for name, generation in objects:
            stored = self._objects.get(name)
            if exists := stored is not None and stored.info.generation == generation:
                self._refuse_past(name, until)
                info = stored.info._replace(locked_until=max(stored.info.locked_until, until))
                self._objects[name] = stored._replace(info=info)
            results.append(exists)
        return results

    async def discard_uploads(self, names: Collection[str]) -> None:
        """See ObjectStore. There are none."""

    async def close(self) -> None:
        """See ObjectStore."""

    def put_now(self, name: str, data: bytes) -> ObjectInfo:
        """Store an object at once, as another process would."""
        return self._put(name, data, None, "")

    def names_now(self) -> list[str]:
        """All names, as another process would list them now."""
        return sorted(self._objects)

    def peek(self, name: str) -> tuple[bytes, ObjectInfo] | None:
        """An object as it is now."""
        stored = self._objects.get(name)
        return (stored.data, stored.info) if stored else None

    async def _pages(self, prefix: str, start: str) -> AsyncIterator[list[_Object]]:
        names = sorted(name for name in self._objects if name.startswith(prefix) and name >= start)
        for first in range(0, len(names) or 1, self._page):
            page = names[first : first + self._page]
            yield [self._objects[name] for name in page if name in self._objects]
            await asyncio.sleep(0)

    def _refuse_locked(self, info: ObjectInfo) -> None:
        if self.clock() < info.locked_until:
            raise DeniedError("change", f"{self.url}/{info.name}", f"it is locked until {rfc3339(info.locked_until)}")

    def _refuse_past(self, name: str, until: int) -> None:
        if until <= self.clock():
            raise JobFailedError(
                "lock", f"{self.url}/{name}", "the date until which it is locked must be in the future"
            )

    def _put(self, name: str, data: bytes, expect: int | None, origin: str) -> ObjectInfo:
        stored = self._objects.get(name)
        current = stored.info.generation if stored else 0
        if expect is not None and expect != current:
            raise ConflictError("write", f"{self.url}/{name}", f"its generation is {current}, not {expect}")
        if stored:
            self._refuse_locked(stored.info)
        until = self.lock.until if self.lock else 0
        if self.lock:
            self._refuse_past(name, until)
        self._generation += 1
        info = ObjectInfo(name, len(data), crc32c(data), self._generation, origin, self.clock(), until)
        self._objects[name] = _Object(data, info)
        return info

    def _copy(self, wish: Copy, origin: str) -> ObjectInfo | BqdumpError:
        source = self._objects.get(wish.source)
        if source is None or source.info.generation != wish.source_generation:
            return NotFoundError("copy", f"{self.url}/{wish.source}", "no such object at this generation")
        try:
            return self._put(wish.target, source.data, wish.expect, origin)
        except ConflictError as error:
            return error
