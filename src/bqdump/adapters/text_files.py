"""CSV and newline-delimited JSON with polars, column by column, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import IO, Any

import polars as pl
from polars.io.plugins import register_io_source

from bqdump.adapters.arrow_schema import for_polars
from bqdump.adapters.batches import check_columns, check_rows, gathered
from bqdump.adapters.csv_quoting import by_polars, quoted
from bqdump.adapters.frames import frame
from bqdump.adapters.presentation import DATETIME, TIME, presented
from bqdump.ports.encoder import FileShape
from bqdump.ports.reader import Batch

# The bytes of Arrow to decode at a time: small batches are slow, and large ones do not fit into the processor's cache.
# They are a small share of a file's memory, since polars works on several frames at a time.
GATHER_BYTES, SHARE = 1 << 20, 16


def write_text(schema: bytes, batches: Iterator[Batch], shape: FileShape, file: IO[bytes], memory: int) -> int:
    """Write all rows in order. Returns their number."""
    size = max(1 << 16, min(GATHER_BYTES, memory // SHARE))
    frames = _Frames(for_polars(schema), gathered(batches, size), shape.renamed)
    check_columns(frames.empty.columns, [column.name for column in shape.columns])
    try:
        source = register_io_source(frames.pull, schema=frames.empty.schema)
        if shape.format == "json":
            source.select(presented(shape.columns, shape.format)).sink_ndjson(file)
        else:
            ours = not by_polars(shape)
            source.select(quoted(shape) if ours else presented(shape.columns, shape.format)).sink_csv(
                file,
                quote_style="never" if ours else "necessary",
                include_header=shape.header,
                separator=shape.delimiter,
                null_value=shape.null_marker,
                datetime_format=DATETIME,
                time_format=TIME,
            )
    except BaseException:
        # Polars wraps exceptions raised while decoding, or panics.
        if frames.failed:
            raise frames.failed from None
        raise
    return frames.rows


class _Frames:
    """The rows as frames that polars pulls."""

    failed: BaseException | None

    def __init__(self, head: bytes, batches: Iterator[list[Batch]], renamed: Mapping[str, str]) -> None:
        self._head, self._batches, self._renamed = head, batches, renamed
        self.empty = frame(head, [], renamed)
        self.rows, self.failed = 0, None

    def pull(self, _columns: Any, _predicate: Any, _rows: Any, _batch_size: Any) -> Iterator[pl.DataFrame]:
        """Yield all frames. The arguments are ignored, since a file contains all columns and rows."""
        try:
            for batches in self._batches:
                made = frame(self._head, batches, self._renamed)
                check_rows(made.height, batches)
                self.rows += made.height
                yield made
        except Exception as error:
            self.failed = error
            raise
