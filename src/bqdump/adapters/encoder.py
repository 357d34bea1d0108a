"""The Encoder: Arrow record batches into Parquet, CSV and newline-delimited JSON, whole columns at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, cast

from isal import isal_zlib

from bqdump.core.errors import BqdumpError, RowsError, words_of
from bqdump.ports.encoder import FileShape
from bqdump.ports.reader import Batch

GZIP_LEVEL = 1
GZIP_WINDOW = 31
MEMORY = 128 << 20


class ArrowEncoder:
    """See Encoder. memory: about so many bytes it may use for one file, beside what it has got from outside."""

    def __init__(self, memory: int = MEMORY) -> None:
        self._memory = memory

    def encode(self, schema: bytes, batches: Iterator[Batch], shape: FileShape, file: IO[bytes]) -> int:
        """See Encoder."""
        target = _Gzip(file) if shape.codec == "gzip" and shape.format != "parquet" else _Plain(file)
        given, source = cast("IO[bytes]", target), _Source(batches)
        # The library of one format is not imported for the other.
        if shape.format == "parquet":
            from bqdump.adapters.parquet_files import write_parquet as write
        else:
            from bqdump.adapters.text_files import write_text as write
        try:
            rows = write(schema, iter(source), shape, given, self._memory)
        except BaseException as error:
            target.drop()
            if cause := target.failed or source.failed:
                # The libraries report it as an error of their own.
                raise cause from None
            if isinstance(error, BqdumpError) or not (isinstance(error, Exception) or _is_panic(error)):
                raise
            raise RowsError("encode", f"rows as {shape.format}", words_of(error)) from error
        target.finish()
        return rows


class _Source:
    """The batches; keeps what they raise."""

    def __init__(self, batches: Iterator[Batch]) -> None:
        self._batches = batches
        self.failed: BaseException | None = None

    def __iter__(self) -> Iterator[Batch]:
        """Each of them."""
        try:
            yield from self._batches
        except Exception as error:
            self.failed = error
            raise


def _is_panic(error: BaseException) -> bool:
    """Whether polars has met a bug of its own, which it does not report as an Exception."""
    return type(error).__name__ == "PanicException"


class _Plain:
    """The file as libraries write to it; keeps what the file raises, which they may report as something else."""

    closed = False

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._dropped = file, False
        self.failed: BaseException | None = None

    def write(self, data: bytes) -> int:
        """Pass the bytes on."""
        if self._dropped:
            return len(data)
        try:
            self._pass(data)
        except BaseException as error:
            self.failed = error
            raise
        return len(data)

    def flush(self) -> None:
        """Whoever has opened the file ends it."""

    def close(self) -> None:
        """Whoever has opened the file closes it."""

    def finish(self) -> None:
        """Write what is left."""

    def drop(self) -> None:
        """Let nothing through any more: pyarrow completes a file even while its writer is thrown away."""
        self._dropped = True

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
