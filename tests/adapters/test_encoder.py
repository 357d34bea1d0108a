"""The encoder: files of every format contain the rows that arrive, and errors are reported unchanged."""

from __future__ import annotations

import csv
import datetime as dt
import gc
import gzip
import io
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from decimal import Decimal
from typing import IO, Any, cast

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bqdump.adapters.read.columns import for_polars
from bqdump.adapters.read.encoder import ArrowEncoder
from bqdump.core.errors import RowsError
from bqdump.core.formats.types import Column
from bqdump.ports.reader import Batch, FileShape

UTC = dt.UTC
JSON = {b"ARROW:extension:name": b"google:sqlType:json"}
LAST = dt.datetime.fromisoformat("9999-12-31T23:59:59.999999")
# Each column: its BigQuery type, its Arrow field, a value, and that value in Parquet, in CSV and in JSON.
COLUMNS: dict[str, tuple[Column, Any, Any, Any, str, Any]] = {
    "INT64": (Column("x", "INT64"), pa.int64(), -(2**63), -(2**63), str(-(2**63)), str(-(2**63))),
    "FLOAT64": (Column("x", "FLOAT64"), pa.float64(), 0.1, 0.1, "0.1", "0.1"),
    "infinite": (Column("x", "FLOAT64"), pa.float64(), float("-inf"), float("-inf"), "-inf", "-inf"),
    "NUMERIC": (Column("x", "NUMERIC"), pa.decimal128(38, 9), Decimal("-1.5"), Decimal("-1.5"), "-1.500000000",
                "-1.500000000"),
    "BIGNUMERIC": (Column("x", "BIGNUMERIC"), pa.decimal256(76, 38), Decimal("-12.5"), "-12.5", "-12.5", "-12.5"),
    "BIGNUMERIC(40, 2)": (Column("x", "BIGNUMERIC", parameters="(40, 2)"), pa.decimal256(40, 2), Decimal(7), "7", "7",
                          "7"),
    "BOOL": (Column("x", "BOOL"), pa.bool_(), True, True, "true", True),
    "STRING": (Column("x", "STRING"), pa.string(), 'a",\n\0🦆', 'a",\n\0🦆', 'a",\n\0🦆', 'a",\n\0🦆'),
    "empty": (Column("x", "STRING"), pa.string(), "", "", "", ""),
    "BYTES": (Column("x", "BYTES"), pa.binary(), b"\0\xff", b"\0\xff", "AP8=", "AP8="),
    "DATE": (Column("x", "DATE"), pa.date32(), dt.date(1, 1, 1), dt.date(1, 1, 1), "0001-01-01", "0001-01-01"),
    "TIME": (Column("x", "TIME"), pa.time64("us"), dt.time(23, 59, 59, 999999), dt.time(23, 59, 59, 999999),
             "23:59:59.999999", "23:59:59.999999"),
    "DATETIME": (Column("x", "DATETIME"), pa.timestamp("us"), LAST, LAST, "9999-12-31T23:59:59.999999",
                 "9999-12-31T23:59:59.999999"),
    "TIMESTAMP": (Column("x", "TIMESTAMP"), pa.timestamp("us", "UTC"), dt.datetime(1, 1, 1, tzinfo=UTC),
                  dt.datetime(1, 1, 1, tzinfo=UTC), "0001-01-01 00:00:00.000000 UTC", "0001-01-01 00:00:00.000000 UTC"),
    "JSON": (Column("x", "JSON"), pa.field("x", pa.string(), metadata=JSON), '{"a": 1}', '{"a": 1}', '{"a": 1}',
             '{"a": 1}'),
    "INTERVAL": (Column("x", "INTERVAL"), pa.month_day_nano_interval(), (-14, 3, 3_661_000_500_000),
                 "-1-2 3 1:1:1.0005", "-1-2 3 1:1:1.0005", "-1-2 3 1:1:1.0005"),
    "RANGE<DATE>": (Column("x", "RANGE", element="DATE"), pa.struct([("start", pa.date32()), ("end", pa.date32())]),
                    {"start": dt.date(2026, 1, 31), "end": None}, "[2026-01-31, UNBOUNDED)", "[2026-01-31, UNBOUNDED)",
                    "[2026-01-31, UNBOUNDED)"),
}  # fmt: skip
BIG = pa.decimal256(76, 38)
NESTED = (
    Column("l", "BIGNUMERIC", repeated=True),
    Column("s", "STRUCT", fields=(Column("t", "TIME"), Column("j", "JSON", repeated=True), Column("b", "BYTES"))),
)
NESTED_ARROW = pa.schema([
    pa.field("l", pa.list_(pa.field("item", BIG))),
    pa.field("s", pa.struct([
        ("t", pa.time64("us")),
        pa.field("j", pa.list_(pa.field("item", pa.string(), metadata=JSON))),
        ("b", pa.binary()),
    ])),
])  # fmt: skip
NESTED_ROWS: list[dict[str, Any]] = [
    {"l": [Decimal("1.5"), None], "s": {"t": dt.time(1, 2, 3, 4), "j": ["{}"], "b": b"x"}},
    {"l": [], "s": None},
]


