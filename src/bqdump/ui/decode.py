"""`python -m bqdump.ui.decode avro|parquet FILE` prints the first rows of a file as JSON.

A process of its own: a broken file can make a decoder panic, abort or take all memory, and must not end the console.
"""

from __future__ import annotations

import sys
from typing import Any

import msgspec

ROWS = 50
COLUMNS = 200
CELL_CHARACTERS = 200


class Preview(msgspec.Struct, frozen=True, array_like=True):
    """Rows of cells under their columns; `more`: the file goes on."""

    columns: list[str]
    rows: list[list[str]]
    more: bool


def main(format_: str, path: str) -> None:
    """Print them."""
    import polars

    read = polars.read_avro if format_ == "avro" else polars.read_parquet
    frame = read(path, n_rows=ROWS + 1)
    rows = [[value_text(value) for value in row[:COLUMNS]] for row in frame.head(ROWS).rows()]
    shown = Preview([str(column) for column in frame.columns[:COLUMNS]], rows, frame.height > ROWS)
    sys.stdout.buffer.write(msgspec.json.encode(shown))


def value_text(value: Any) -> str:
    """A value as a cell shows it."""
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
    """As much of a text as a cell shows."""
    return text if len(text) <= CELL_CHARACTERS else text[:CELL_CHARACTERS] + "…"


if __name__ == "__main__":
    main(*sys.argv[1:])
