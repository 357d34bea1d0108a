"""Moving files through this process: read in pieces from one store, compared, and written to another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from msgspec.structs import replace

from bqdump.core.documents.manifest import File
from bqdump.core.errors import ConflictError, UnavailableError, VerificationError
from bqdump.file_content import FileContent, OtherFileError, Pace, digest_of, file_of, read_file
from bqdump.ports.mover import Moved, Settling
from bqdump.ports.store import Copy, ObjectInfo, ObjectStore

# All streams together read about as many pieces ahead.
READ_AHEAD = 12


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
        async def stream(content: FileContent) -> tuple[ObjectInfo, str]:
            return await self._target.stream(wish.target, content, wish.expect), content.sha256

        file = File(wish.source, wish.size or 0, wish.crc32c or "", wish.source_generation, sha256=wish.sha256)
        try:
            info, sha256 = await read_file(
                self._source, file, stream, pace=self._pace, ahead=lambda: READ_AHEAD // self._streams
            )
        except OtherFileError as error:
            if error.replaced:
                return None
            raise
        except ConflictError:
            stored = await self._target.stat(wish.target)
            if stored is None and wish.expect:
                # A prune has deleted what was to be replaced.
                return await self._move(replace(wish, expect=0))
            return await self._stored_by_another(wish, stored)
        return Moved(_as_sent(self._target, wish, info), sha256)

    async def settled(self, moved: Sequence[Moved]) -> list[Moved]:
        if not self._target.abilities.late_generations:
            return list(moved)
        infos = await cast("Settling", self._target).settled([file.info for file in moved])
        return [replace(file, info=_settled(self._target, file, info)) for file, info in zip(moved, infos, strict=True)]

    async def digest(self, info: ObjectInfo) -> str:
        return await digest_of(self._target, file_of(info), pace=self._pace)

    async def close(self) -> None:
        """See Mover."""

    async def _stored_by_another(self, wish: Copy, info: ObjectInfo | None) -> Moved:
        """The file that another process has stored meanwhile."""
        if info and (info.size, info.crc32c) == (wish.size, wish.crc32c):
            return Moved(info, await self.digest(info), by_another=True)
        raise other_file(self._target, wish)


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
        cause = f"{wish.size:,} bytes of CRC32C {wish.crc32c} were sent, and {info.size:,} of {info.crc32c} are stored"
        raise VerificationError("copy", f"{target.url}/{wish.target}", cause)
    return info
