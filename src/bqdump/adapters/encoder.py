"""The Encoder on polars: Arrow record batches into Parquet, CSV and newline-delimited JSON, whole columns at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Any, cast

import polars as pl
from isal import isal_zlib
from polars.io.plugins import register_io_source

from bqdump.adapters.arrow_schema import END_OF_STREAM, for_polars
from bqdump.adapters.micros import MicrosSchema, has_time
from bqdump.adapters.presentation import DATETIME, TIME, presented
from bqdump.core.errors import BqdumpError
from bqdump.ports.encoder import FileShape
from bqdump.ports.reader import Batch

# Small batches cost speed, large ones leave the processor's cache: about so many bytes of Arrow are decoded at once.
GATHER_BYTES = 2 << 20
# Parquet: a row group of about so many bytes of Arrow is held until it is complete, and a few are under way at once.
ROW_GROUP_BYTES = 16 << 20
ZSTD_LEVEL = 1
GZIP_LEVEL = 1
GZIP_WINDOW = 31


class PolarsEncoder:
    """See Encoder. memory: about so many bytes it may use for one file, beside what it has got from outside."""

    def __init__(self, memory: int = 8 * ROW_GROUP_BYTES) -> None:
        self._gather_bytes = max(1 << 16, min(GATHER_BYTES, memory // 16))
        self._group_bytes = max(1 << 16, min(ROW_GROUP_BYTES, memory // 8))

    def encode(self, schema: bytes, batches: Iterator[Batch], shape: FileShape, file: IO[bytes]) -> int:
        """See Encoder."""
        frames = _Frames(for_polars(schema), _gathered(batches, self._gather_bytes))
        target = _Gzip(file) if shape.codec == "gzip" and shape.format != "parquet" else _Plain(file)
        try:
            source = register_io_source(frames.pull, schema=frames.empty.schema)
            written = source.select(presented(shape.columns, shape.format))
            if shape.format == "parquet":
                self._parquet(written, frames, shape, target)
            else:
                _text(written, shape, target)
        except BaseException as error:
            # polars reports what the source or the file has raised as an error of its own, or panics.
            if cause := frames.failed or target.failed:
                raise cause from None
            if isinstance(error, pl.exceptions.PolarsError) or type(error).__name__ == "PanicException":
                raise BqdumpError("encode", f"rows as {shape.format}", str(error).splitlines()[0]) from error
            raise
        target.finish()
        return frames.rows

    def _parquet(self, written: pl.LazyFrame, frames: _Frames, shape: FileShape, target: _Plain) -> None:
        rows = max(1, self._group_bytes // max(1, frames.row_bytes))
        schema = written.collect_schema()
        written.sink_parquet(
            cast("IO[bytes]", target),
            compression="uncompressed" if shape.codec == "none" else cast("Any", shape.codec),
            compression_level=ZSTD_LEVEL if shape.codec == "zstd" else None,
            row_group_size=min(rows, shape.row_group_rows or rows),
            arrow_schema=MicrosSchema(schema) if has_time(schema.dtypes()) else None,
        )


def _text(written: pl.LazyFrame, shape: FileShape, target: _Plain) -> None:
    if shape.format == "json":
        written.sink_ndjson(cast("IO[bytes]", target))
    else:
        written.sink_csv(
            cast("IO[bytes]", target),
            include_header=shape.header,
            separator=shape.delimiter,
            null_value=shape.null_marker,
            datetime_format=DATETIME,
            time_format=TIME,
        )


class _Frames:
    """The rows as frames, for polars to pull. The first is taken at once, for it tells how wide a row is."""

    def __init__(self, head: bytes, gathered: Iterator[list[Batch]]) -> None:
        self._head, self._gathered = head, gathered
        self._first = next(gathered, [])
        self.empty = self._frame([])
        self.rows, self.failed = 0, None

    failed: BaseException | None

    @property
    def row_bytes(self) -> int:
        """Bytes of Arrow a row, by the first rows."""
        rows = sum(batch.rows for batch in self._first)
        return sum(len(batch.data) for batch in self._first) // rows if rows else 0

    def pull(self, _columns: Any, _predicate: Any, _rows: Any, _batch_size: Any) -> Iterator[pl.DataFrame]:
        """All frames in turn; nothing is chosen here, for a file takes everything."""
        gathered: list[Batch] | None = self._first
        try:
            while gathered is not None:
                frame = self._frame(gathered)
                _check(frame.height, sum(batch.rows for batch in gathered))
                self.rows += frame.height
                yield frame
                gathered = next(self._gathered, None)
        except Exception as error:
            self.failed = error
            raise

    def _frame(self, batches: list[Batch]) -> pl.DataFrame:
        return pl.read_ipc_stream(b"".join([self._head, *(batch.data for batch in batches), END_OF_STREAM]))


def _check(rows: int, announced: int) -> None:
    if rows != announced:
        raise BqdumpError("read", "rows", f"{rows} arrived where {announced} were announced")


def _gathered(batches: Iterator[Batch], size: int) -> Iterator[list[Batch]]:
    gathered: list[Batch] = []
    total = 0
    for batch in batches:
        gathered.append(batch)
        total += len(batch.data)
        if total >= size:
            yield gathered
            gathered, total = [], 0
    if gathered:
        yield gathered


class _Plain:
    """The file as polars writes to it; keeps what the file raises."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.failed: BaseException | None = None

    def write(self, data: bytes) -> int:
        """Pass the bytes on."""
        try:
            self._pass(data)
        except BaseException as error:
            self.failed = error
            raise
        return len(data)

    def flush(self) -> None:
        """Whoever has opened the file ends it."""

    def finish(self) -> None:
        """Write what is left."""

    def _pass(self, data: bytes) -> None:
        self._file.write(data)


class _Gzip(_Plain):
    """The same, compressed on the way: ISA-L does so several times faster than zlib, at nearly the same ratio."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(file)
        self._packer = isal_zlib.compressobj(level=GZIP_LEVEL, wbits=GZIP_WINDOW)

    def finish(self) -> None:
        """Write what is left."""
        self._file.write(self._packer.flush())

    def _pass(self, data: bytes) -> None:
        self._file.write(self._packer.compress(data))
