"""The Encoder: Arrow record batches to Parquet, CSV and newline-delimited JSON, column by column."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import IO, cast

from isal import isal_zlib

from bqdump.core.errors import BqdumpError, RowsError, words_of
from bqdump.ports.reader import Batch, FileShape

GZIP_LEVEL = 1
GZIP_WINDOW = 31
MEMORY = 128 << 20
_IMPORTING = threading.Lock()


class ArrowEncoder:
    """See Encoder. memory: the approximate number of bytes to use for one file, in addition to the batches."""

    def __init__(self, memory: int = MEMORY) -> None:
        self._memory = memory

    def encode(self, schema: bytes, batches: Iterator[Batch], shape: FileShape, file: IO[bytes]) -> int:
        target = _Gzip(file) if shape.codec == "gzip" and shape.format != "parquet" else _Plain(file)
        bare, source = cast("IO[bytes]", target), _Source(batches)
        write = _writer(shape.format)
        try:
            rows = write(schema, iter(source), shape, bare, self._memory)
        except BaseException as error:
            target.drop()
            if cause := target.failed or source.failed:
                # The libraries wrap it in errors of their own.
                raise cause from None
            if isinstance(error, BqdumpError) or not (isinstance(error, Exception) or _is_panic(error)):
                raise
            raise RowsError("encode", f"rows as {shape.format}", words_of(error)) from error
        target.finish()
        return rows


def _writer(format_: str) -> Callable[..., int]:
    """The function that writes a format. Only the library that the format needs is imported.

    By one thread at a time: where an import fails, another thread that waits for it gets half a module, and an error
    without the cause.
    """
    with _IMPORTING:
        if format_ == "parquet":
            from bqdump.adapters.read.parquet_files import write_parquet

            return write_parquet
        from bqdump.adapters.read.text_files import write_text

        return write_text


class _Source:
    """The batches, and the exception that they have raised, if any."""

    def __init__(self, batches: Iterator[Batch]) -> None:
        self._batches = batches
        self.failed: BaseException | None = None

    def __iter__(self) -> Iterator[Batch]:
        """Yield each batch."""
        try:
            yield from self._batches
        except Exception as error:
            self.failed = error
            raise


def _is_panic(error: BaseException) -> bool:
    """Whether this is a panic of polars, which is not an Exception."""
    return type(error).__name__ == "PanicException"


class _Plain:
    """The file that libraries write to, and the exception that it has raised, which they may replace by another."""

    closed = False

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._dropped = file, False
        self.failed: BaseException | None = None

    def write(self, data: bytes) -> int:
        """Write the bytes to the file."""
        if self._dropped:
            return len(data)
        try:
            self._pass(data)
        except BaseException as error:
            self.failed = error
            raise
        return len(data)

    def flush(self) -> None:
        """Do nothing: the caller flushes the file."""

    def close(self) -> None:
        """Do nothing: the caller closes the file."""

    def finish(self) -> None:
        """Write what is left."""

    def drop(self) -> None:
        """Ignore further writes: pyarrow completes a file even when its writer is discarded."""
        self._dropped = True

    def _pass(self, data: bytes) -> None:
        self._file.write(data)


class _Gzip(_Plain):
    """The same, with gzip compression by ISA-L: several times faster than zlib, at almost the same ratio."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(file)
        self._packer = isal_zlib.compressobj(level=GZIP_LEVEL, wbits=GZIP_WINDOW)

    def finish(self) -> None:
        """Write what is left."""
        self._file.write(self._packer.flush())

    def _pass(self, data: bytes) -> None:
        self._file.write(self._packer.compress(data))
