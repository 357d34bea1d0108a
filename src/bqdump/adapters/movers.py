"""Moving files through this process: read in pieces from one store, compared, and written to another."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from itertools import islice
from typing import cast

import google_crc32c
from msgspec.structs import replace

from bqdump.adapters.checksums import SummedPieces
from bqdump.core.copy.manifest import PIECE_BYTES
from bqdump.core.errors import ConflictError, NotFoundError, UnavailableError, VerificationError
from bqdump.core.progress.log_events import LogEvent
from bqdump.ports.mover import Moved, Settling
from bqdump.ports.store import Copy, ObjectInfo, ObjectStore, Stored

log = logging.getLogger(__name__)

# Cloud Storage sends no checksum for a part: what does not match is read again before it counts as different.
TIMES_READ = 3
# All streams together read about as many pieces ahead.
READ_AHEAD = 12
# Smaller pieces are hashed by the event loop: that takes less time than the way to a thread and back.
IN_THREADS = 1 << 20


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


class _GoneError(Exception):
    """The generation of the file is not there any more."""


class _Passing(SummedPieces):
    """Pieces that are summed up as they pass. It ends with an error unless size and CRC32C are the expected ones."""

    def __init__(self, pieces: AsyncIterator[bytes], subject: str, expected: tuple[int | None, str | None]) -> None:
        self._pieces, self._subject, self._expected = pieces, subject, expected
        self._crc32c, self._sha256, self.size = 0, hashlib.sha256(), 0
        self._summing: asyncio.Future[None] | None = None

    async def __anext__(self) -> bytes:
        """Pass a piece, once the one before is summed up. A large one is summed up while it is sent."""
        async for piece in self._pieces:
            await self._summed()
            if len(piece) < IN_THREADS:
                self._sum_up(piece)
            else:
                self._summing = asyncio.get_running_loop().run_in_executor(None, self._sum_up, piece)
            return piece
        await self._summed()
        self.crc32c = base64.b64encode(self._crc32c.to_bytes(4, "big")).decode()
        self.sha256 = self._sha256.hexdigest()
        if (self.size, self.crc32c) != self._expected:
            raise _different(self._subject, self._expected, (self.size, self.crc32c))
        raise StopAsyncIteration

    async def _summed(self) -> None:
        if self._summing:
            await self._summing
            self._summing = None

    def _sum_up(self, piece: bytes) -> None:
        self._crc32c = google_crc32c.extend(self._crc32c, piece)
        self._sha256.update(piece)
        self.size += len(piece)


class StreamMover:
    """Moves files between any two stores. It closes neither. pace: of the bytes that it reads, None for no limit."""

    rewrites = False

    def __init__(self, source: ObjectStore, target: ObjectStore, pace: Pace | None = None) -> None:
        self._source, self._target, self._pace = source, target, pace
        self._streams = 0

    async def move(self, wish: Copy) -> Moved | None:
        self._streams += 1
        try:
            return await self._move(wish)
        finally:
            self._streams -= 1

    async def _move(self, wish: Copy) -> Moved | None:
        for attempt in range(1, TIMES_READ + 1):
            passing = self._passing(wish)
            try:
                info = await self._target.stream(wish.target, passing, wish.expect)
            except _GoneError:
                return None
            except ConflictError:
                stored = await self._target.stat(wish.target)
                if stored is None and wish.expect:
                    # A prune has deleted what was to be replaced.
                    return await self._move(replace(wish, expect=0))
                return await self._stored_by_another(wish, stored)
            except VerificationError as error:
                if attempt == TIMES_READ:
                    raise
                log.warning("%s", error, extra=LogEvent.CHECKSUM_DIFFERS.extra())
            else:
                return Moved(_as_sent(self._target, wish, info), passing.sha256)
        raise AssertionError

    async def settled(self, moved: Sequence[Moved]) -> list[Moved]:
        if not self._target.abilities.late_generations:
            return list(moved)
        infos = await cast("Settling", self._target).settled([file.info for file in moved])
        return [replace(file, info=_settled(self._target, file, info)) for file, info in zip(moved, infos, strict=True)]

    async def digest(self, info: ObjectInfo) -> str:
        return await digest_of(self._target, info, self._pace)

    async def close(self) -> None:
        """See Mover."""

    def _passing(self, wish: Copy) -> _Passing:
        ahead, size = lambda: READ_AHEAD // self._streams, wish.size or 0
        pieces = _pieces(self._source, wish.source, wish.source_generation, size, self._pace, ahead)
        return _Passing(pieces, f"{self._source.url}/{wish.source}", (wish.size, wish.crc32c))

    async def _stored_by_another(self, wish: Copy, info: ObjectInfo | None) -> Moved:
        """The file that another process has stored meanwhile."""
        if info and (info.size, info.crc32c) == (wish.size, wish.crc32c):
            return Moved(info, await self.digest(info), by_another=True)
        raise other_file(self._target, wish)


async def digest_of(store: ObjectStore, info: ObjectInfo, pace: Pace | None = None) -> str:
    """See Mover.digest."""
    subject = f"{store.url}/{info.name}"
    pieces = _pieces(store, info.name, info.generation, info.size, pace)
    passing = _Passing(pieces, subject, (info.size, info.crc32c))
    try:
        async for _ in passing:
            pass
    except _GoneError:
        raise VerificationError("read", subject, "it was replaced or deleted meanwhile") from None
    return passing.sha256


def other_file(target: ObjectStore, wish: Copy) -> ConflictError:
    """The error about a file of the target that is in the way."""
    return ConflictError("copy", f"{target.url}/{wish.target}", "another file of this name is there, or was there")


def _settled(target: ObjectStore, file: Moved, info: ObjectInfo | None) -> ObjectInfo:
    if info is None:
        cause = "it was stored, and is not there any more as it was sent"
        raise UnavailableError("copy", f"{target.url}/{file.info.name}", cause)
    return info


def _as_sent(target: ObjectStore, wish: Copy, info: ObjectInfo) -> ObjectInfo:
    if (info.size, info.crc32c) != (wish.size, wish.crc32c):
        raise _different(f"{target.url}/{wish.target}", (wish.size, wish.crc32c), (info.size, info.crc32c))
    return info


def _different(subject: str, expected: tuple[int | None, str | None], actual: tuple[int, str]) -> VerificationError:
    if expected[0] != actual[0]:
        cause = f"it has {actual[0]:,} bytes, and {expected[0]:,} are expected"
    else:
        cause = f"it has the CRC32C {actual[1]}, and {expected[1]} is expected"
    return VerificationError("copy", subject, cause, "Compare the export with its manifest: {call:verify}")


async def _pieces(
    store: ObjectStore,
    name: str,
    generation: int,
    size: int,
    pace: Pace | None,
    ahead: Callable[[], int] = lambda: 1,
) -> AsyncIterator[bytes]:
    """The bytes of this generation. ahead: how many of the next pieces are read while one is used."""

    async def read(start: int) -> Stored:
        length = min(PIECE_BYTES, size - start)
        if pace:
            await pace.take(length)
        try:
            stored = await store.read(name, start, length)
        except NotFoundError:
            raise _GoneError from None
        if stored.generation != generation:
            raise _GoneError
        return stored

    starts = iter(range(0, size, PIECE_BYTES))
    reading: deque[asyncio.Task[Stored]] = deque()

    def begin(most: int) -> None:
        for start in islice(starts, most - len(reading)):
            reading.append(asyncio.ensure_future(read(start)))

    try:
        begin(1)
        while reading:
            piece = await reading[0]
            reading.popleft()
            begin(max(1, ahead()))
            yield piece.data
    finally:
        for task in reading:
            task.cancel()
