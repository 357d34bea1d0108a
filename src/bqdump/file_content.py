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
from typing import TypeVar

from bqdump.core.copy.manifest import PIECE_BYTES
from bqdump.core.documents.manifest import File
from bqdump.core.errors import NotFoundError, VerificationError
from bqdump.core.progress.events import Checked, Listener, ignore
from bqdump.core.progress.log_events import LogEvent
from bqdump.ports.store import ObjectStore, Stored

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
    expected, found: what differs otherwise.
    """

    def __init__(self, subject: str, cause: str, expected: str = "", found: str = "") -> None:
        self.replaced, self.expected, self.found = not expected, expected, found
        hint = f"A later run may have replaced it. {OTHERS}" if self.replaced else OTHERS
        super().__init__("read", subject, cause, hint)


class Pace:
    """Lets bytes pass at a rate, however many streams they are of. per_second: how many."""

    def __init__(self, per_second: float) -> None:
        self._per_second, self._free = per_second, float("-inf")

    async def take(self, size: int) -> None:
        """Wait until these bytes may be read: once those before them have had their time."""
        now = asyncio.get_running_loop().time()
        start = max(self._free, now)
        self._free = start + size / self._per_second
        await asyncio.sleep(start - now)


class FileContent(AsyncIterator[bytes]):
    """The pieces of a file. They end with OtherFileError unless they are those of the file.

    size, crc32c, sha256: of the pieces that have passed; a store that gets them need not compute these.
    """

    def __init__(self, pieces: AsyncGenerator[bytes, None], file: File, subject: str) -> None:
        self._pieces, self._file, self._subject = pieces, file, subject
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
        size = f"{self.size} bytes" if self.size <= file.size else f"over {file.size} bytes"
        expected = (("size", f"{file.size} bytes"), ("CRC32C", file.crc32c), ("SHA-256", file.sha256))
        for (what, recorded), actual in zip(expected, (size, self.crc32c, self.sha256), strict=True):
            if recorded not in ("", actual):
                cause = f"its {what} is {actual}, and the manifest records {recorded}"
                raise OtherFileError(self._subject, cause, f"{what} {recorded}", actual)


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
    subject = f"{store.url}/{file.name}{f' of table {table}' if table else ''}"
    for repeated in range(1, TIMES_READ + 1):
        content = FileContent(_pieces(store, file, subject, tell, pace, ahead), file, subject)
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
    subject = f"{store.url}/{file.name}{f' of table {table}' if table else ''}"
    stored = await _read(store, file, subject, start, length)
    if stored.generation != (file.generation or stored.generation):
        raise _replaced(file, subject)
    return stored.data


async def _pieces(
    store: ObjectStore, file: File, subject: str, tell: Listener, pace: Pace | None, ahead: Callable[[], int]
) -> AsyncGenerator[bytes, None]:
    async def read(start: int) -> Stored:
        # With the byte after the last one, if there is one: then it is not the file.
        length = min(PIECE_BYTES, file.size - start) + (start + PIECE_BYTES >= file.size)
        if pace:
            await pace.take(length)
        return await _read(store, file, subject, start, length)

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
                raise _replaced(file, subject)
            begin(max(1, ahead()))
            tell(Checked(0, len(piece.data)))
            if piece.data:
                yield piece.data
    finally:
        for task in reading:
            task.cancel()


async def _read(store: ObjectStore, file: File, subject: str, start: int, length: int) -> Stored:
    try:
        stored = await store.read(file.name, start, length)
    except NotFoundError:
        raise _replaced(file, subject) from None
    if stored.generation:
        return stored
    # A range beyond the end, as of an empty file.
    info = await store.stat(file.name)
    if info is None:
        raise _replaced(file, subject)
    return stored._replace(generation=info.generation)


def _replaced(file: File, subject: str) -> OtherFileError:
    which = f"its generation {file.generation}, which the manifest records, does not exist any more"
    return OtherFileError(subject, which if file.generation else "it was replaced or deleted")
