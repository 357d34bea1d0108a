"""Rows in the format of the Storage Read API: Arrow types, and IPC messages with one schema or one record batch.

Types: https://cloud.google.com/bigquery/docs/reference/storage#arrow_schema_details. Assumed, since undocumented: the
parameters of NUMERIC and BIGNUMERIC are those of the Arrow type, and a BIGNUMERIC of 77 digits is sent in 256 bits,
although its type declares 76 digits. Inside a RECORD or an ARRAY, it fails the request here.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from decimal import Decimal, localcontext
from typing import TYPE_CHECKING, Literal

import arro3.compute
import arro3.io
from arro3.core import Array, DataType, RecordBatch, RecordBatchReader, Schema
from arro3.core import Field as ArrowField

from bqdump_local.bigquery.errors import invalid
from bqdump_local.bigquery.types import Field, literal, quote, shape

if TYPE_CHECKING:
    from arro3.core.types import ArrowStreamExportable

# How the buffers of a batch may be compressed.
Codec = Literal["LZ4", "ZSTD"]

EXTENSION = "ARROW:extension:name"
EXTENSIONS = {
    "DATETIME": {EXTENSION: "google:sqlType:datetime"},
    "GEOGRAPHY": {EXTENSION: "google:sqlType:geography", "ARROW:extension:metadata": '{"encoding": "WKT"}'},
    "JSON": {EXTENSION: "google:sqlType:json"},
}
SCALARS = {
    "STRING": DataType.utf8(),
    "BYTES": DataType.binary(),
    "INTEGER": DataType.int64(),
    "FLOAT": DataType.float64(),
    "BOOLEAN": DataType.bool(),
    "TIMESTAMP": DataType.timestamp("us", tz="UTC"),
    "DATE": DataType.date32(),
    "TIME": DataType.time64("us"),
    "DATETIME": DataType.timestamp("us"),
    "GEOGRAPHY": DataType.utf8(),
    "JSON": DataType.utf8(),
    "INTERVAL": DataType.month_day_nano_interval(),
}
MOST_MICROS = (1 << 63) // 1000 - 1
FRACTION = r"\.(\d+)$"
WIDE_BYTES = 32
BITS = DataType.binary(WIDE_BYTES)
OUT_OF_RANGE = "request failed: value out of range for Arrow: "
# https://arrow.apache.org/docs/format/Columnar.html#ipc-streaming-format
END_OF_STREAM = b"\xff\xff\xff\xff\x00\x00\x00\x00"


def arrow_schema(fields: Sequence[Field]) -> Schema:
    """The schema of these columns."""
    return Schema([_field(field) for field in fields])


def _field(field: Field) -> ArrowField:
    required = field.mode == "REQUIRED"
    return ArrowField(field.name, _type(field), nullable=not required, metadata=_extension(field))


def _extension(field: Field) -> dict[str, str]:
    return {} if field.mode == "REPEATED" else EXTENSIONS.get(field.type, {})


def _type(field: Field) -> DataType:
    if field.mode == "REPEATED":
        element = field.element
        return DataType.list(ArrowField("item", _type(element), nullable=True, metadata=_extension(element)))
    match field.type:
        case "RECORD":
            return DataType.struct([_field(member) for member in field.fields])
        case "NUMERIC":
            return DataType.decimal128(field.precision or 38, (field.scale or 0) if field.precision else 9)
        case "BIGNUMERIC":
            return DataType.decimal256(field.precision or 76, (field.scale or 0) if field.precision else 38)
        case "RANGE":
            end = SCALARS[field.range_of or "DATE"]
            return DataType.struct([ArrowField("start", end, nullable=True), ArrowField("end", end, nullable=True)])
        case _:
            return SCALARS[field.type]


def read_columns(fields: Sequence[Field]) -> str:
    """The select list with values that `batches` can convert to the types of `arrow_schema`."""
    parts = []
    for field in fields:
        ref = quote(field.name)
        # `batches` converts the string to bits.
        parts.append(f"{ref if _is_wide(field) else shape(field, ref, _leaf)} AS {ref}")
    return ", ".join(parts)


def _leaf(field: Field, ref: str) -> str:
    match field.type:
        case "NUMERIC":
            return f"({ref})::DECIMAL({field.precision},{field.scale or 0})" if field.precision else ref
        case "BIGNUMERIC":
            # arro3 casts values of more than 76 digits to NULL.
            digits = f"length(ltrim(split_part({ref}, '.', 1), '-'))"
            return f"CASE WHEN {digits} > 38 THEN error({literal(OUT_OF_RANGE)} || {ref}) ELSE {ref} END"
        case "JSON":
            return f"({ref})::VARCHAR"
        case "INTERVAL":
            return _interval(ref)
        case "RANGE":
            kind = {"DATE": "DATE", "DATETIME": "TIMESTAMP", "TIMESTAMP": "TIMESTAMPTZ"}[field.range_of or "DATE"]
            start, end = (
                f"TRY_CAST(regexp_extract({ref}, {literal(pattern)}, 1) AS {kind})"
                for pattern in (r"^\[([^,]*),", r",\s*([^)]*)\)$")
            )
            return f'CASE WHEN {ref} IS NULL THEN NULL ELSE struct_pack(start := {start}, "end" := {end}) END'
        case _:
            return ref


def _interval(ref: str) -> str:
    """An INTERVAL from BigQuery's text, such as `1-2 3 4:5:6.789`. Each of the three parts has its own sign."""

    def number(pattern: str) -> str:
        return f"coalesce(TRY_CAST(regexp_extract({ref}, {literal(pattern)}, 1) AS BIGINT), 0)"

    def sign(pattern: str) -> str:
        return f"(CASE WHEN regexp_matches({ref}, {literal(pattern)}) THEN -1 ELSE 1 END)"

    years, months = number(r"^-?(\d+)-"), number(r"^-?\d+-(\d+)")
    days = number(r"^\S+ (-?\d+)")
    hours, minutes, seconds = number(r" -?(\d+):\d+:"), number(r":(\d+):"), number(r":\d+:(\d+)")
    fraction = f"regexp_extract({ref}, {literal(FRACTION)}, 1)"
    micros = f"coalesce(TRY_CAST(rpad({fraction}, 6, '0') AS BIGINT), 0)"
    clock = f"(3600 * {hours} + 60 * {minutes} + {seconds}) * 1000000 + {micros}"
    # Arrow counts nanoseconds in 64 bits.
    too_long = f"error({literal(OUT_OF_RANGE)} || {ref})"
    parts = (
        f"to_months(({sign('^-')} * (12 * {years} + {months}))::INTEGER)",
        f"to_days(({days})::INTEGER)",
        f"to_microseconds({sign(' -[0-9]+:')} * ({clock}))",
    )
    return (
        f"CASE WHEN {ref} IS NULL THEN NULL WHEN {clock} > {MOST_MICROS} THEN {too_long} ELSE {' + '.join(parts)} END"
    )


