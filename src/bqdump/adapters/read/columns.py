"""Columns as a file format contains them: polars expressions that convert from Arrow.

Values look as in BigQuery's own exports wherever polars supports that; docs/formats.md lists the differences.

BIGNUMERIC and INTERVAL as strings, from their bytes in Arrow, column by column.

Source of the string formats: https://cloud.google.com/bigquery/docs/reference/standard-sql/conversion_functions#cast_as_string

The schema message of a read session, changed where polars does not support what BigQuery sends.

Names of extension types are removed, since polars would create types of its own for them. Decimals of 256 bits and
intervals become fixed-size binaries. Their bytes in the record batches stay the same.

The message is a FlatBuffer, changed in place; new tables are appended.
Sources: https://arrow.apache.org/docs/format/Columnar.html#encapsulated-message-format,
https://github.com/apache/arrow/blob/main/format/Schema.fbs, https://flatbuffers.dev/internals/

Record batches as polars frames.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Mapping, Sequence
from math import ceil
from typing import NamedTuple

import polars as pl

from bqdump.core.errors import RowsError
from bqdump.core.formats.types import Column
from bqdump.ports.reader import Batch

LIMBS, LIMB = 4, 1 << 64
# Decimal digits per step of the long division. A remainder of this many digits, times LIMB, takes 124 of 127 bits.
STEP, STEPS = 18, 5
# The bits of a positive number, and those that each step at least takes off.
BITS, STEP_BITS = 255, 59


def bignumeric_text(column: pl.Series, scale: int) -> pl.Series:
    """Digits without trailing zeros. column: decimals of 256 bits, in little-endian two's complement."""
    wide = pl.Int128
    limbs = [f"l{index}" for index in range(LIMBS)]
    words = [pl.nth(0).bin.slice(8 * index, 8) for index in range(LIMBS)]
    numbers = [word.bin.reinterpret(dtype=pl.UInt64, endianness="little").cast(wide) for word in words]
    frame = column.to_frame().select([number.alias(limb) for number, limb in zip(numbers, limbs, strict=True)])
    frame = frame.with_columns(negative=pl.col(limbs[-1]) >= LIMB // 2)
    frame = frame.with_columns(carry=pl.col("negative").cast(wide))
    for limb in limbs:
        turned = pl.when("negative").then(pl.lit(LIMB - 1, wide) - pl.col(limb)).otherwise(pl.col(limb))
        turned += pl.col("carry")
        frame = frame.with_columns((turned % pl.lit(LIMB, wide)).alias(limb), carry=turned // pl.lit(LIMB, wide))
    base = pl.lit(10**STEP, wide)
    for step in range(STEPS):
        rest = pl.lit(0, wide)
        for limb in reversed(limbs[: ceil((BITS - step * STEP_BITS) / 64)]):
            whole = rest * pl.lit(LIMB, wide) + pl.col(limb)
            frame = frame.with_columns((whole // base).alias(limb), rest=whole % base)
            rest = pl.col("rest")
        frame = frame.with_columns(pl.col("rest").cast(pl.String).str.zfill(STEP).alias(f"d{step}"))
    digits = pl.concat_str([pl.col(f"d{step}") for step in reversed(range(STEPS))])
    whole = digits.str.head(STEP * STEPS - scale).str.strip_chars_start("0")
    fraction = digits.str.tail(scale).str.strip_chars_end("0") if scale else pl.lit("")

    text = pl.concat_str(
        pl.when("negative").then(pl.lit("-")).otherwise(pl.lit("")),
        pl.when(whole == "").then(pl.lit("0")).otherwise(whole),
        pl.when(fraction == "").then(pl.lit("")).otherwise(pl.concat_str(pl.lit("."), fraction)),
    )
    return frame.select(pl.when(pl.col(limbs[0]).is_null()).then(None).otherwise(text).alias(column.name)).to_series()


def interval_text(column: pl.Series) -> pl.Series:
    """Strings such as 1-2 3 4:5:6.789. column: months, days (32 bits each) and nanoseconds (64 bits), little-endian."""
    value = pl.nth(0).bin
    frame = column.to_frame().select(
        months=value.slice(0, 4).bin.reinterpret(dtype=pl.Int32, endianness="little").cast(pl.Int64),
        days=value.slice(4, 4).bin.reinterpret(dtype=pl.Int32, endianness="little"),
        micros=value.slice(8, 8).bin.reinterpret(dtype=pl.Int64, endianness="little") // 1000,
    )
    months, micros = pl.col("months").abs(), pl.col("micros").abs()
    seconds, fraction = micros // 1_000_000, (micros % 1_000_000).cast(pl.String).str.zfill(6)
    has_fraction = micros % 1_000_000 != 0
    years = [_sign("months"), months // 12, pl.lit("-"), months % 12]
    time = [_sign("micros"), seconds // 3600, pl.lit(":"), seconds // 60 % 60, pl.lit(":"), seconds % 60]
    digits = pl.concat_str(pl.lit("."), fraction.str.strip_chars_end("0"))
    end = pl.when(has_fraction).then(digits).otherwise(pl.lit(""))
    text = pl.concat_str(*years, pl.lit(" "), pl.col("days"), pl.lit(" "), *time, end)
    return frame.select(text.alias(column.name)).to_series()


def _sign(name: str) -> pl.Expr:
    return pl.when(pl.col(name) < 0).then(pl.lit("-")).otherwise(pl.lit(""))


DATETIME, TIME = "%Y-%m-%dT%H:%M:%S%.6f", "%H:%M:%S%.6f"
TIMESTAMP = "%Y-%m-%d %H:%M:%S%.6f UTC"
BIGNUMERIC_SCALE = 38


def presented(columns: Sequence[Column], format_: str) -> list[pl.Expr]:
    """The columns of a file of this format, in order."""
    values = []
    for column in columns:
        value = pl.col(column.name)
        shown = _shown(value, column, format_)
        values.append(value if shown is None else shown.alias(column.name))
    return values


def _shown(value: pl.Expr, column: Column, format_: str) -> pl.Expr | None:
    """The value as the file contains it; None if it needs no conversion."""
    if column.repeated:
        element = Column("", column.type, fields=column.fields, parameters=column.parameters, element=column.element)
        shown = _shown(pl.element(), element, format_)
        return None if shown is None else value.list.eval(shown)
    if column.type == "STRUCT":
        return _struct(value, column, format_)
    return _scalar(value, column, format_)


def _struct(value: pl.Expr, column: Column, format_: str) -> pl.Expr | None:
    members, changed = [], False
    for member in column.fields:
        inner = value.struct.field(member.name)
        shown = _shown(inner, member, format_)
        changed = changed or shown is not None
        members.append((inner if shown is None else shown).alias(member.name))
    return pl.when(value.is_not_null()).then(pl.struct(members)) if changed else None


def _scalar(value: pl.Expr, column: Column, format_: str) -> pl.Expr | None:
    match column.type:
        case "BIGNUMERIC":
            scale = _scale(column)
            return _text(value, lambda series: bignumeric_text(series, scale))
        case "INTERVAL":
            return _text(value, interval_text)
        case "RANGE":
            return _range(value, column.element)
        case "BYTES" if format_ != "parquet":
            return value.bin.encode("base64")
        case "TIMESTAMP" if format_ != "parquet":
            return value.dt.to_string(TIMESTAMP)
        case "DATETIME" | "TIME" if format_ == "json":
            return value.dt.to_string(DATETIME if column.type == "DATETIME" else TIME)
        case "INT64" | "FLOAT64" if format_ == "json":
            # JSON has no infinity and no NaN, and many readers limit numbers to 53 bits.
            return value.cast(pl.String)
        case _:
            return None


def _text(value: pl.Expr, convert: Callable[[pl.Series], pl.Series]) -> pl.Expr:
    """Apply a function to the values. It is declared elementwise, so that polars does not collect all frames first."""
    return value.map_batches(convert, pl.String, is_elementwise=True)


def _scale(column: Column) -> int:
    if not column.parameters:
        return BIGNUMERIC_SCALE
    _, _, scale = column.parameters.strip("()").partition(",")
    return int(scale or 0)


def _range(value: pl.Expr, element: str) -> pl.Expr:
    start, end = (_end(value.struct.field(name), element).fill_null("UNBOUNDED") for name in ("start", "end"))
    text = pl.concat_str(pl.lit("["), start, pl.lit(", "), end, pl.lit(")"))
    return pl.when(value.is_not_null()).then(text)


def _end(value: pl.Expr, element: str) -> pl.Expr:
    """The fraction without trailing zeros, as CAST prints it."""
    if element == "DATE":
        return value.dt.to_string("%Y-%m-%d")
    text = value.dt.to_string("%Y-%m-%dT%H:%M:%S%.6f" if element == "DATETIME" else "%Y-%m-%d %H:%M:%S%.6f")
    short = text.str.strip_chars_end("0").str.strip_chars_end(".")
    return short if element == "DATETIME" else short + "+00"


CONTINUATION = b"\xff\xff\xff\xff"
END_OF_STREAM = CONTINUATION + bytes(4)
HEADER_BYTES = 8
DECIMAL, INTERVAL, FIXED_SIZE_BINARY = 7, 11, 15
INTERVAL_BYTES, DECIMAL_BYTES = 16, 32
# Indexes of members in their tables.
MESSAGE_HEADER, SCHEMA_FIELDS = 2, 1
FIELD_TYPE, FIELD_KIND, FIELD_CHILDREN, FIELD_METADATA = 3, 2, 5, 6
DECIMAL_BIT_WIDTH = 2


class _Table(NamedTuple):
    """A table of a FlatBuffer, by the position of its first byte."""

    data: bytearray
    at: int

    def slot(self, member: int) -> int:
        """The position of a member's offset in the vtable; 0 if the vtable ends before it."""
        vtable = self.at - _number("<i", self.data, self.at)
        slot = vtable + 4 + 2 * member
        return slot if slot < vtable + _number("<H", self.data, vtable) else 0

    def member(self, member: int) -> int:
        """The position of a member; 0 if it has its default value."""
        slot = self.slot(member)
        offset = _number("<H", self.data, slot) if slot else 0
        return self.at + offset if offset else 0

    def table(self, member: int) -> _Table:
        """The table that a member refers to."""
        return _Table(self.data, _follow(self.data, self.member(member)))

    def tables(self, member: int) -> list[_Table]:
        """The tables in a vector."""
        where = self.member(member)
        if not where:
            return []
        vector = _follow(self.data, where)
        count = _number("<I", self.data, vector)
        return [_Table(self.data, _follow(self.data, vector + 4 + 4 * index)) for index in range(count)]


def for_polars(message: bytes) -> bytes:
    """The schema message with types that polars supports, for the same layout of record batches.

    Raises RowsError if the bytes are not a schema message.
    """
    try:
        length = _number("<I", message, 4)
        data = bytearray(message[HEADER_BYTES : HEADER_BYTES + length])
        root = _Table(data, _follow(data, 0))
        for field in root.table(MESSAGE_HEADER).tables(SCHEMA_FIELDS):
            _change(field)
    except (struct.error, IndexError, ValueError) as error:
        raise RowsError("read", "the schema of a read session", f"it is damaged ({error})") from error
    data += bytes(-len(data) % 8)
    return CONTINUATION + struct.pack("<I", len(data)) + bytes(data)


def _change(field: _Table) -> None:
    data = field.data
    if field.member(FIELD_METADATA):
        # Other fields may share the vtable; those have metadata as well.
        struct.pack_into("<H", data, field.slot(FIELD_METADATA), 0)
    kind, type_ = data[field.member(FIELD_KIND)], field.table(FIELD_TYPE)
    if kind == INTERVAL:
        _become_binary(field, INTERVAL_BYTES)
    elif kind == DECIMAL and (width := type_.member(DECIMAL_BIT_WIDTH)) and _number("<i", data, width) == 256:
        _become_binary(field, DECIMAL_BYTES)
    for child in field.tables(FIELD_CHILDREN):
        _change(child)


def _become_binary(field: _Table, width: int) -> None:
    data = field.data
    data += bytes(-len(data) % 4)
    # A vtable (its size, the table's size, the offset of its one member), padding, then the table itself.
    vtable = len(data)
    data += struct.pack("<HHHHii", 6, 8, 4, 0, 8, width)
    where = field.member(FIELD_TYPE)
    struct.pack_into("<I", data, where, vtable + 8 - where)
    data[field.member(FIELD_KIND)] = FIXED_SIZE_BINARY


def _number(format_: str, data: bytes | bytearray, at: int) -> int:
    (value,) = struct.unpack_from(format_, data, at)
    return int(value)


def _follow(data: bytes | bytearray, at: int) -> int:
    return at + _number("<I", data, at)


# Polars works chunk by chunk: many small chunks take longer than copying them into one.
MOST_CHUNKS = 2


def frame(head: bytes, batches: Sequence[Batch], renamed: Mapping[str, str]) -> pl.DataFrame:
    """The rows of these batches.

    head: the schema message, with types that polars supports.
    renamed: see FileShape.
    """
    # Polars copies bytes that have another reference.
    rows = pl.read_ipc_stream(io.BytesIO(b"".join([head, *(batch.data for batch in batches), END_OF_STREAM])))
    rows = rows.rename(renamed) if renamed else rows
    return rows.rechunk() if len(batches) > MOST_CHUNKS else rows
