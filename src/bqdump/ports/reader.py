"""The reader: a table's rows through this process, as the Storage Read API gives them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

from bqdump.core.plan.catalog import Dataset


class ReadRequest(NamedTuple):
    """A wish to read the table `table` of `dataset` as it was at `snapshot` (ms), in at most so many streams.

    columns: () for all. restriction: an expression of GoogleSQL that rows must meet, "" for none. least: as many
    streams as are wished for, where the warehouse would rather make fewer.
    """

    dataset: Dataset
    table: str
    snapshot: int
    columns: tuple[str, ...]
    restriction: str
    streams: int
    least: int = 1


class ReadSession(NamedTuple):
    """A table that can be read: each row comes in exactly one of the streams, whoever reads them, at one moment.

    schema: the Arrow schema, as an IPC message. A table without rows may have no streams.
    """

    name: str
    streams: tuple[str, ...]
    schema: bytes


class Batch(NamedTuple):
    """Rows as they arrive: an Arrow record batch, as an IPC message, and its number of rows."""

    data: bytes | memoryview
    rows: int


class Reader(Protocol):
    """The Storage Read API. Every error is a BqdumpError."""

    async def open(self, request: ReadRequest) -> ReadSession:
        """A session, good for hours. NotFoundError: no such table; JobFailedError: it cannot be read so."""
        ...

    def read(self, stream: str, offset: int) -> Iterator[Batch]:
        """The rows of a stream from this one on (0: all), in the same order each time. Blocks its thread.

        Raises SessionLostError when the session has ended.
        """
        ...

    def now(self) -> int:
        """The clock of whoever reads, in milliseconds since 1970 UTC."""
        ...

    async def close(self) -> None:
        """Let go of connections and threads."""
        ...
