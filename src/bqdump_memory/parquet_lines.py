"""Parquet files with one column of strings, `line`, in one page: what a MemoryWarehouse writes.

Source: https://parquet.apache.org/docs/file-format/
"""

from __future__ import annotations

from collections.abc import Sequence

from bqdump.core.formats.parquet_footer import (
    BINARY,
    I32,
    I64,
    LIST,
    MAGIC,
    STRUCT,
    TRAILER_BYTES,
    Fields,
    Items,
    Value,
    decode_struct,
    encode_struct,
    footer_bytes,
)

BYTE_ARRAY, UTF8, REQUIRED, PLAIN, RLE = 6, 0, 0, 0, 3
LENGTH_BYTES = 4


def parquet_of(rows: Sequence[str]) -> bytes:
    """A file with these rows."""
    page = b"".join(len(row.encode()).to_bytes(LENGTH_BYTES, "little") + row.encode() for row in rows)
    values = _struct({1: (I32, len(rows)), 2: (I32, PLAIN), 3: (I32, RLE), 4: (I32, RLE)})
    header = encode_struct(_struct({1: (I32, 0), 2: (I32, len(page)), 3: (I32, len(page)), 5: (STRUCT, values)}))
    footer = encode_struct(_footer(len(rows), len(header) + len(page)))
    return MAGIC + header + page + footer + len(footer).to_bytes(LENGTH_BYTES, "little") + MAGIC


def is_parquet(data: bytes) -> bool:
    """Whether this is the beginning of a Parquet file."""
    return data.startswith(MAGIC)


def rows_of_parquet(data: bytes, name: str) -> list[str]:
    """The rows of such a file, whatever footer was appended to it. Raises DocumentError for a damaged one."""
    length = footer_bytes(data[-TRAILER_BYTES:], len(data), name)
    count = decode_struct(data[-TRAILER_BYTES - length :])[3].value
    at, rows = len(MAGIC) + len(encode_struct(decode_struct(data[len(MAGIC) :]))), []
    for _ in range(count):
        size = int.from_bytes(data[at : at + LENGTH_BYTES], "little")
        rows.append(data[at + LENGTH_BYTES : at + LENGTH_BYTES + size].decode())
        at += LENGTH_BYTES + size
    return rows


def _footer(rows: int, size: int) -> Fields:
    root = _struct({4: (BINARY, b"schema"), 5: (I32, 1)})
    line = _struct({1: (I32, BYTE_ARRAY), 3: (I32, REQUIRED), 4: (BINARY, b"line"), 6: (I32, UTF8)})
    column = _struct({
        1: (I32, BYTE_ARRAY), 2: (LIST, Items(I32, [PLAIN])), 3: (LIST, Items(BINARY, [b"line"])), 4: (I32, 0),
        5: (I64, rows), 6: (I64, size), 7: (I64, size), 9: (I64, len(MAGIC)),
    })  # fmt: skip
    chunk = _struct({2: (I64, len(MAGIC)), 3: (STRUCT, column)})
    group = _struct({1: (LIST, Items(STRUCT, [chunk])), 2: (I64, size), 3: (I64, rows)})
    return _struct({
        1: (I32, 1), 2: (LIST, Items(STRUCT, [root, line])), 3: (I64, rows), 4: (LIST, Items(STRUCT, [group])),
    })  # fmt: skip


def _struct(fields: dict[int, tuple[int, object]]) -> Fields:
    return {number: Value(kind, value) for number, (kind, value) in fields.items()}