def messages(schema: Any, rows: list[dict[str, Any]], each: int = 10_000) -> tuple[bytes, list[Batch]]:
    table = pa.Table.from_pylist(rows, schema)
    batches = [Batch(batch.serialize().to_pybytes(), batch.num_rows) for batch in table.to_batches(max_chunksize=each)]
    return schema.serialize().to_pybytes(), batches


def one(kind: str) -> tuple[Column, bytes, list[Batch]]:
    column, arrow, value, *_ = COLUMNS[kind]
    field = arrow if isinstance(arrow, pa.Field) else pa.field("x", arrow)
    schema = pa.schema([pa.field("id", pa.int64()), field])
    return (column, *messages(schema, [{"id": 1, "x": value}, {"id": 2, "x": None}]))


def encoded(
    columns: tuple[Column, ...], schema: bytes, batches: list[Batch], format_: str, codec: str = "none", **shape: Any
) -> bytes:
    file = io.BytesIO()
    expected = FileShape(format_, codec, columns, **shape)
    assert ArrowEncoder().encode(schema, iter(batches), expected, file) == sum(batch.rows for batch in batches)
    return file.getvalue()


ID = Column("id", "INT64")


@pytest.mark.parametrize("codec", ["none", "snappy", "gzip", "zstd"])
@pytest.mark.parametrize("kind", COLUMNS)
def test_parquet_files_contain_every_type(kind: str, codec: str) -> None:
    column, schema, batches = one(kind)
    table = pq.read_table(io.BytesIO(encoded((ID, column), schema, batches, "parquet", codec)))
    assert table.to_pylist() == [{"id": 1, "x": COLUMNS[kind][3]}, {"id": 2, "x": None}]


@pytest.mark.parametrize("kind", COLUMNS)
def test_csv_files_contain_every_type(kind: str) -> None:
    column, schema, batches = one(kind)
    data = encoded((ID, column), schema, batches, "csv", null_marker="NULL")
    assert list(csv.reader(io.StringIO(data.decode(), newline=""))) == [
        ["id", "x"], ["1", COLUMNS[kind][4]], ["2", "NULL"]
    ]  # fmt: skip
    packed = encoded((ID, column), schema, batches, "csv", "gzip", null_marker="NULL")
    assert gzip.decompress(packed) == data


@pytest.mark.parametrize("kind", COLUMNS)
def test_json_files_contain_every_type(kind: str) -> None:
    column, schema, batches = one(kind)
    data = encoded((ID, column), schema, batches, "json")
    rows = [json.loads(line) for line in data.splitlines()]
    assert rows == [{"id": "1", "x": COLUMNS[kind][5]}, {"id": "2", "x": None}]
    assert gzip.decompress(encoded((ID, column), schema, batches, "json", "gzip")) == data


def test_nested_values_are_converted() -> None:
    schema, batches = messages(NESTED_ARROW, NESTED_ROWS)
    table = pq.read_table(io.BytesIO(encoded(NESTED, schema, batches, "parquet", "zstd")))
    assert table.to_pylist() == [{**NESTED_ROWS[0], "l": ["1.5", None]}, NESTED_ROWS[1]]
    lines = encoded(NESTED, schema, batches, "json").splitlines()
    assert [json.loads(line) for line in lines] == [
        {"l": ["1.5", None], "s": {"t": "01:02:03.000004", "j": ["{}"], "b": "eA=="}}, {"l": [], "s": None}
    ]  # fmt: skip


def test_types_in_parquet_are_those_that_bigquery_loads() -> None:
    kinds = ("TIME", "DATETIME", "TIMESTAMP", "DATE", "NUMERIC")
    columns = tuple(Column(kind, kind) for kind in kinds)
    schema, batches = messages(pa.schema([(kind, COLUMNS[kind][1]) for kind in kinds]), [])
    found = pq.read_schema(io.BytesIO(encoded(columns, schema, batches, "parquet")))
    assert found.types == [
        pa.time64("us"), pa.timestamp("us"), pa.timestamp("us", "UTC"), pa.date32(), pa.decimal128(38, 9)
    ]  # fmt: skip


