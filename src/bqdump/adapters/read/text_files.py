"""CSV and newline-delimited JSON with polars, column by column, in bounded memory.

CSV values in quotes where they contain the delimiter or could be read as NULL.

Polars quotes strings that contain the delimiter, but not numbers, dates and times that do, nor strings that equal the
NULL marker. Where that can happen, all quotes are written here, and polars adds none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import IO, Any

import polars as pl
from polars.io.plugins import register_io_source

from bqdump.adapters.read.columns import DATETIME, TIME, for_polars, frame, presented
from bqdump.core.formats.types import Column
from bqdump.ports.reader import Batch, FileShape, check_columns, check_rows, gathered

DIGITS = "0123456789"
# The characters of values that polars never quotes, by type. Values of other types are strings.
CHARACTERS: dict[str, frozenset[str]] = {
    "INT64": frozenset(f"{DIGITS}-"),
    "FLOAT64": frozenset(f"{DIGITS}+-.einfNa"),
    "NUMERIC": frozenset(f"{DIGITS}-."),
    "BOOL": frozenset("truefals"),
    "DATE": frozenset(f"{DIGITS}-"),
    "TIME": frozenset(f"{DIGITS}:."),
    "DATETIME": frozenset(f"{DIGITS}-:.T"),
}
BARE = frozenset[str]().union(*CHARACTERS.values())


def by_polars(shape: FileShape) -> bool:
    """Whether polars quotes every value that needs quotes."""
    return not shape.null_marker and shape.delimiter not in BARE


def quoted(shape: FileShape) -> list[pl.Expr]:
    """The columns of a CSV file, with quotes around the names and values that need them."""
    names = [column.name for column in shape.columns]
    values = zip(shape.columns, presented(shape.columns, shape.format), strict=True)
    texts = [_quoted(_text(value, column), shape) if _needs(column, shape) else value for column, value in values]
    return [value.alias(name) for value, name in zip(texts, _header(names, shape), strict=True)]


def _needs(column: Column, shape: FileShape) -> bool:
    """Whether a value of this column may need quotes."""
    characters = CHARACTERS.get(column.type)
    if characters is None or shape.delimiter in characters:
        return True
    return bool(shape.null_marker) and characters.issuperset(shape.null_marker)


def _text(value: pl.Expr, column: Column) -> pl.Expr:
    """The value as polars writes it to CSV."""
    match column.type:
        case "DATETIME":
            return value.dt.to_string(DATETIME)
        case "TIME":
            return value.dt.to_string(TIME)
        case _:
            return value.cast(pl.String)


def _quoted(text: pl.Expr, shape: FileShape) -> pl.Expr:
    # Without quotes an empty string would be an empty field, which is NULL by default.
    special = text.str.contains_any([shape.delimiter, '"', "\n", "\r"]) | text.is_in(["", shape.null_marker])
    inner = text.str.replace_all('"', '""', literal=True)
    return pl.when(special).then(pl.concat_str(pl.lit('"'), inner, pl.lit('"'))).otherwise(text)


def _header(names: Sequence[str], shape: FileShape) -> list[str]:
    return [
        '"' + name.replace('"', '""') + '"' if any(mark in name for mark in (shape.delimiter, '"')) else name
        for name in names
    ]


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
                rows = frame(self._head, batches, self._renamed)
                check_rows(rows.height, batches)
                self.rows += rows.height
                yield rows
        except Exception as error:
            self.failed = error
            raise