def batches(reader: ArrowStreamExportable, fields: Sequence[Field], rows: int) -> Iterator[RecordBatch]:
    """The rows of `read_columns` with the memory layout of `arrow_schema`, at most `rows` per batch.

    Raises BigQueryError for a value that is out of its type's range.
    """
    # The bits of a BIGNUMERIC are passed as they are: the buffers are the same, and no library checks the digits.
    sent = Schema([_field(field).with_type(BITS) if _is_wide(field) else _field(field) for field in fields])
    try:
        for whole in RecordBatchReader.from_arrow(reader):
            columns = [_brought(whole.column(number), field) for number, field in enumerate(fields)]
            batch = RecordBatch(columns, schema=sent)
            for start in range(0, batch.num_rows, rows):
                yield batch.slice(start, min(rows, batch.num_rows - start))
    except Exception as error:
        if match := re.search(f"{OUT_OF_RANGE}.*", str(error)):
            raise invalid(match[0]) from error
        raise


def _is_wide(field: Field) -> bool:
    return field.type == "BIGNUMERIC" and field.mode != "REPEATED"


def _brought(column: Array, field: Field) -> Array:
    if _is_wide(field):
        scale = (field.scale or 0) if field.precision else 38
        return Array([_bits(text, scale) for text in column.to_pylist()], type=BITS)
    kind = _type(field)
    # Equality of nested types ignores the names and metadata of their children.
    same = column.type == kind and not DataType.is_nested(kind)
    return column if same else arro3.compute.cast(column, kind)


def _bits(text: str | None, scale: int) -> bytes | None:
    if text is None:
        return None
    with localcontext(prec=80):
        whole = int(Decimal(text).scaleb(scale))
    try:
        return whole.to_bytes(WIDE_BYTES, "little", signed=True)
    except OverflowError as error:
        raise invalid(OUT_OF_RANGE + text) from error


def schema_message(schema: Schema) -> bytes:
    """One IPC message with the schema."""
    return _stream(RecordBatchReader.from_batches(schema, []), None).removesuffix(END_OF_STREAM)


def batch_message(batch: RecordBatch, codec: Codec | None) -> bytes:
    """One IPC message with the batch. codec: compresses its buffers with LZ4 or ZSTD; None: uncompressed."""
    schema = len(schema_message(batch.schema))
    return _stream(RecordBatchReader.from_batches(batch.schema, [batch]), codec)[schema:].removesuffix(END_OF_STREAM)


def _stream(reader: RecordBatchReader, codec: Codec | None) -> bytes:
    out = io.BytesIO()
    arro3.io.write_ipc_stream(reader, out, compression=codec)
    return out.getvalue()
