"""Parquet files with BigQuery's types, and how such files are read.

Types: https://cloud.google.com/bigquery/docs/exporting-data#parquet_export_details. Assumed, since undocumented:
GEOGRAPHY is WKB, as in GeoParquet, and a BIGNUMERIC with more than 38 digits before the point fails the job.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import arro3.compute
import arro3.io
from arro3.core import DataType, RecordBatch, RecordBatchReader, Schema
from arro3.core import Field as ArrowField

from bqdump_local.bigquery.errors import invalid
from bqdump_local.bigquery.files.decimals import Decimals
from bqdump_local.bigquery.files.formats import select
from bqdump_local.bigquery.types import Field, literal

if TYPE_CHECKING:
    import duckdb
    from arro3.core.types import ArrowStreamExportable

SCALARS = {
    "STRING": DataType.utf8(),
    "BYTES": DataType.binary(),
    "INTEGER": DataType.int64(),
    "FLOAT": DataType.float64(),
    "BOOLEAN": DataType.bool(),
    "TIMESTAMP": DataType.timestamp("us"),
    "DATE": DataType.date32(),
    "TIME": DataType.time64("us"),
    "DATETIME": DataType.timestamp("us"),
    "GEOGRAPHY": DataType.binary(),
    "JSON": DataType.utf8(),
}
CODECS: dict[str, Any] = {"NONE": "uncompressed", "SNAPPY": "snappy", "GZIP": "gzip(1)", "ZSTD": "zstd(1)"}
TRAILER_BYTES = 8
# The library shows precision and scale only in the name of a type.
DECIMAL = re.compile(r"Decimal\d+\((\d+), (-?\d+)\)")
ADJUSTED = {"adjusted_to_utc": "true"}
TOO_WIDE = "BIGNUMERIC value with more than 38 digits before the point cannot be exported to Parquet"


def write(cursor: duckdb.DuckDBPyConnection, source: str, fields: Sequence[Field], path: Path, codec: str) -> None:
    """Write the rows of a relation (the SQL after FROM) to one file."""
    schema = Schema([_field(field) for field in fields])
    rows = cursor.sql(f"SELECT {select(fields, _leaf)} FROM {source}")
    batches: Any = _batches(rows, schema)
    try:
        arro3.io.write_parquet(
            RecordBatchReader.from_batches(schema, batches),
            path,
            compression=CODECS[codec],
            key_value_metadata=_geoparquet(fields),
            skip_arrow_metadata=True,
        )
    except Exception as error:
        if TOO_WIDE in str(error):
            raise invalid(TOO_WIDE) from error
        raise
    _name_root(path)


def _name_root(path: Path) -> None:
    """Rename the root of the file's schema to its name in files of the service. It is the footer's first string."""
    with path.open("r+b") as file:
        file.seek(-TRAILER_BYTES, io.SEEK_END)
        length = int.from_bytes(file.read(TRAILER_BYTES)[:4], "little")
        file.seek(-TRAILER_BYTES - length, io.SEEK_END)
        start, footer = file.tell(), file.read(length)
        footer = footer.replace(b"\x0carrow_schema", b"\x06schema", 1)
        file.seek(start)
        file.write(footer + len(footer).to_bytes(4, "little") + b"PAR1")
        file.truncate()


def for_duckdb(path: Path, target: Path) -> Path:
    """A file that DuckDB reads without loss: the file itself, or one at `target` with wide decimals as strings."""
    reader = arro3.io.read_parquet(path)
    fields = _fields(reader.schema)
    readable = [field.with_type(_readable(field.type)) for field in fields]
    if all(field.type == to.type for field, to in zip(fields, readable, strict=True)):
        return path
    schema = Schema(readable, metadata=reader.schema.metadata)
    batches: Any = (_cast(batch, schema) for batch in reader)
    arro3.io.write_parquet(RecordBatchReader.from_batches(schema, batches), target, skip_arrow_metadata=True)
    return target


def decimals(path: Path) -> dict[tuple[str, ...], Decimals]:
    """The decimals in a file by path. An element of a list has the path of the list."""
    by_path: dict[tuple[str, ...], Decimals] = {}
    for field in _fields(arro3.io.read_parquet(path).schema):
        _collect((field.name,), field.type, by_path)
    return by_path


def _collect(path: tuple[str, ...], kind: DataType, by_path: dict[tuple[str, ...], Decimals]) -> None:
    has: Any = DataType
    if has.is_list(kind) and kind.value_field is not None:
        _collect(path, kind.value_field.type, by_path)
    elif has.is_struct(kind):
        for member in kind.fields:
            _collect((*path, member.name), member.type, by_path)
    elif match := DECIMAL.search(repr(kind)):
        by_path[path] = Decimals(int(match[1]), int(match[2]))


def _field(field: Field) -> ArrowField:
    metadata = ADJUSTED if field.type == "TIME" and field.mode != "REPEATED" else {}
    return ArrowField(field.name, _type(field), nullable=field.mode == "NULLABLE", metadata=metadata)


def _type(field: Field) -> DataType:
    if field.mode == "REPEATED":
        element = _field(field.element)
        return DataType.list(element.with_name("element").with_nullable(False))
    match field.type:
        case "RECORD":
            return DataType.struct([_field(member) for member in field.fields])
        case "NUMERIC":
            return DataType.decimal128(field.precision or 38, (field.scale or 0) if field.precision else 9)
        case "BIGNUMERIC":
            return DataType.decimal256(field.precision or 76, (field.scale or 0) if field.precision else 38)
        case _:
            return SCALARS[field.type]


def _leaf(field: Field, ref: str) -> str:
    match field.type:
        case "TIMESTAMP":
            return f"({ref})::TIMESTAMP"
        case "JSON":
            return f"({ref})::VARCHAR"
        case "NUMERIC" if field.precision:
            return f"({ref})::DECIMAL({field.precision},{field.scale or 0})"
        case "GEOGRAPHY":
            return f"ST_AsWKB(({ref})::GEOMETRY)"
        case "BIGNUMERIC":
            whole = f"ltrim(split_part({ref}, '.', 1), '-')"
            return f"CASE WHEN length({whole}) > 38 THEN error({literal(TOO_WIDE)}) ELSE {ref} END"
        case _:
            return ref


def _geoparquet(fields: Sequence[Field]) -> dict[str, str] | None:
    """The metadata of the GEOGRAPHY columns: https://geoparquet.org."""
    columns = {
        field.name: {"encoding": "WKB", "geometry_types": [], "edges": "spherical"}
        for field in fields
        if field.type == "GEOGRAPHY" and field.mode != "REPEATED"
    }
    if not columns:
        return None
    return {"geo": json.dumps({"version": "1.0.0", "primary_column": next(iter(columns)), "columns": columns})}


def _batches(rows: ArrowStreamExportable, schema: Schema) -> Iterator[RecordBatch]:
    for batch in RecordBatchReader.from_arrow(rows):
        yield _cast(batch, schema)


def _cast(batch: RecordBatch, schema: Schema) -> RecordBatch:
    # Always cast: types that differ only in the name of a list's element compare as equal.
    columns = [arro3.compute.cast(batch.column(n), field.type) for n, field in enumerate(_fields(schema))]
    return RecordBatch(columns, schema=schema)


def _fields(schema: Schema) -> list[ArrowField]:
    return [schema.field(number) for number in range(len(schema))]


def _readable(kind: DataType) -> DataType:
    """The type with strings instead of decimals of more than 38 digits."""
    # In the library's stubs, `bool` is the Arrow type.
    has: Any = DataType
    if has.is_decimal256(kind):
        return DataType.utf8()
    if has.is_list(kind) and kind.value_field is not None:
        return DataType.list(kind.value_field.with_type(_readable(kind.value_field.type)))
    if has.is_struct(kind):
        return DataType.struct([member.with_type(_readable(member.type)) for member in kind.fields])
    return kind
