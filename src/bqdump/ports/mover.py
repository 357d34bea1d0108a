"""What moves a file from one place to another, and proves that it arrived."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from bqdump.ports.store import Copy, ObjectInfo


class Moved(NamedTuple):
    """A file that has arrived: the object, and its SHA-256 in hexadecimal, "" where its bytes were not read.

    found: somebody else has stored it meanwhile, so only its size and its CRC32C are known to be those of the source.
    """

    info: ObjectInfo
    sha256: str = ""
    found: bool = False


class Mover(Protocol):
    """Moves files between two places. Every error is a BqdumpError."""

    @property
    def rewrites(self) -> bool:
        """Whether the service moves the bytes, so that they are not read here."""
        ...

    async def move(self, wish: Copy) -> Moved | None:
        """Copy a file of the source, at exactly this generation; None if that generation no longer exists.

        size and crc32c of the wish are what the bytes must have: they are compared on the way, and with what the target
        stores. Where another task has stored the same file, that one is the answer.
        Raises VerificationError for other bytes, ConflictError if the target has another file of that name.
        """
        ...

    async def digest(self, info: ObjectInfo) -> str:
        """The SHA-256 of a file of the target, from its bytes. Raises VerificationError if it is not this object."""
        ...

    async def close(self) -> None:
        """Release connections and threads."""
        ...
