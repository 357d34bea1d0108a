"""The reader: streams a table's rows into this process.

The encoder: writes rows to files. Batches of rows: in groups, and with the columns and rows that they announce.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import IO, NamedTuple, Protocol

from bqdump.core.errors import RowsError
from bqdump.core.formats.types import Column
from bqdump.core.sizes import counted
from bqdump.core.tables.catalog import Dataset


class ReadRequest(NamedTuple):
    """A request to read the table `table` of `dataset` as it was at `snapshot` (ms), in at most `streams` streams.

    columns: () for all.
    restriction: a GoogleSQL expression that selects rows, "" for all.
    least: the preferred minimum number of streams.
    """

    dataset: Dataset
    table: str
    snapshot: int
    columns: tuple[str, ...]
    restriction: str
    streams: int
    least: int = 1


class ReadSession(NamedTuple):
    """A table at one snapshot time, divided into streams. Each row is in exactly one stream, for every reader.

    schema: the Arrow schema, as an IPC message. A table without rows may have no streams.
    """

    name: str
    streams: tuple[str, ...]
    schema: bytes


class Batch(NamedTuple):
    """An Arrow record batch, as an IPC message, and its number of rows."""

    data: bytes | memoryview
    rows: int


class Reader(Protocol):
    """A service that streams rows. Every error is a BqdumpError."""

    async def open(self, request: ReadRequest) -> ReadSession:
        """Open a session, which lasts for hours.

        Raises NotFoundError if there is no such table, JobFailedError if it cannot be read this way.
        """

    def read(self, stream: str, offset: int) -> Iterator[Batch]:
        """The rows of a stream from the row `offset` on, in the same order each time. Blocks its thread.

        Raises SessionLostError if the session has ended.
        """

    def now(self) -> int:
        """The reader's clock, in milliseconds since 1970 UTC."""

    async def close(self) -> None:
        """Release connections and threads."""


class FileShape(NamedTuple):
    """The format of a table's files.

    columns: the columns of the files, in order. The rows may have them in another order.
    renamed: what columns are called in the files, by their names in the rows, where these differ.
    null_marker: the text that means NULL in CSV.
    row_group_rows: the maximum number of rows in a Parquet row group; 0: the encoder decides.
    field_ids: whether the columns of a Parquet file have the ids of an Iceberg table.
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


def gathered(batches: Iterable[Batch], size: int) -> Iterator[list[Batch]]:
    """Groups of batches, each of about `size` bytes in total; the last one may be smaller."""
    held: list[Batch] = []
    total = 0
    for batch in batches:
        held.append(batch)
        total += len(batch.data)
        if total >= size:
            yield held
            held, total = [], 0
    if held:
        yield held


def check_columns(arriving: Sequence[str], expected: Sequence[str]) -> None:
    """Raise RowsError if the rows have other columns than the file, so that no column is lost silently."""
    if missing := [name for name in expected if name not in arriving]:
        raise RowsError("read", "rows", f"missing column {missing[0]}")
    if unknown := [name for name in arriving if name not in expected]:
        raise RowsError("read", "rows", f"unknown column {unknown[0]}")


def check_rows(rows: int, batches: Sequence[Batch]) -> None:
    """Raise RowsError if batches contain more or fewer rows than they announce."""
    announced = sum(batch.rows for batch in batches)
    if rows != announced:
        raise RowsError("read", "rows", f"{counted(rows, 'row')} arrived, and {announced:,} were announced")