@pytest.mark.parametrize("format_", ["csv", "json", "parquet"])
def test_a_file_without_rows_is_valid(format_: str) -> None:
    column, schema, _ = one("INT64")
    data = encoded((ID, column), schema, [], format_)
    if format_ == "parquet":
        assert pq.read_table(io.BytesIO(data)).to_pylist() == []
    else:
        assert data == (b"id,x\n" if format_ == "csv" else b"")


@pytest.mark.parametrize("format_", ["csv", "json", "parquet"])
@pytest.mark.parametrize("kind", COLUMNS)
def test_a_file_is_written_while_rows_arrive(kind: str, format_: str) -> None:
    column, type_, value, *_ = COLUMNS[kind]
    field = type_ if isinstance(type_, pa.Field) else pa.field("x", type_)
    schema, (batch,) = messages(pa.schema([field, ("pad", pa.string())]), [{"x": value, "pad": "x" * 1000}] * 50)
    written = threading.Event()

    def arriving() -> Iterator[Batch]:
        yield from [batch] * 50
        assert written.wait(20)
        yield batch

    class Growing(io.BytesIO):
        def write(self, data: Any) -> int:
            # The first bytes can be a header.
            if self.tell():
                written.set()
            return super().write(data)

    shape = FileShape(format_, "none", (column, Column("pad", "STRING")))
    assert ArrowEncoder(1 << 20).encode(schema, arriving(), shape, Growing()) == 2_550


def test_csv_options_are_used() -> None:
    column, schema, batches = one("STRING")
    assert encoded((ID, column), schema, batches, "csv", header=False, delimiter="\t").startswith(b'1\t"a"",\n')
    column, schema, batches = one("empty")
    assert encoded((ID, column), schema, batches, "csv") == b'id,x\n1,""\n2,\n'


def parsed(data: bytes, delimiter: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(data.decode(), newline=""), delimiter=delimiter))


def every_type() -> tuple[tuple[Column, ...], bytes, list[Batch]]:
    """One column per type, named after it. Two rows of values, and one of NULLs between them."""
    fields = [arrow if isinstance(arrow, pa.Field) else pa.field("x", arrow) for _, arrow, *_ in COLUMNS.values()]
    schema = pa.schema([field.with_name(kind) for kind, field in zip(COLUMNS, fields, strict=True)])
    row = {kind: value for kind, (_, _, value, *_) in COLUMNS.items()}
    columns = tuple(msgspec.structs.replace(column, name=kind) for kind, (column, *_) in COLUMNS.items())
    return (columns, *messages(schema, [row, dict.fromkeys(row), row]))


CSV_TEXTS = [text for *_, text, _ in COLUMNS.values()]
DELIMITERS = [chr(code) for code in range(1, 128) if chr(code) not in '"\r\n']


@pytest.mark.parametrize("delimiter", DELIMITERS, ids=lambda char: f"{ord(char):02x}")
def test_values_that_contain_the_delimiter_are_quoted(delimiter: str) -> None:
    columns, schema, batches = every_type()
    rows = parsed(encoded(columns, schema, batches, "csv", delimiter=delimiter), delimiter)
    assert rows == [list(COLUMNS), CSV_TEXTS, [""] * len(columns), CSV_TEXTS]


MARKERS = [*dict.fromkeys(CSV_TEXTS), "NULL", r"\N", " ", "-", "1", "id", "🦆"]


@pytest.mark.parametrize("delimiter", [";", ":"])
@pytest.mark.parametrize("marker", [marker for marker in MARKERS if marker and '"' not in marker])
def test_a_value_that_equals_the_null_marker_is_quoted(marker: str, delimiter: str) -> None:
    if delimiter in marker:
        marker = marker.replace(delimiter, "-")
    columns, schema, batches = every_type()
    data = encoded(columns, schema, batches, "csv", delimiter=delimiter, null_marker=marker)
    assert parsed(data, delimiter) == [list(COLUMNS), CSV_TEXTS, [marker] * len(columns), CSV_TEXTS]
    nulls = delimiter.join([marker] * len(columns)).encode()
    assert data.count(b"\n" + nulls + b"\n") == 1
    for text in CSV_TEXTS:
        if text == marker:
            assert f'"{text}"'.encode() in data


