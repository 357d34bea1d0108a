"""The files of a MemoryWarehouse: lines of text, or Avro and Parquet files with one string column."""

from __future__ import annotations

from collections.abc import Sequence

from bqdump.core.formats.avro_blocks import (
    MAGIC,
    SYNC_BYTES,
    Header,
    header_bytes,
    long_bytes,
    read_block,
    read_header,
    sized_bytes,
)
from bqdump.core.formats.varint import signed
from bqdump_memory.parquet_lines import is_parquet, parquet_of, rows_of_parquet

SCHEMA = b'{"type":"record","name":"Root","fields":[{"name":"line","type":"string"}]}'
AVRO = Header({"avro.schema": SCHEMA}, bytes(range(SYNC_BYTES)), 0)
ROWS_A_BLOCK = 2


def file_of(rows: Sequence[str], format_name: str) -> bytes:
    """A file with these rows. Every format but Avro and Parquet is text."""
    if format_name == "parquet":
        return parquet_of(rows)
    return _avro(rows) if format_name == "avro" else "".join(f"{row}\n" for row in rows).encode()


def rows_of(data: bytes, name: str) -> list[str]:
    """The rows of a file, the reverse of `file_of`. Raises DocumentError for a damaged Avro or Parquet file."""
    if is_parquet(data):
        return rows_of_parquet(data, name)
    if not data.startswith(MAGIC):
        return data.decode().split("\n")[:-1]
    rows: list[str] = []
    header = read_header(data, name)
    at = header.length if header else len(data)
    while at < len(data) and (block := read_block(data, at, len(data) - at, name)):
        start = at + block.head
        rows += _strings(data[start : start + block.size])
        at += block.length
    return rows


def _avro(rows: Sequence[str]) -> bytes:
    """An Avro file of one column, in blocks of a few rows."""
    parts = [header_bytes(AVRO)]
    for start in range(0, len(rows), ROWS_A_BLOCK):
        block = [sized_bytes(row.encode()) for row in rows[start : start + ROWS_A_BLOCK]]
        parts += [long_bytes(len(block)), sized_bytes(b"".join(block)), AVRO.sync]
    return b"".join(parts)


def _strings(block: bytes) -> list[str]:
    """The strings of a block, each behind its length."""
    strings: list[str] = []
    at = 0
    while at < len(block):
        length, at = signed(block, at)
        strings.append(block[at : at + length].decode())
        at += length
    return strings
