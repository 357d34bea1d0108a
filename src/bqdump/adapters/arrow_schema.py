"""The schema message of a read session, changed where polars does not support what BigQuery sends.

Names of extension types are removed, since polars would create types of its own for them. Decimals of 256 bits and
intervals become fixed-size binaries. Their bytes in the record batches stay the same.

The message is a FlatBuffer, changed in place; new tables are appended.
Sources: https://arrow.apache.org/docs/format/Columnar.html#encapsulated-message-format,
https://github.com/apache/arrow/blob/main/format/Schema.fbs, https://flatbuffers.dev/internals/
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from bqdump.core.errors import RowsError

CONTINUATION = b"\xff\xff\xff\xff"
END_OF_STREAM = CONTINUATION + bytes(4)
HEADER_BYTES = 8
DECIMAL, INTERVAL, FIXED_SIZE_BINARY = 7, 11, 15
INTERVAL_BYTES, DECIMAL_BYTES = 16, 32
# Indexes of members in their tables.
MESSAGE_HEADER, SCHEMA_FIELDS = 2, 1
FIELD_TYPE, FIELD_KIND, FIELD_CHILDREN, FIELD_METADATA = 3, 2, 5, 6
DECIMAL_BIT_WIDTH = 2


class _Table(NamedTuple):
    """A table of a FlatBuffer, by the position of its first byte."""

    data: bytearray
    at: int

    def slot(self, member: int) -> int:
        """The position of a member's offset in the vtable; 0 if the vtable ends before it."""
        vtable = self.at - _number("<i", self.data, self.at)
        slot = vtable + 4 + 2 * member
        return slot if slot < vtable + _number("<H", self.data, vtable) else 0

    def member(self, member: int) -> int:
        """The position of a member; 0 if it has its default value."""
        slot = self.slot(member)
        offset = _number("<H", self.data, slot) if slot else 0
        return self.at + offset if offset else 0

    def table(self, member: int) -> _Table:
        """The table that a member refers to."""
        return _Table(self.data, _follow(self.data, self.member(member)))

    def tables(self, member: int) -> list[_Table]:
        """The tables in a vector."""
        where = self.member(member)
        if not where:
            return []
        vector = _follow(self.data, where)
        count = _number("<I", self.data, vector)
        return [_Table(self.data, _follow(self.data, vector + 4 + 4 * index)) for index in range(count)]


def for_polars(message: bytes) -> bytes:
    """The schema message with types that polars supports, for the same layout of record batches.

    Raises RowsError if the bytes are not a schema message.
    """
    try:
        length = _number("<I", message, 4)
        data = bytearray(message[HEADER_BYTES : HEADER_BYTES + length])
        root = _Table(data, _follow(data, 0))
        for field in root.table(MESSAGE_HEADER).tables(SCHEMA_FIELDS):
            _change(field)
    except (struct.error, IndexError, ValueError) as error:
        raise RowsError("read", "the schema of a read session", f"it is damaged ({error})") from error
    data += bytes(-len(data) % 8)
    return CONTINUATION + struct.pack("<I", len(data)) + bytes(data)


def _change(field: _Table) -> None:
    data = field.data
    if field.member(FIELD_METADATA):
        # Other fields may share the vtable; those have metadata as well.
        struct.pack_into("<H", data, field.slot(FIELD_METADATA), 0)
    kind, type_ = data[field.member(FIELD_KIND)], field.table(FIELD_TYPE)
    if kind == INTERVAL:
        _become_binary(field, INTERVAL_BYTES)
    elif kind == DECIMAL and (width := type_.member(DECIMAL_BIT_WIDTH)) and _number("<i", data, width) == 256:
        _become_binary(field, DECIMAL_BYTES)
    for child in field.tables(FIELD_CHILDREN):
        _change(child)


def _become_binary(field: _Table, width: int) -> None:
    data = field.data
    data += bytes(-len(data) % 4)
    # A vtable (its size, the table's size, the offset of its one member), padding, then the table itself.
    vtable = len(data)
    data += struct.pack("<HHHHii", 6, 8, 4, 0, 8, width)
    where = field.member(FIELD_TYPE)
    struct.pack_into("<I", data, where, vtable + 8 - where)
    data[field.member(FIELD_KIND)] = FIXED_SIZE_BINARY


def _number(format_: str, data: bytes | bytearray, at: int) -> int:
    (value,) = struct.unpack_from(format_, data, at)
    return int(value)


def _follow(data: bytes | bytearray, at: int) -> int:
    return at + _number("<I", data, at)
