"""The data reader: decodes the files of an export to verify them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import NamedTuple, Protocol

from bqdump.core.formats.types import Column


class DataFile(NamedTuple):
    """A file of an export: how it was written, and its expected columns, CRC32C (base64) and SHA-256 ("": unknown).

    null_marker: the text that means NULL in CSV, unless it is quoted. alike: the types of which the file has two values
    alike, such as "" and NULL; sums count them as one value.
    """

    name: str
    format: str
    codec: str
    header: bool
    delimiter: str
    columns: tuple[Column, ...]
    crc32c: str
    null_marker: str = ""
    alike: frozenset[str] = frozenset()
    sha256: str = ""


class Digest(NamedTuple):
    """The result of reading a file. If its checksum is not the expected one, it has only size and checksums.

    sha256: "" unless one is expected.

    unreadable: why the file cannot be decoded, else "". differences: how its columns differ from the expected ones.
    sums: if requested, the number of values and the sum of their hashes for each column, and the sums over complete
    rows. The sums of several files add up.
    """

    size: int
    crc32c: str
    rows: int = 0
    unreadable: str = ""
    differences: tuple[str, ...] = ()
    sums: tuple[int, ...] = ()
    sha256: str = ""


class DataReader(Protocol):
    """A library that decodes the files of an export."""

    def check_room(self, size: int) -> None:
        """Raise UsageError if this machine has no room for files of `size` bytes in total."""
        ...

    async def digest(
        self, file: DataFile, content: AsyncIterator[bytes], *, checksums: bool, texts: bool = False
    ) -> Digest:
        """Decode every value of a file.

        checksums: whether to compute `sums`. texts: whether they are computed over each value's text in the file, so
        that they can be compared only between files of the same format and type.
        Raises UsageError if this machine has no room for the file while it is decoded.
        """
        ...

    def close(self) -> None:
        """Release all resources and remove temporary files."""
        ...
