"""The container of an Avro file: its header, and the blocks that follow, each with its number of rows and its size.

Source: https://avro.apache.org/docs/1.12.0/specification/#object-container-files
"""

from __future__ import annotations

from typing import NamedTuple

from bqdump.core.errors import DocumentError
from bqdump.core.formats.varint import LARGEST_BYTES, put_signed, signed
from bqdump.core.sizes import counted

MAGIC = b"Obj\x01"
SYNC_BYTES = 16
# Two numbers.
BLOCK_HEAD_BYTES = 2 * LARGEST_BYTES
LARGEST_HEADER_BYTES = 64 << 20


class Header(NamedTuple):
    """The beginning of a file: its metadata (avro.schema, avro.codec), its sync marker, and its own length in bytes."""

    metadata: dict[str, bytes]
    sync: bytes
    length: int

    @property
    def codec(self) -> str:
        """The codec of the blocks."""
        return self.metadata.get("avro.codec", b"null").decode(errors="replace")


class Block(NamedTuple):
    """The head of a block: rows, bytes of data, and the bytes of the head itself."""

    rows: int
    size: int
    head: int

    @property
    def length(self) -> int:
        """Bytes of the whole block, with the sync marker that ends it."""
        return self.head + self.size + SYNC_BYTES


class _TooShortError(Exception):
    """The bytes end within a value."""


def read_header(data: bytes, name: str) -> Header | None:
    """The header that these bytes begin with; None when more of them are needed.

    Raises DocumentError when they do not begin an Avro file.
    """
    if data[: len(MAGIC)] != MAGIC[: len(data)]:
        raise _broken(name, "it does not begin as an Avro file")
    cursor, metadata = _Cursor(data, len(MAGIC)), {}
    try:
        while count := cursor.long():
            if count < 0:
                cursor.long()
            for _ in range(abs(count)):
                key = cursor.sized()
                metadata[key.decode()] = cursor.sized()
        sync = cursor.take(SYNC_BYTES)
    except _TooShortError:
        return None
    except ValueError as error:
        raise _broken(name, f"its header is damaged ({error})") from None
    return Header(metadata, sync, cursor.at)


def header_bytes(header: Header) -> bytes:
    """The beginning of a file with this metadata and sync marker."""
    items = [sized_bytes(part) for key, value in header.metadata.items() for part in (key.encode(), value)]
    return b"".join((MAGIC, long_bytes(len(header.metadata)), *items, long_bytes(0) if items else b"", header.sync))


def read_block(data: bytes, at: int, left: int, name: str) -> Block | None:
    """The head of the block that begins at `at`; None when the bytes end within it.

    left: bytes of the file from there to its end. Raises DocumentError for a head that cannot be.
    """
    cursor = _Cursor(data, at)
    try:
        block = Block(cursor.long(), cursor.long(), cursor.at - at)
    except _TooShortError:
        if len(data) - at >= left:
            raise _broken(name, "it ends within a block") from None
        return None
    except ValueError as error:
        raise _broken(name, f"a block is damaged ({error})") from None
    if block.rows < 0 or block.size < 0 or block.length > left:
        raise _broken(
            name, f"a block of {counted(block.rows, 'row')} and {counted(block.size, 'byte')} does not fit into it"
        )
    return block


def check_sync(marker: bytes, header: Header, name: str) -> None:
    """Raise DocumentError unless this is the marker that ends every block of the file."""
    if marker != header.sync:
        raise _broken(name, "a block does not end with the file's sync marker")


class _Cursor:
    def __init__(self, data: bytes, at: int) -> None:
        self._data, self.at = data, at

    def long(self) -> int:
        try:
            value, self.at = signed(self._data, self.at)
        except IndexError:
            raise _TooShortError from None
        return value

    def sized(self) -> bytes:
        length = self.long()
        if not 0 <= length <= LARGEST_HEADER_BYTES:
            raise ValueError(f"a text of {length} bytes")
        return self.take(length)

    def take(self, count: int) -> bytes:
        taken = self._data[self.at : self.at + count]
        if len(taken) < count:
            raise _TooShortError
        self.at += count
        return taken


def sized_bytes(data: bytes) -> bytes:
    """Bytes, or a string in UTF-8."""
    return long_bytes(len(data)) + data


def long_bytes(value: int) -> bytes:
    """An int or a long."""
    out = bytearray()
    put_signed(out, value)
    return bytes(out)


def _broken(name: str, cause: str) -> DocumentError:
    return DocumentError("read the Avro blocks of", name, cause)
