"""Files are decoded completely and counted correctly. Damaged files and unexpected columns are reported."""

from __future__ import annotations

import asyncio
import csv
import gzip
import io
import json
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bqdump.adapters.avro_batches import BATCH_BYTES
from bqdump.adapters.data_files import DataFiles
from bqdump.core.errors import UsageError
from bqdump.core.formats.types import Column
from bqdump.ports.data_reader import DataFile, Digest

READER = DataFiles()
TWO = (Column("id", "INT64"), Column("text", "STRING"))


@pytest.fixture(scope="module", autouse=True)
def closing() -> Iterator[None]:
    yield
    READER.close()


def digest(
    format_: str,
    data: bytes,
    columns: tuple[Column, ...] = TWO,
    *,
    codec: str = "none",
    header: bool = True,
    delimiter: str = ",",
    checksums: bool = False,
) -> Digest:
    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(data), 100_000):
            yield data[start : start + 100_000]

    file = DataFile("file", format_, codec, header, delimiter, columns)
    return asyncio.run(READER.digest(file, pieces(), checksums=checksums))


def avro(schema: list[dict[str, Any]], rows: list[dict[str, Any]], codec: str = "null") -> bytes:
    file = io.BytesIO()
    parsed = fastavro.parse_schema({"type": "record", "name": "Root", "fields": schema})
    fastavro.writer(file, parsed, rows, codec=codec, sync_marker=bytes(range(16)))
    return file.getvalue()


def parquet(**columns: Any) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file)
    return file.getvalue()


def empty_parquet(row_groups: int) -> bytes:
    """A file without rows, with this number of row groups."""
    file, empty = io.BytesIO(), pa.schema([("id", pa.int64()), ("text", pa.string())]).empty_table()
    with pq.ParquetWriter(file, empty.schema) as writer:
        for _ in range(row_groups):
            writer.write_table(empty)
    assert pq.ParquetFile(file).metadata.num_row_groups == row_groups
    return file.getvalue()


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)


@given(rows=st.lists(st.tuples(st.integers(-(2**63), 2**63 - 1), TEXTS), max_size=20), header=st.booleans(),
       delimiter=st.sampled_from((",", "\t", "|")), packed=st.booleans())  # fmt: skip
def test_the_rows_of_csv_written_by_python_are_counted(
    rows: list[tuple[int, str]], header: bool, delimiter: str, packed: bool
) -> None:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    writer.writerows([*([("id", "text")] if header else []), *rows])
    data = text.getvalue().encode()
    found = digest("csv", gzip.compress(data) if packed else data, codec="gzip" if packed else "none", header=header,
                   delimiter=delimiter)  # fmt: skip
    assert (found.unreadable, found.differences, found.rows) == ("", (), len(rows))


def test_a_column_of_empty_lines_has_as_many_rows() -> None:
    assert digest("csv", b"text\n\n\na\n\n", (Column("text", "STRING"),)).rows == 4


EMPTY_AVRO = avro([{"name": "id", "type": ["null", "long"]}, {"name": "text", "type": ["null", "string"]}], [])