@pytest.mark.parametrize("text", ["NULL", "", " ", 'a"', "a,b", "a\nb", "a\rb", "\t", "#", "'", "\\", "🦆", "\0"])
def test_quotes_are_unchanged_if_no_value_equals_the_null_marker(text: str) -> None:
    schema, batches = messages(pa.schema([("id", pa.int64()), ("x", pa.string())]), [{"id": 1, "x": text}])
    columns = (ID, Column("x", "STRING"))
    assert encoded(columns, schema, batches, "csv", null_marker="no such text") == encoded(
        columns, schema, batches, "csv"
    )


def test_column_names_are_quoted_like_values() -> None:
    names = ["a:b", "c d", "e", "NULL"]
    schema, batches = messages(pa.schema([(name, pa.int64()) for name in names]), [dict.fromkeys(names, 1)])
    columns = tuple(Column(name, "INT64") for name in names)
    for delimiter in (":", " ", "1"):
        for marker in ("", "NULL"):
            data = encoded(columns, schema, batches, "csv", delimiter=delimiter, null_marker=marker)
            assert parsed(data, delimiter) == [names, ["1"] * 4]


def test_rows_keep_their_order_through_many_batches_and_row_groups() -> None:
    rows = [{"id": number, "x": str(number)} for number in range(20_000)]
    schema, batches = messages(pa.schema([("id", pa.int64()), ("x", pa.string())]), rows, 37)
    columns = (ID, Column("x", "STRING"))
    file = io.BytesIO()
    shape = FileShape("parquet", "zstd", columns, row_group_rows=1000)
    assert ArrowEncoder(memory=1).encode(schema, iter(batches), shape, file) == 20_000
    parquet = pq.ParquetFile(file)
    assert parquet.read().to_pylist() == rows
    assert max(parquet.metadata.row_group(group).num_rows for group in range(parquet.num_row_groups)) <= 1000
    assert encoded(columns, schema, batches, "csv").decode().splitlines()[1:] == [f"{n},{n}" for n in range(20_000)]


def test_row_groups_have_the_requested_number_of_rows() -> None:
    schema, batches = messages(pa.schema([("id", pa.int64())]), [{"id": number} for number in range(2_500)], 300)
    data = encoded((ID,), schema, batches, "parquet", row_group_rows=1000)
    metadata = pq.read_metadata(io.BytesIO(data))
    assert [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)] == [1000, 1000, 500]


def test_dictionaries_are_used_only_for_values_that_repeat() -> None:
    arrow = pa.schema([
        ("id", pa.int64()), ("kind", pa.string()),
        ("s", pa.struct([("few", pa.int64()), ("note", pa.string()), ("l", pa.list_(pa.string()))])),
    ])  # fmt: skip
    rows = [{"id": n, "kind": f"{n % 3}", "s": {"few": n % 5, "note": f"note {n}", "l": ["a", "b"][: n % 3]}}
            for n in range(2_000)]  # fmt: skip
    schema, batches = messages(arrow, rows)
    members = (Column("few", "INT64"), Column("note", "STRING"), Column("l", "STRING", repeated=True))
    data = encoded((ID, Column("kind", "STRING"), Column("s", "STRUCT", fields=members)), schema, batches, "parquet")
    group = pq.read_metadata(io.BytesIO(data)).row_group(0)
    chunks = [group.column(index) for index in range(group.num_columns)]
    repeated = [chunk.path_in_schema for chunk in chunks if chunk.has_dictionary_page]
    assert repeated == ["kind", "s.few", "s.l.list.element"]
    assert pq.read_table(io.BytesIO(data)).to_pylist() == rows


