"""The data files of an export, opened for reading: nothing else opens one.

What is read is compared with what the manifest records: generation, size, CRC32C, and the SHA-256 where it is known.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from itertools import islice
from typing import NamedTuple, TypeVar

from bqdump.core.copy.manifest import PIECE_BYTES
from bqdump.core.documents.manifest import File
from bqdump.core.errors import NotFoundError, VerificationError
from bqdump.core.progress.events import Checked, Listener, ignore
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.sizes import counted
from bqdump.ports.store import ObjectInfo, ObjectStore, Stored

log = logging.getLogger(__name__)

# Cloud Storage sends no checksum for a part: what does not match is read again before it counts as different.
TIMES_READ = 3
# Smaller pieces are hashed by the event loop: that takes less time than the way to a thread and back.
IN_THREADS = 1 << 20
OTHERS = "Use another run. {call:verify} reports all differences."
Result = TypeVar("Result")


class OtherFileError(VerificationError):
    """What is stored is not the file that the manifest records.

    replaced: its generation does not exist any more.
    reason: of the table that fails with it.
    expected, found: what differs otherwise.
    """

    def __init__(self, subject: str, cause: str, expected: str = "", found: str = "") -> None:
        self.replaced, self.expected, self.found = not expected, expected, found
        self.reason = "replaced" if self.replaced else "checksum"
        hint = f"A later run may have replaced it. {OTHERS}" if self.replaced else OTHERS
        super().__init__("read", subject, cause, hint)


class Named(NamedTuple):
    """A file in an error: what cannot be read, and the file, if that is a table."""

    subject: str
    file: str


class Pace:
    """Lets bytes pass at a rate, however many streams they are of. per_second: how many."""

    def __init__(self, per_second: float) -> None:
        self._per_second = per_second
        self._paid: float | None = None

    async def take(self, size: int) -> None:
        """Wait until these bytes may be read: once they and those before them have had their time.

        The time that reading the bytes before took counts as well.
        """
        now, time = asyncio.get_running_loop().time(), size / self._per_second
        self._paid = (now if self._paid is None else max(self._paid, now - time)) + time
        await asyncio.sleep(self._paid - now)


class FileContent(AsyncIterator[bytes]):
    """The pieces of a file. They end with OtherFileError unless they are those of the file.

    size, crc32c, sha256: of the pieces that have passed; a store that gets them need not compute these.
    """

    def __init__(self, pieces: AsyncGenerator[bytes, None], file: File, of: Named) -> None:
        self._pieces, self._file, self._of = pieces, file, of
        self._crc32c, self._sha256, self.size = 0, hashlib.sha256(), 0
        self._summing: asyncio.Future[None] | None = None

    @property
    def crc32c(self) -> str:
        """In base64."""
        return base64.b64encode(self._crc32c.to_bytes(4, "big")).decode()

    @property
    def sha256(self) -> str:
        """In hexadecimal."""
        return self._sha256.hexdigest()

    async def __anext__(self) -> bytes:
        """Pass a piece, once the one before is summed up. A large one is summed up while it is used."""
        async for piece in self._pieces:
            await self._summed()
            if len(piece) < IN_THREADS:
                self._sum_up(piece)
            else:
                self._summing = asyncio.get_running_loop().run_in_executor(None, self._sum_up, piece)
            return piece
        await self._summed()
        self._compare()
        raise StopAsyncIteration

    async def finish(self) -> None:
        """Compare what was not used as well."""
        async for _ in self:
            pass

    async def close(self) -> None:
        """Stop reading."""
        await self._summed()
        await self._pieces.aclose()

    async def _summed(self) -> None:
        if self._summing:
            await self._summing
            self._summing = None

    def _sum_up(self, piece: bytes) -> None:
        # Imported where files are read.
        import google_crc32c

        self._crc32c = google_crc32c.extend(self._crc32c, piece)
        self._sha256.update(piece)
        self.size += len(piece)

    def _compare(self) -> None:
        file = self._file
        # One more than expected is read, not all.
        recorded_size = counted(file.size, "byte")
        size = counted(self.size, "byte") if self.size <= file.size else f"over {recorded_size}"
        expected = (("size", recorded_size), ("CRC32C", file.crc32c), ("SHA-256", file.sha256))
        for (what, recorded), actual in zip(expected, (size, self.crc32c, self.sha256), strict=True):
            if recorded not in ("", actual):
                cause = f"the {what}{self._of.file} is {actual}, and the manifest records {recorded}"
                raise OtherFileError(self._of.subject, cause, f"{what} {recorded}", actual)


async def read_file(
    store: ObjectStore,
    file: File,
    use: Callable[[FileContent], Awaitable[Result]],
    *,
    table: str = "",
    tell: Listener = ignore,
    pace: Pace | None = None,
    ahead: Callable[[], int] = lambda: 1,
) -> Result:
    """What `use` makes of the bytes of a file, if they are those of the file. Else it is called again, or for nothing.

    table: in errors.
    tell: hears of the bytes that are read.
    ahead: how many pieces are read while one is used.
    A generation of 0 stands for the one that is there as the reading begins: of a copy whose manifest has others.
    Raises OtherFileError, if any of what is recorded differs.
    """
    of = _named(store, file, table)
    for repeated in range(1, TIMES_READ + 1):
        content = FileContent(_pieces(store, file, of, tell, pace, ahead), file, of)
        try:
            result = await use(content)
            await content.finish()
        except OtherFileError as error:
            if error.replaced or repeated == TIMES_READ:
                raise
            log.warning("%s", error, extra=LogEvent.CHECKSUM_DIFFERS.extra())
        else:
            return result
        finally:
            await content.close()
        tell = ignore
    raise AssertionError


def file_of(info: ObjectInfo) -> File:
    """An object as a file to read."""
    return File(info.name, info.size, info.crc32c, info.generation)


async def digest_of(store: ObjectStore, file: File, *, table: str = "", pace: Pace | None = None) -> str:
    """The SHA-256 of a file."""

    async def digest(content: FileContent) -> str:
        await content.finish()
        return content.sha256

    return await read_file(store, file, digest, table=table, pace=pace)


async def read_part(store: ObjectStore, file: File, start: int, length: int, *, table: str = "") -> bytes:
    """A part of a file of this generation, where the complete file is not worth reading: no checksum proves it.

    Raises OtherFileError, if the generation is another one.
    """
    of = _named(store, file, table)
    stored = await _read(store, file, of, start, length)
    if file.generation:
        same = stored.generation == file.generation
    else:
        info = await store.stat(file.name)
        same = info is not None and (info.size, info.crc32c) == (file.size, file.crc32c)
    if not same:
        raise _replaced(file, of)
    return stored.data


async def _pieces(
    store: ObjectStore, file: File, of: Named, tell: Listener, pace: Pace | None, ahead: Callable[[], int]
) -> AsyncGenerator[bytes, None]:
    async def read(start: int) -> Stored:
        # With the byte after the last one, if there is one: then it is not the file.
        length, last = min(PIECE_BYTES, file.size - start), start + PIECE_BYTES >= file.size
        if pace:
            await pace.take(length)
        return await _read(store, file, of, start, length + last)

    starts = iter(range(0, max(1, file.size), PIECE_BYTES))
    reading: deque[asyncio.Task[Stored]] = deque()
    generation = file.generation

    def begin(most: int) -> None:
        for start in islice(starts, most - len(reading)):
            reading.append(asyncio.ensure_future(read(start)))

    try:
        begin(1)
        while reading:
            piece = await reading[0]
            reading.popleft()
            generation = generation or piece.generation
            if piece.generation != generation:
                raise _replaced(file, of)
            begin(max(1, ahead()))
            tell(Checked(0, len(piece.data)))
            if piece.data:
                yield piece.data
    finally:
        for task in reading:
            task.cancel()


async def _read(store: ObjectStore, file: File, of: Named, start: int, length: int) -> Stored:
    try:
        stored = await store.read(file.name, start, length)
    except NotFoundError:
        raise _replaced(file, of) from None
    if stored.generation:
        return stored
    # A range beyond the end, as of an empty file.
    info = await store.stat(file.name)
    if info is None:
        raise _replaced(file, of)
    return stored._replace(generation=info.generation)


def _named(store: ObjectStore, file: File, table: str) -> Named:
    address = f"{store.url}/{file.name}"
    return Named(f"table {table}", f" of {address}") if table else Named(address, "")


def _replaced(file: File, of: Named) -> OtherFileError:
    cause = f"generation {file.generation}{of.file}, which was recorded, does not exist any more"
    if not file.generation:
        cause = f"the object{of.file} was deleted or replaced"
    return OtherFileError(of.subject, cause)
