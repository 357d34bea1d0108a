"""Parquet with pyarrow, one row group at a time, with dictionaries only for columns whose values repeat.

A Parquet writer spends half of its time on dictionaries that do not pay off, and that make files larger. The first
rows show which columns benefit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bqdump.core.errors import RowsError
from bqdump.core.formats.types import Column
from bqdump.ports.reader import Batch, FileShape, check_columns, check_rows, gathered

# The size of a row group in Arrow, which is held in memory until it is complete. A quarter of it remains in the file,
# where BigQuery recommends 16 MiB:
# https://cloud.google.com/bigquery/docs/loading-data-cloud-storage-parquet#input_file_requirements
ROW_GROUP_BYTES = 64 << 20
# The shares of a file's memory: the rows of a row group, their encoded form, and batches that arrive meanwhile.
SHARE = 4
ZSTD_LEVEL = 1
# A column gets a dictionary if this many first rows have at most a quarter as many distinct values.
SAMPLE_ROWS, REPEATED = 10_000, 4
# The bytes of Arrow that polars decodes at a time, for columns that it converts.
PRESENTED_BYTES = 2 << 20
# Types that Parquet does not have are written as strings, which polars produces.
AS_TEXT = ("BIGNUMERIC", "INTERVAL", "RANGE")


def write_parquet(schema: bytes, batches: Iterator[Batch], shape: FileShape, file: IO[bytes], memory: int) -> int:
    """Write all rows in order. Returns their number."""
    decoded = _Presented(schema, shape) if _has_text(shape.columns) else _Decoded(schema, shape)
    size = max(1 << 16, min(ROW_GROUP_BYTES, memory // SHARE))
    groups = _row_groups(decoded.batches(batches), size, shape.row_group_rows)
    written = _with_ids(decoded.schema) if shape.field_ids else decoded.schema
    first = next(groups, decoded.schema.empty_table())
    rows = int(first.num_rows)
    writer = pq.ParquetWriter(
        file,
        written,
        compression=shape.codec,
        compression_level=ZSTD_LEVEL if shape.codec == "zstd" else None,
        use_dictionary=_repeated(first.slice(0, SAMPLE_ROWS)),
        store_schema=False,
    )
    writer.write_table(first)
    del first
    for group in groups:
        writer.write_table(group)
        rows += group.num_rows
    writer.close()
    return rows


class _Decoded:
    """Batches as they arrive, not copied, with their columns in the order of the file."""

    def __init__(self, schema: bytes, shape: FileShape) -> None:
        try:
            arriving = pa.ipc.read_schema(pa.py_buffer(schema))
        except (pa.ArrowException, OSError) as error:
            raise RowsError("read", "the schema of a read session", f"it is damaged ({error})") from error
        named = [field.with_name(shape.renamed.get(field.name, field.name)) for field in arriving]
        self._arriving = pa.schema([_optional_below(field) for field in named])
        self._names = [column.name for column in shape.columns]
        check_columns(self._arriving.names, self._names)
        self.schema = pa.schema([self._arriving.field(name) for name in self._names])

    def batches(self, batches: Iterator[Batch]) -> Iterator[tuple[Any, int]]:
        """Each pyarrow batch with its size in bytes."""
        for batch in batches:
            record = pa.ipc.read_record_batch(pa.py_buffer(batch.data), self._arriving)
            check_rows(record.num_rows, [batch])
            yield record.select(self._names), len(batch.data)


class _Presented:
    """Batches with columns that must be converted."""

    def __init__(self, schema: bytes, shape: FileShape) -> None:
        from bqdump.adapters.read.columns import for_polars, frame, presented

        self._head, self._columns = for_polars(schema), presented(shape.columns, shape.format)
        self._renamed = shape.renamed
        check_columns(frame(self._head, [], self._renamed).columns, [column.name for column in shape.columns])
        empty = self._table([])
        self.schema = pa.schema([field.with_type(_micros(field.type)) for field in empty.schema])

    def batches(self, batches: Iterator[Batch]) -> Iterator[tuple[Any, int]]:
        """Pyarrow batches of a few megabytes, with their sizes in bytes."""
        for some in gathered(batches, PRESENTED_BYTES):
            record = self._table(some)
            check_rows(record.num_rows, some)
            for batch in record.cast(self.schema).to_batches():
                yield batch, batch.nbytes

    def _table(self, batches: list[Batch]) -> Any:
        import polars as pl

        from bqdump.adapters.read.columns import frame

        rows = frame(self._head, batches, self._renamed).select(self._columns)
        return rows.to_arrow(compat_level=pl.CompatLevel.oldest())


def _optional_below(field: Any, *, within: bool = False) -> Any:
    """The column with optional members wherever the STRUCT around them may be NULL: these have no values then.

    Arrow has a NULL for such a member, and does not write it into a column that has none. within: such a STRUCT.
    """
    kind = field.type
    if pa.types.is_struct(kind):
        # Elements of arrays are never NULL, whatever their field says.
        kind = pa.struct([_optional_below(member, within=within or field.nullable) for member in kind])
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind):
        element = _optional_below(kind.value_field.with_nullable(False)).with_nullable(kind.value_field.nullable)
        kind = pa.list_(element) if pa.types.is_list(kind) else pa.large_list(element)
    return field.with_type(kind).with_nullable(field.nullable or within)


def _with_ids(schema: Any) -> Any:
    """The same schema with the ids of an Iceberg table's columns."""
    from bqdump.core.iceberg.columns import field_ids

    ids = field_ids(_paths(schema, ""))
    return pa.schema([_numbered(field, field.name, ids) for field in schema])


