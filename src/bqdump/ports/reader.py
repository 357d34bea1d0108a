"""The reader: streams a table's rows into this process."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

from bqdump.core.tables.catalog import Dataset


class ReadRequest(NamedTuple):
    """A request to read the table `table` of `dataset` as it was at `snapshot` (ms), in at most `streams` streams.

    columns: () for all. restriction: a GoogleSQL expression that selects rows, "" for all. least: the preferred minimum
    number of streams.
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
        ...

    def read(self, stream: str, offset: int) -> Iterator[Batch]:
        """The rows of a stream from the row `offset` on, in the same order each time. Blocks its thread.

        Raises SessionLostError if the session has ended.
        """
        ...

    def now(self) -> int:
        """The reader's clock, in milliseconds since 1970 UTC."""
        ...

    async def close(self) -> None:
        """Release connections and threads."""
        ...
