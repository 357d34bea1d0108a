"""The number of rows in a Parquet file, from its footer alone.

A file ends with its metadata in Thrift's compact protocol, four bytes of length and the magic.
Source: https://parquet.apache.org/docs/file-format/ and parquet.thrift (FileMetaData: field 3 is num_rows).

Values in Thrift's compact protocol, decoded into a tree and encoded again without loss.

Source: https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
"""

from __future__ import annotations

from typing import Any, NamedTuple

from bqdump.core.errors import DocumentError
from bqdump.core.formats.varint import put_signed, put_unsigned, signed, unsigned

TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, SET, MAP, STRUCT = range(1, 13)
BOOL = TRUE
INTEGERS = (I16, I32, I64)
DEEPEST = 32


class Items(NamedTuple):
    """A list or a set: the kind of its elements, and their values."""

    kind: int
    values: list[Any]


class Value(NamedTuple):
    """A field of a struct. TRUE stands for both truth values.

    value: int, bool, bytes (also the eight bytes of a DOUBLE), Items, Pairs or a Fields.
    """

    kind: int
    value: Any


class Pairs(NamedTuple):
    """A map: the kinds of keys and values, and the pairs."""

    kinds: tuple[int, int]
    pairs: list[tuple[Any, Any]]


Fields = dict[int, Value]


def decode_struct(data: bytes, last: int | None = None) -> Fields:
    """The struct that the bytes start with, up to the field with the number `last`.

    Raises ValueError or IndexError for anything else.
    """
    fields, _ = _struct(data, 0, 0, last)
    return fields


def encode_struct(fields: Fields) -> bytes:
    """The struct as bytes, its fields in ascending order."""
    out = bytearray()
    _write_struct(out, fields)
    return bytes(out)


def _struct(data: bytes, at: int, depth: int, last: int | None = None) -> tuple[Fields, int]:
    fields: Fields = {}
    number = 0
    while number != last:
        head = data[at]
        at += 1
        kind = head & 0x0F
        if not kind:
            return fields, at
        if head >> 4:
            number += head >> 4
        else:
            number, at = signed(data, at)
        if kind in (TRUE, FALSE):
            fields[number] = Value(BOOL, kind == TRUE)
        else:
            value, at = _value(data, at, kind, depth)
            fields[number] = Value(kind, value)
    return fields, at


def _value(data: bytes, at: int, kind: int, depth: int) -> tuple[Any, int]:
    if depth > DEEPEST:
        raise ValueError("values nested too deep")
    if kind in INTEGERS:
        return signed(data, at)
    if kind == BINARY:
        length, at = unsigned(data, at)
        return _bytes(data, at, length)
    if kind == STRUCT:
        return _struct(data, at, depth + 1)
    if kind in (LIST, SET):
        head = data[at]
        count, at = (head >> 4, at + 1) if head >> 4 < 15 else unsigned(data, at + 1)
        return _items(data, at, head & 0x0F, count, depth)
    if kind == DOUBLE:
        return _bytes(data, at, 8)
    if kind in (TRUE, FALSE, BYTE):
        return data[at], at + 1
    if kind == MAP:
        return _map(data, at, depth)
    raise ValueError(f"a value of the unknown kind {kind}")


def _bytes(data: bytes, at: int, length: int) -> tuple[bytes, int]:
    if at + length > len(data):
        raise ValueError("a value goes beyond its end")
    return data[at : at + length], at + length


def _items(data: bytes, at: int, kind: int, count: int, depth: int) -> tuple[Items, int]:
    if count > len(data):
        raise ValueError("a list longer than the data")
    values = []
    for _ in range(count):
        value, at = _value(data, at, kind, depth + 1)
        values.append(value)
    return Items(kind, values), at


def _map(data: bytes, at: int, depth: int) -> tuple[Pairs, int]:
    count, at = unsigned(data, at)
    if not count:
        return Pairs((0, 0), []), at
    if count > len(data):
        raise ValueError("a map longer than the data")
    kinds = data[at] >> 4, data[at] & 0x0F
    at += 1
    pairs = []
    for _ in range(count):
        key, at = _value(data, at, kinds[0], depth + 1)
        value, at = _value(data, at, kinds[1], depth + 1)
        pairs.append((key, value))
    return Pairs(kinds, pairs), at


def _write_struct(out: bytearray, fields: Fields) -> None:
    last = 0
    for number in sorted(fields):
        kind, value = fields[number]
        written = (TRUE if value else FALSE) if kind == BOOL else kind
        if 0 < number - last < 16:
            out.append((number - last) << 4 | written)
        else:
            out.append(written)
            put_signed(out, number)
        last = number
        if kind != BOOL:
            _write(out, kind, value)
    out.append(0)


def _write(out: bytearray, kind: int, value: Any) -> None:
    if kind in INTEGERS:
        put_signed(out, value)
    elif kind == BINARY:
        put_unsigned(out, len(value))
        out += value
    elif kind == STRUCT:
        _write_struct(out, value)
    elif kind in (LIST, SET):
        count = len(value.values)
        out.append((count if count < 15 else 15) << 4 | value.kind)
        if count >= 15:
            put_unsigned(out, count)
        for item in value.values:
            _write(out, value.kind, item)
    elif kind == DOUBLE:
        out += value
    elif kind == MAP:
        put_unsigned(out, len(value.pairs))
        if value.pairs:
            out.append(value.kinds[0] << 4 | value.kinds[1])
        for pair in value.pairs:
            for part, part_kind in zip(pair, value.kinds, strict=True):
                _write(out, part_kind, part)
    else:
        out.append(value)


MAGIC = b"PAR1"
# What is read first from a file's end: footers of all but very wide tables fit in.
TAIL_BYTES = 64 << 10
TRAILER_BYTES = 8
SMALLEST_BYTES = len(MAGIC) + TRAILER_BYTES
# A footer of 10,000 columns and 100 row groups stays below it.
LARGEST_FOOTER_BYTES = 256 << 20
NUM_ROWS = 3


def footer_bytes(trailer: bytes, size: int, name: str) -> int:
    """How long the footer is, from the last TRAILER_BYTES of a file of `size` bytes.

    Raises DocumentError when these bytes do not end a Parquet file.
    """
    if size < SMALLEST_BYTES or len(trailer) != TRAILER_BYTES or trailer[4:] != MAGIC:
        raise _broken(name, f"it does not end with {MAGIC.decode()}")
    length = int.from_bytes(trailer[:4], "little")
    if not 0 < length <= min(size - SMALLEST_BYTES, LARGEST_FOOTER_BYTES):
        raise _broken(name, f"its footer of {length} bytes does not fit into its {size} bytes")
    return length


def num_rows(footer: bytes, name: str) -> int:
    """The number of rows in a footer (without its trailer). Raises DocumentError for anything else."""
    try:
        rows = decode_struct(footer, last=NUM_ROWS).get(NUM_ROWS)
    except (IndexError, ValueError) as error:
        raise _broken(name, f"its footer is damaged ({error})") from None
    if rows is None or rows.kind != I64 or rows.value < 0:
        raise _broken(name, "its footer has no number of rows")
    return int(rows.value)


def _broken(name: str, cause: str) -> DocumentError:
    return DocumentError("read the Parquet footer of", name, cause)
