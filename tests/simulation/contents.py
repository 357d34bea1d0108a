"""What a file holds, as lines: files of the simulation are text, or Avro of one column."""

from __future__ import annotations

import io

import fastavro


def lines_of(data: bytes) -> bytes:
    """The rows of a file, a line each."""
    if not data.startswith(b"Obj\x01"):
        return data
    return "".join(f"{row['line']}\n" for row in fastavro.reader(io.BytesIO(data))).encode()


def in_order(lines: bytes) -> bytes:
    """The same lines in order: BigQuery promises none, and no two rows are alike."""
    return b"".join(sorted(lines.splitlines(keepends=True)))
