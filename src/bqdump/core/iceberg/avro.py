"""Avro object container files, as far as Iceberg's manifests need them.

A writer of values is a function that appends a value to a bytearray.
Source: https://avro.apache.org/docs/1.12.0/specification/
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

import msgspec

from bqdump.core.formats.avro_blocks import SYNC_BYTES, Header, header_bytes
from bqdump.core.formats.varint import put_signed as put_long

Value = TypeVar("Value")
BLOCK_BYTES = 64 << 10
# Fast, and the same bytes each time.
LEVEL = 1


def put_bytes(out: bytearray, value: bytes) -> None:
    """Bytes, or a string in UTF-8."""
    put_long(out, len(value))
    out += value


def put_longs(out: bytearray, values: Mapping[int, int]) -> None:
    """An optional map of longs by int; null where it is empty."""
    _put_map(out, values, put_long)


def put_binaries(out: bytearray, values: Mapping[int, bytes]) -> None:
    """An optional map of bytes by int; null where it is empty."""
    _put_map(out, values, put_bytes)


def _put_map(out: bytearray, values: Mapping[int, Value], put: Callable[[bytearray, Value], None]) -> None:
    put_long(out, 1 if values else 0)
    if values:
        put_long(out, len(values))
        for key in sorted(values):
            put_long(out, key)
            put(out, values[key])
        out.append(0)


def put_array(out: bytearray, values: Sequence[int]) -> None:
    """An optional array of longs; null where it is empty."""
    put_long(out, 1 if values else 0)
    if values:
        put_long(out, len(values))
        for value in values:
            put_long(out, value)
        out.append(0)


def container(schema: object, properties: Mapping[str, str], records: Iterable[bytes]) -> bytes:
    """A file with these records. The same records give the same file."""
    described = msgspec.json.encode(schema)
    head = {"avro.schema": described, "avro.codec": b"deflate", **{k: v.encode() for k, v in properties.items()}}
    out = bytearray(header_bytes(Header(head, sync=b"", length=0)))
    marker = hashlib.sha256(out).digest()[:SYNC_BYTES]
    out += marker
    for count, block in _blocks(records):
        packer = zlib.compressobj(LEVEL, wbits=-15)
        packed = packer.compress(block) + packer.flush()
        put_long(out, count)
        put_bytes(out, packed)
        out += marker
    return bytes(out)


def _blocks(records: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    block, count = bytearray(), 0
    for record in records:
        block += record
        count += 1
        if len(block) >= BLOCK_BYTES:
            yield count, bytes(block)
            block, count = bytearray(), 0
    if count:
        yield count, bytes(block)