@pytest.mark.parametrize(("format_", "other"), [("parquet", "polars"), ("csv", "pyarrow"), ("json", "pyarrow")])
def test_the_library_of_one_format_is_not_imported_for_another(format_: str, other: str) -> None:
    _, schema, [batch] = one("INT64")
    code = (
        "import io, sys\n"
        "from bqdump.adapters.read.encoder import ArrowEncoder\n"
        "from bqdump.core.formats.types import Column\n"
        "from bqdump.ports.reader import FileShape\n"
        "from bqdump.ports.reader import Batch\n"
        f"shape = FileShape({format_!r}, 'none', (Column('id', 'INT64'), Column('x', 'INT64')))\n"
        f"print(ArrowEncoder().encode({schema!r}, iter([Batch({batch.data!r}, 2)]), shape, io.BytesIO()))\n"
        f"print({other!r} in sys.modules)"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "2\nFalse\n"


@pytest.mark.parametrize("format_", ["csv", "json", "parquet"])
def test_exceptions_of_the_source_and_the_file_are_raised_unchanged(format_: str) -> None:
    column, schema, batches = one("STRING")

    class BrokenError(Exception):
        """An exception of this test."""

    def source() -> Iterator[Batch]:
        yield from batches
        raise BrokenError

    class Full:
        def write(self, _: bytes) -> int:
            raise OSError(28, "No space left on device")

    shape = FileShape(format_, "none", (ID, column))
    with pytest.raises(BrokenError):
        ArrowEncoder(memory=1).encode(schema, source(), shape, io.BytesIO())
    with pytest.raises(OSError, match="No space left"):
        ArrowEncoder(memory=1).encode(schema, iter(batches * 9000), shape, cast("IO[bytes]", Full()))


def test_an_interrupted_parquet_file_has_no_footer() -> None:
    column, schema, batches = one("STRING")

    def source() -> Iterator[Batch]:
        yield from batches * 3
        raise ConnectionError

    file = io.BytesIO()
    with pytest.raises(ConnectionError):
        ArrowEncoder().encode(schema, source(), FileShape("parquet", "none", (ID, column), row_group_rows=1), file)
    # The exception has discarded the writer.
    gc.collect()
    assert len(file.getvalue()) > 100
    with pytest.raises(pa.ArrowInvalid, match="magic bytes not found in footer"):
        pq.read_metadata(file)


def test_a_damaged_batch_is_reported() -> None:
    column, schema, batches = one("INT64")
    damaged = batches[0]._replace(data=b"no message of Arrow")
    for format_ in ("csv", "json", "parquet"):
        with pytest.raises(RowsError, match=f"encode rows as {format_}"):
            ArrowEncoder().encode(schema, iter([damaged]), FileShape(format_, "none", (ID, column)), io.BytesIO())


@pytest.mark.parametrize("format_", ["csv", "json", "parquet"])
def test_a_missing_column_is_named(format_: str) -> None:
    column, schema, batches = one("BIGNUMERIC")
    shape = FileShape(format_, "none", (ID, column, Column("later", "STRING")))
    with pytest.raises(RowsError, match="missing column later"):
        ArrowEncoder().encode(schema, iter(batches), shape, io.BytesIO())


@pytest.mark.parametrize("format_", ["csv", "json", "parquet"])
@pytest.mark.parametrize("kind", ["STRING", "BIGNUMERIC"])
def test_an_unknown_column_is_not_dropped_silently(kind: str, format_: str) -> None:
    column, schema, batches = one(kind)
    shape = FileShape(format_, "none", (column,))
    with pytest.raises(RowsError, match="unknown column id"):
        ArrowEncoder().encode(schema, iter(batches), shape, io.BytesIO())


@pytest.mark.parametrize("format_", ["csv", "json", "parquet"])
@pytest.mark.parametrize("kind", ["STRING", "BIGNUMERIC"])
def test_files_have_the_requested_columns_in_order(kind: str, format_: str) -> None:
    column, schema, batches = one(kind)
    for columns in ((column, ID), (ID, column)):
        data = encoded(columns, schema, batches, format_)
        names = [column.name for column in columns]
        if format_ == "parquet":
            assert pq.read_schema(io.BytesIO(data)).names == names
        elif format_ == "csv":
            assert data.decode().partition("\n")[0] == ",".join(names)
        else:
            assert [list(json.loads(line)) for line in data.splitlines()] == [names] * 2


@pytest.mark.parametrize("format_", ["csv", "parquet"])
@pytest.mark.parametrize("kind", ["INT64", "BIGNUMERIC"])
def test_missing_rows_are_detected(kind: str, format_: str) -> None:
    column, schema, batches = one(kind)
    shape = FileShape(format_, "none", (ID, column))
    with pytest.raises(RowsError, match="2 rows arrived, and 3 were announced"):
        ArrowEncoder().encode(schema, iter([batches[0]._replace(rows=3)]), shape, io.BytesIO())


def test_a_damaged_schema_is_reported() -> None:
    _, schema, _ = one("INT64")
    for damaged in (b"", schema[:40], schema[:8] + b"\xff" * (len(schema) - 8)):
        with pytest.raises(RowsError, match="the schema of a read session"):
            for_polars(damaged)
        with pytest.raises(RowsError, match="the schema of a read session"):
            ArrowEncoder().encode(damaged, iter(()), FileShape("parquet", "none", (ID,)), io.BytesIO())
