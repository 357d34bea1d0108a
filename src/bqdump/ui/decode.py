"""`python -m bqdump.ui.decode avro|parquet FILE` prints the first rows of a file as JSON.

Runs in a separate process: a damaged file can make a decoder panic, abort or exhaust memory, which must not end
the console.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import msgspec

from bqdump.core.formats import avro_blocks

ROWS = 50
COLUMNS = 200
CELL_CHARACTERS = 200


class Preview(msgspec.Struct, frozen=True, array_like=True):
    """Rows of cells; `more`: the file has more rows."""

    columns: list[str]
    rows: list[list[str]]
    more: bool


def main(format_: str, path: str) -> None:
    """Print the first rows."""
    import polars

    if format_ == "avro":
        frame = polars.read_avro(io.BytesIO(_readable(Path(path).read_bytes(), path)), n_rows=ROWS + 1)
    else:
        frame = polars.read_parquet(path, n_rows=ROWS + 1, glob=False, hive_partitioning=False)
    rows = [[value_text(value) for value in row[:COLUMNS]] for row in frame.head(ROWS).rows()]
    shown = Preview([str(column) for column in frame.columns[:COLUMNS]], rows, frame.height > ROWS)
    sys.stdout.buffer.write(msgspec.json.encode(shown))


def _readable(data: bytes, name: str) -> bytes:
    """The same Avro file; the codec is removed if there are no blocks, because polars expects a compressed one."""
    header = avro_blocks.read_header(data, name)
    if header is None or header.length < len(data):
        return data
    return avro_blocks.header_bytes(header._replace(metadata={**header.metadata, "avro.codec": b"null"}))


def value_text(value: Any) -> str:
    """A value as text for a cell."""
    if value is None:
        return ""
    if isinstance(value, bytes):
        return shortened(value[:CELL_CHARACTERS].hex(" "))
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list):
        try:
            return shortened(msgspec.json.encode(value, enc_hook=str).decode("utf-8", "replace"))
        except RecursionError:
            return "(nested too deep)"
    return shortened(str(value))


def shortened(text: str) -> str:
    """Text cut to the length of a cell."""
    return text if len(text) <= CELL_CHARACTERS else text[:CELL_CHARACTERS] + "…"


if __name__ == "__main__":
    main(*sys.argv[1:])
