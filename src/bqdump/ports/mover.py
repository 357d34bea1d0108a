"""What moves a file from one place to another, and proves that it arrived."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from bqdump.ports.store import Copy, ObjectInfo


class Moved(Struct, frozen=True):
    """A file that has arrived: the object, and its SHA-256 in hexadecimal, "" where its bytes were not read.

    The generation may be known only once `Mover.settled` has returned it.
    by_another: another process has stored it: only its size and its CRC32C are known to be those of the source.
    """

    info: ObjectInfo
    sha256: str = ""
    by_another: bool = False


class Mover(Protocol):
    """Moves files between two places. Every error is a BqdumpError."""

    @property
    def rewrites(self) -> bool:
        """Whether the service moves the bytes, so that they are not read here."""

    async def move(self, wish: Copy) -> Moved | None:
        """Copy a file of the source, at exactly this generation; None if that generation no longer exists.

        size and crc32c of the wish are what the bytes must have: they are compared on the way, and with what the target
        stores. Where another task has stored the same file, that one is the answer.
        Raises VerificationError for other bytes, ConflictError if the target has another file of that name.
        """

    async def settled(self, moved: Sequence[Moved]) -> list[Moved]:
        """Files that have arrived, with their generations. For several of similar names at once, it costs least.

        Raises UnavailableError if one is not there any more as it was sent.
        """

    async def digest(self, info: ObjectInfo) -> str:
        """The SHA-256 of a file of the target, from its bytes. Raises VerificationError if it is not this object."""

    async def close(self) -> None:
        """Release connections and threads."""


class Settling(Protocol):
    """A store in which the generation of a new object costs a request, and those of several cost one together."""

    async def settled(self, sent: Sequence[ObjectInfo]) -> list[ObjectInfo | None]:
        """What `stream` has returned, with the generations, in this order; None for what is not there as it was sent.

        Those that have their generation stay as they are. Every error is a BqdumpError.
        """