@pytest.mark.parametrize("checksums", [False, True])
@pytest.mark.parametrize(
    ("format_", "data", "codec"),
    [
        ("csv", b"", "none"),
        ("csv", b"", "gzip"),
        ("csv", b"id,text\n", "none"),
        ("csv", gzip.compress(b"id,text\n", mtime=0), "gzip"),
        ("csv", gzip.compress(b"", mtime=0), "gzip"),
        ("json", b"", "none"),
        ("json", b"", "gzip"),
        ("json", gzip.compress(b"", mtime=0), "gzip"),
        ("avro", EMPTY_AVRO, "none"),
        ("avro", avro([{"name": "id", "type": "long"}, {"name": "text", "type": "string"}], [], "snappy"), "snappy"),
        ("avro", avro([{"name": "id", "type": "long"}, {"name": "text", "type": "string"}], [], "deflate"), "deflate"),
        ("parquet", empty_parquet(0), "none"),
        ("parquet", empty_parquet(2), "none"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_files_without_rows_are_valid(format_: str, data: bytes, codec: str, checksums: bool) -> None:
    """BigQuery also writes such files: only a header or 0 bytes, no blocks, and no or empty row groups."""
    found = digest(format_, data, codec=codec, checksums=checksums)
    assert (found.unreadable, found.differences, found.rows, set(found.sums)) == (
        "",
        (),
        0,
        {0} if checksums else set(),
    )


@pytest.mark.parametrize(("format_", "codec"), [("csv", "none"), ("csv", "gzip"), ("json", "gzip")])
def test_a_file_of_0_bytes_has_any_header_and_any_columns(format_: str, codec: str) -> None:
    for header in (False, True):
        for columns in (TWO, (Column("l", "INT64", repeated=True),) if format_ == "json" else TWO[:1]):
            found = digest(format_, b"", columns, codec=codec, header=header)
            assert (found.unreadable, found.rows) == ("", 0)


@pytest.mark.parametrize(
    ("format_", "data", "codec"),
    [
        ("csv", b'id,text\n1,"a\n2,b\n', "none"),
        ("csv", b"id,text\n1,a,b\n", "none"),
        ("csv", b"id,text\n1\n", "none"),
        ("csv", b"id,text\n1,\xff\xfe\n", "none"),
        ("csv", gzip.compress(b"id,text\n1,a\n", mtime=0)[:-9], "gzip"),
        ("csv", b"no gzip at all", "gzip"),
        ("json", b'{"id":"1"\n', "none"),
        ("json", b"[1]\n", "none"),
        ("json", b"id,text\n1,a\n", "none"),
        ("json", gzip.compress(b'{"id":"1"}\n' * 9000)[:-30], "gzip"),
        ("avro", b"Obj\x01", "none"),
        ("avro", avro([{"name": "id", "type": "long"}], [{"id": 1}])[:-1], "none"),
        ("avro", b"PAR1", "none"),
        ("avro", b"", "none"),
        ("parquet", b"PAR1", "none"),
        ("parquet", b"", "none"),
        ("parquet", parquet(id=[1], text=["a"])[:-1], "none"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_files_that_cannot_be_decoded_are_reported(format_: str, data: bytes, codec: str) -> None:
    found = digest(format_, data, codec=codec)
    assert found.unreadable
    assert "\n" not in found.unreadable


@pytest.mark.parametrize(
    ("format_", "data", "difference"),
    [
        ("csv", b"id,other\n1,a\n", "columns id, other instead of id, text"),
        ("csv", b"id,text\none,a\n2,b\n", "id: 1 value is not INT64"),
        ("json", b'{"id":"1","more":2}\n', "more: unknown column"),
        ("json", b'{"id":"1.5"}\n', "id: 1 value is not INT64"),
        ("avro", avro([{"name": "id", "type": "string"}, {"name": "text", "type": "string"}], []),
         "id: VARCHAR instead of INT64"),
        ("avro", avro([{"name": "id", "type": "long"}], [{"id": 1}]), "columns id instead of id, text"),
        ("parquet", parquet(id=[1], text=[b"a"]), "text: BLOB instead of STRING"),
        ("parquet", parquet(text=["a"], id=[1]), "columns text, id instead of id, text"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_columns_that_differ_from_the_table_are_reported(format_: str, data: bytes, difference: str) -> None:
    found = digest(format_, data)
    assert found.unreadable == ""
    assert found.differences == (difference,)


def test_a_decimal_of_more_digits_than_the_library_supports_is_read() -> None:
    kind = {"type": "bytes", "logicalType": "decimal", "precision": 77, "scale": 38}
    data = avro([{"name": "big", "type": ["null", kind]}], [{"big": Decimal("1.5")}, {"big": None}])
    found = digest("avro", data, (Column("big", "BIGNUMERIC"),))
    assert (found.unreadable, found.differences, found.rows) == ("", (), 2)


@pytest.mark.parametrize("codec", ["null", "deflate", "snappy"])
def test_a_large_avro_file_is_read_in_batches(codec: str) -> None:
    rows = [{"id": number, "text": "x" * 2000} for number in range(2 * BATCH_BYTES // 2000)]
    data = avro([{"name": "id", "type": "long"}, {"name": "text", "type": "string"}], rows, codec)
    found = digest("avro", data)
    assert (found.unreadable, found.rows) == ("", len(rows))
    assert (
        digest("avro", avro([{"name": "id", "type": "long"}, {"name": "text", "type": "string"}], [], codec)).rows == 0
    )


def test_hostile_names_of_columns_are_quoted() -> None:
    columns = (Column('a"b', "STRING"), Column("c'd", "STRING"), Column("e f}", "STRING"))
    names = [column.name for column in columns]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([names, ["1", "2", "3"]])
    assert digest("csv", text.getvalue().encode(), columns)[:3] == (1, "", ())
    assert digest("json", json.dumps(dict.fromkeys(names, "x")).encode() + b"\n", columns)[:3] == (1, "", ())
    assert digest("parquet", parquet(**{name: ["x"] for name in names}), columns)[:3] == (1, "", ())


def test_closing_removes_all_files() -> None:
    reader = DataFiles()
    folder = reader._folder.name
    reader.close()
    assert not Path(folder).exists()


def test_a_null_marker_is_read_as_null() -> None:
    data = b'id,text\n\\N,a\n1,\n2,\\N\n3,"\\N"\n'

    async def pieces() -> AsyncIterator[bytes]:
        yield data

    file = DataFile("file", "csv", "none", True, ",", TWO, "\\N")
    found = asyncio.run(READER.digest(file, pieces(), checksums=True))
    assert (found.unreadable, found.rows, found.sums[0], found.sums[2]) == ("", 4, 3, 3)


def test_a_full_disk_for_temporary_files_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=1000))
    with pytest.raises(UsageError, match=r"^temporary files in .*: 1 KB free, .* need 2 KB\. Set TMPDIR to"):
        READER.check_room(2000)
    READER.check_room(1000)
    made = tempfile.mkstemp

    def on_full_disk(**where: Any) -> tuple[int, str]:
        descriptor, name = made(**where)
        os.close(descriptor)
        return os.open("/dev/full", os.O_WRONLY), name

    monkeypatch.setattr(tempfile, "mkstemp", on_full_disk)
    for size in (10, 200_000):
        with pytest.raises(UsageError, match=r"^temporary files in .*: No space left on device\. Set TMPDIR to"):
            digest("csv", b"x" * size)


def test_a_missing_folder_for_temporary_files_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
    with pytest.raises(UsageError, match=r"No such file or directory\. Set TMPDIR to"):
        DataFiles()
