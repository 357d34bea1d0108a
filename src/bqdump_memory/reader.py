"""A Reader and an Encoder in memory: rows are lines of a MemoryWarehouse, and files contain those lines."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import IO

from bqdump.core.errors import JobFailedError, NotFoundError, SessionLostError
from bqdump.ports.reader import Batch, FileShape, ReadRequest, ReadSession
from bqdump_memory.parquet_lines import parquet_of
from bqdump_memory.tables import day_of, of_partition
from bqdump_memory.warehouse import MemoryWarehouse


class MemoryReader:
    """Streams of a MemoryWarehouse's tables. batch_rows: rows per batch."""

    def __init__(self, warehouse: MemoryWarehouse, clock: Callable[[], int], *, batch_rows: int = 1000) -> None:
        self._warehouse, self._clock, self._batch_rows = warehouse, clock, batch_rows

    async def open(self, request: ReadRequest) -> ReadSession:
        """See Reader."""
        subject = f"table {request.table}"
        table = self._warehouse.datasets.get((request.dataset.project, request.dataset.name), {}).get(request.table)
        if table is None or table.versions[-1].rows is None:
            raise NotFoundError("open a read session of", subject, "no such table")
        if table.kind != "TABLE":
            cause = "non-table entities cannot be read with the storage API"
            raise JobFailedError("open a read session of", subject, cause)
        partition = day_of(request.restriction)
        if (request.restriction and not partition) or set(request.columns) - {"line"}:
            cause = "memory has one column, and supports no restriction but to one partition"
            raise JobFailedError("open a read session of", subject, cause)
        rows = next((v.rows for v in reversed(table.versions) if v.since <= request.snapshot), None)
        if rows is None:
            raise NotFoundError("open a read session of", subject, "it did not exist at the snapshot time")
        if partition:
            rows = of_partition(rows, partition)
        # The warehouse keeps the sessions: any reader can read a stream by its name.
        streams, count = self._warehouse.streams, min(request.streams, len(rows))
        self._warehouse.sessions += 1
        name = f"session-{self._warehouse.sessions}"
        # Each session distributes the rows differently.
        shift = self._warehouse.sessions % max(1, len(rows))
        rows = rows[shift:] + rows[:shift]
        for number in range(count):
            first, after = len(rows) * number // count, len(rows) * (number + 1) // count
            streams[f"{name}/{number}"] = rows[first:after]
        return ReadSession(name, tuple(f"{name}/{number}" for number in range(count)), b"line")

    def read(self, stream: str, offset: int) -> Iterator[Batch]:
        """See Reader."""
        if stream not in self._warehouse.streams:
            raise SessionLostError("read", f"stream {stream}", "no such stream")
        rows = self._warehouse.streams[stream]
        for start in range(offset, len(rows), self._batch_rows):
            some = rows[start : start + self._batch_rows]
            yield Batch("".join(f"{row}\n" for row in some).encode(), len(some))

    def now(self) -> int:
        """See Reader."""
        return self._clock()

    async def close(self) -> None:
        """See Reader."""


class MemoryEncoder:
    """Files of lines, or Parquet files of one column."""

    def encode(self, schema: bytes, batches: Iterator[Batch], shape: FileShape, file: IO[bytes]) -> int:
        """See Encoder."""
        rows = 0
        if shape.format == "parquet":
            lines = [line for batch in batches for line in bytes(batch.data).decode().split("\n")[:-1]]
            file.write(parquet_of(lines))
            return len(lines)
        for batch in batches:
            file.write(batch.data)
            rows += batch.rows
        return rows
