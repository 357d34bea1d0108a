"""The data reader: files of an export, decoded again to prove them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import NamedTuple, Protocol

from bqdump.core.formats.types import Column


class DataFile(NamedTuple):
    """A file of an export: how it was written, and the columns and the CRC32C (base64) that it should have.

    null_marker: what stands for NULL in CSV beside an empty field.
    """

    name: str
    format: str
    codec: str
    header: bool
    delimiter: str
    columns: tuple[Column, ...]
    crc32c: str
    null_marker: str = ""


class Digest(NamedTuple):
    """What reading a file has shown. Of one whose CRC32C is another nothing but size and CRC32C.

    unreadable: why it cannot be decoded, else "". differences: how its columns differ from those that it should have.
    sums: what `core.canonical.file_statement` gives, statement after statement, without the rows.
    """

    size: int
    crc32c: str
    rows: int = 0
    unreadable: str = ""
    differences: tuple[str, ...] = ()
    sums: tuple[int, ...] = ()


class DataReader(Protocol):
    """A library that decodes the files of an export."""

    def check_room(self, size: int) -> None:
        """Raise UsageError where files of so many bytes at once have no room on this machine."""
        ...

    async def digest(
        self, file: DataFile, content: AsyncIterator[bytes], *, checksums: bool, texts: bool = False
    ) -> Digest:
        """Decode every value of a file. checksums: whether to compute the sums too; texts: see `file_statement`.

        Raises UsageError where this machine cannot keep the file while it is decoded.
        """
        ...

    def close(self) -> None:
        """Leave nothing behind."""
        ...