def _paths(fields: Any, prefix: str) -> Iterator[str]:
    """The path of each column, before those of its members or elements."""
    for field in fields:
        path = f"{prefix}{field.name}"
        yield path
        if pa.types.is_struct(field.type):
            yield from _paths(field.type, f"{path}.")
        elif pa.types.is_list(field.type) or pa.types.is_large_list(field.type):
            yield from _paths([field.type.value_field.with_name("element")], f"{path}.")


def _numbered(field: Any, path: str, ids: Mapping[str, int]) -> Any:
    kind = field.type
    if pa.types.is_struct(kind):
        kind = pa.struct([_numbered(member, f"{path}.{member.name}", ids) for member in kind])
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind):
        element = _numbered(kind.value_field, f"{path}.element", ids)
        kind = pa.list_(element) if pa.types.is_list(kind) else pa.large_list(element)
    return pa.field(field.name, kind, field.nullable, {"PARQUET:field_id": str(ids[path])})


def _has_text(columns: Sequence[Column]) -> bool:
    return any(column.type in AS_TEXT or _has_text(column.fields) for column in columns)


def _micros(kind: Any) -> Any:
    """The type with TIME in microseconds. Polars supports only nanoseconds, which BigQuery's load jobs misread.

    Source: https://github.com/googleapis/python-bigquery/issues/382
    """
    if pa.types.is_time(kind):
        return pa.time64("us")
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_micros(field.type)) for field in kind])
    if pa.types.is_large_list(kind):
        return pa.large_list(kind.value_field.with_type(_micros(kind.value_type)))
    return kind


def _row_groups(batches: Iterator[tuple[Any, int]], size: int, most_rows: int) -> Iterator[Any]:
    """Tables of about `size` bytes, with at most `most_rows` rows (0: any number)."""
    held: list[Any] = []
    rows = total = 0
    for arrived, bytes_ in batches:
        batch = arrived
        while most_rows and rows + batch.num_rows >= most_rows:
            yield pa.Table.from_batches([*held, batch.slice(0, most_rows - rows)])
            batch, held, rows, total = batch.slice(most_rows - rows), [], 0, 0
        if batch.num_rows:
            held.append(batch)
            rows, total = rows + batch.num_rows, total + bytes_
        if total >= size:
            yield pa.Table.from_batches(held)
            held, rows, total = [], 0, 0
    if held:
        yield pa.Table.from_batches(held)


def _repeated(sample: Any) -> list[str]:
    """The paths of the columns whose values repeat, one for each leaf of a nested column."""
    columns = ((name, sample.column(name).combine_chunks()) for name in sample.schema.names)
    leaves = (leaf for name, column in columns for leaf in _leaves(name, column))
    return [path for path, values in leaves if len(pc.unique(values)) * REPEATED <= len(values)]


def _leaves(path: str, values: Any) -> Iterator[tuple[str, Any]]:
    if pa.types.is_struct(values.type):
        for index, field in enumerate(values.type):
            yield from _leaves(f"{path}.{field.name}", values.field(index))
    elif pa.types.is_list(values.type) or pa.types.is_large_list(values.type):
        yield from _leaves(f"{path}.list.element", values.flatten())
    else:
        yield path, values
