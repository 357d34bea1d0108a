"""The encoder: files made of rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, NamedTuple, Protocol

from bqdump.core.formats.types import Column
from bqdump.ports.reader import Batch


class FileShape(NamedTuple):
    """What the files of a table look like. `columns`: those of the files, in their order, which need not be that of the
    rows.

    null_marker: what stands for NULL in CSV. row_group_rows: of Parquet files, at most; 0 leaves it to the encoder.
    """

    format: str
    codec: str
    columns: tuple[Column, ...]
    header: bool = True
    delimiter: str = ","
    null_marker: str = ""
    row_group_rows: int = 0


class Encoder(Protocol):
    """Makes files of rows."""

    def encode(self, schema: bytes, batches: Iterator[Batch], shape: FileShape, file: IO[bytes]) -> int:
        """Write the rows to the file, holding a bounded part of them; returns how many there were. Blocks its thread.

        What `batches` or the file raise is raised. RowsError: the rows cannot be decoded, or not be written so.
        """
        ...
