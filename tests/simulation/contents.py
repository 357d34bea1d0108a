"""What a file holds, as lines: files of the simulation are text, or Avro or Parquet of one column."""

from __future__ import annotations

import io

import fastavro

from bqdump.core.formats.avro_blocks import read_header
from bqdump_memory.parquet_lines import rows_of_parquet


def is_parquet(data: bytes) -> bool:
    """Whether this is the beginning of a Parquet file."""
    return data.startswith(b"PAR1")


def is_avro(data: bytes) -> bool:
    """Whether this is the beginning of an Avro file."""
    return data.startswith(b"Obj\x01")


def flipped(data: bytes, place: int) -> bytes:
    """The same with another bit in the byte of this place."""
    changed = bytearray(data)
    changed[place] ^= 0x40
    return bytes(changed)


def miscounted(data: bytes) -> bytes:
    """The same Avro file with 32 rows more in its first block, than any job leaves out; without a block, with another
    last byte."""
    header = read_header(data, "")
    return flipped(data, header.length if header and header.length < len(data) else -1)


def lines_of(data: bytes) -> bytes:
    """The rows of a file, a line each."""
    if is_parquet(data):
        return "".join(f"{row}\n" for row in rows_of_parquet(data, "")).encode()
    if not is_avro(data):
        return data
    return "".join(f"{row['line']}\n" for row in fastavro.reader(io.BytesIO(data))).encode()


def in_order(lines: bytes) -> bytes:
    """The same lines in order: BigQuery promises none, and no two rows are alike."""
    return b"".join(sorted(lines.splitlines(keepends=True)))
