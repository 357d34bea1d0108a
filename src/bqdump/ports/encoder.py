"""The encoder: writes rows to files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import IO, NamedTuple, Protocol

from bqdump.core.formats.types import Column
from bqdump.ports.reader import Batch


class FileShape(NamedTuple):
    """The format of a table's files.

    columns: the columns of the files, in order. The rows may have them in another order. renamed: what columns are
    called in the files, by their names in the rows, where these differ. null_marker: the text that means NULL in CSV.
    row_group_rows: the maximum number of rows in a Parquet row group; 0: the encoder decides. field_ids: whether the
    columns of a Parquet file have the ids of an Iceberg table.
    """

    format: str
    codec: str
    columns: tuple[Column, ...]
    header: bool = True
    delimiter: str = ","
    null_marker: str = ""
    row_group_rows: int = 0
    renamed: Mapping[str, str] = {}
    field_ids: bool = False


class Encoder(Protocol):
    """A library that encodes rows."""

    def encode(self, schema: bytes, batches: Iterator[Batch], shape: FileShape, file: IO[bytes]) -> int:
        """Write the rows to the file in bounded memory, and return their number. Blocks its thread.

        Exceptions of `batches` and of the file are raised as they are. Raises RowsError if the rows cannot be decoded,
        or cannot be encoded in this format.
        """
        ...
