"""Previews of files: of each format, from a bounded part of the file, whatever its content."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import sys
import zlib
from pathlib import Path
from typing import Any

import fastavro
import polars
import pytest

from bqdump.adapters.memory import MemoryStore
from bqdump.core.errors import BqdumpError, UsageError
from bqdump.file_content import file_of
from bqdump.ports.store import Stored
from bqdump.ui import file as module
from bqdump.ui.decode import ROWS, Preview
from bqdump.ui.file import FOOTER_BYTES, HEAD_BYTES, TEXT_BYTES, preview


class Counted(MemoryStore):
    """Counts the bytes read."""

    bytes_read = 0

    async def read(self, name: str, start: int = 0, length: int | None = None) -> Stored:
        """See ObjectStore."""
        stored = await super().read(name, start, length)
        self.bytes_read += len(stored.data)
        return stored


def look(name: str, data: bytes, **settings: Any) -> tuple[Preview, Counted]:
    store = Counted()
    shown, compared = asyncio.run(preview(store, file_of(store.put_now(name, data)), settings))
    most = TEXT_BYTES if settings["format"] in ("csv", "json") else module.HEAD_BYTES
    assert compared == (len(data) <= most)
    return shown, store


def test_csv_uses_its_header_and_delimiter() -> None:
    shown, _ = look("a.csv", b'id|name\n1|"a|b"\n2|"two\nlines"\n', format="csv", delimiter="|")
    assert shown == Preview(["id", "name"], [["1", "a|b"], ["2", "two\nlines"]], False)


def test_csv_without_a_header_shows_numbered_columns_and_fills_short_rows() -> None:
    shown, _ = look("a.csv", b"1,2,3\n4\n", format="csv", header=False)
    assert shown == Preview(["column 1", "column 2", "column 3"], [["1", "2", "3"], ["4", "", ""]], False)


@pytest.mark.parametrize("packed", [False, True])
def test_a_large_text_file_is_read_in_part_and_shows_complete_rows(packed: bool) -> None:
    lines = "".join(f"{number},{'x' * 100}{zlib.crc32(b'%d' % number)}\n" for number in range(40_000))
    data = ("id,text\n" + lines).encode()
    shown, store = look("a.csv.gz" if packed else "a.csv", gzip.compress(data) if packed else data, format="csv")
    assert len(shown.rows) == ROWS
    assert shown.more
    assert [row[0] for row in shown.rows] == [str(number) for number in range(ROWS)]
    assert store.bytes_read <= TEXT_BYTES


def test_a_highly_compressed_file_is_decompressed_in_part() -> None:
    shown, store = look("a.json.gz", gzip.compress(b"0" * 200_000_000, 1), format="json")
    assert len(shown.rows) == 1
    assert shown.rows[0][0].endswith("…")
    assert store.bytes_read <= TEXT_BYTES


@pytest.mark.parametrize(
    ("data", "rows"), [(b"", 0), (b"id\n", 0), (b"\xff\xfe,\x00\n1,2\n", 1), (b'"never closed', 0)]
)
def test_arbitrary_bytes_are_shown_as_rows(data: bytes, rows: int) -> None:
    shown, _ = look("a.csv", data, format="csv")
    assert len(shown.rows) == rows


@pytest.mark.parametrize("format_", ["csv", "json"])
@pytest.mark.parametrize(
    ("name", "data"),
    [("a", b""), ("a.gz", b""), ("a.gz", gzip.compress(b"", mtime=0)), ("a", gzip.compress(b"", mtime=0))],
)
def test_an_empty_file_has_no_rows_and_ends(format_: str, name: str, data: bytes) -> None:
    shown, _ = look(name, data, format=format_)
    assert shown == Preview([], [], False)


@pytest.mark.parametrize("codec", ["null", "deflate", "snappy"])
def test_an_avro_file_without_blocks_has_columns_and_no_rows(codec: str) -> None:
    file = io.BytesIO()
    field = {"name": "id", "type": ["null", "long"], "default": None}
    fastavro.writer(file, {"type": "record", "name": "Root", "fields": [field]}, [], codec=codec)
    shown, _ = look("a.avro", file.getvalue(), format="avro")
    assert shown == Preview(["id"], [], False)


def test_a_parquet_file_without_rows_has_columns() -> None:
    for frame in (polars.DataFrame({"id": [1]}).clear(), polars.DataFrame({"l": [[1]], "s": [{"a": 1}]}).clear()):
        file = io.BytesIO()
        frame.write_parquet(file)
        shown, _ = look("a.parquet", file.getvalue(), format="parquet")
        assert shown == Preview(frame.columns, [], False)


@pytest.mark.parametrize("format_", ["csv", "json"])
def test_a_gzip_file_is_decompressed_regardless_of_its_name(format_: str) -> None:
    data = b"id\n1\n" if format_ == "csv" else b'{"id":1}\n'
    shown, _ = look("a", gzip.compress(data), format=format_)
    assert shown == Preview(["id"], [["1"]], False)


def test_a_file_with_an_overlong_row_is_not_empty() -> None:
    shown, _ = look("a.csv", b"id,text\n1," + b"x" * TEXT_BYTES, format="csv")
    assert (shown.rows, shown.more) == ([], True)
    shown, _ = look("a.json", b'{"text":"' + b"x" * TEXT_BYTES + b'"}\n', format="json")
    assert (shown.columns, len(shown.rows), shown.more) == (["(truncated)"], 1, True)


def test_deeply_nested_json_is_a_row() -> None:
    # Somewhere there reading it still goes, and writing it does not.
    for depth in (10, *range(800, 1001), 5000):
        shown, _ = look("a.json", b'{"a":' + b"[" * depth + b"]" * depth + b"}\n", format="json")
        assert len(shown.rows) == 1


@pytest.mark.parametrize("delimiter", ["", "ab", None, 1, ["|"]])
def test_an_invalid_delimiter_falls_back_to_a_comma(delimiter: Any) -> None:
    shown, _ = look("a.csv", b"id,name\n1,Aiko\n", format="csv", delimiter=delimiter)
    assert shown.rows == [["1", "Aiko"]]


def test_json_has_the_columns_of_its_records() -> None:
    records: list[Any] = [{"id": 1, "tags": ["a", "b"]}, {"id": 2, "more": {"deep": None}}, [3], "four"]
    data = "\n".join(map(json.dumps, records)) + "\nnot json\n"
    shown, _ = look("a.json", data.encode(), format="json")
    assert list(shown.columns) == ["id", "tags", "more", "(value)", "(not JSON)"]
    assert shown.rows[0] == ["1", '["a","b"]', "", "", ""]
    assert shown.rows[1] == ["2", "", '{"deep":null}', "", ""]
    assert shown.rows[4] == ["", "", "", "", "not json"]


def test_an_invalid_gzip_file_is_reported() -> None:
    with pytest.raises(BqdumpError, match=r"a\.csv\.gz: it is not a gzip file"):
        look("a.csv.gz", b"id,name\n", format="csv")


FRAME = polars.DataFrame({"id": range(1000), "name": [f"n{n}" for n in range(1000)], "raw": [b"\x01\xff"] * 1000})


def written(format_: str, frame: polars.DataFrame, **options: Any) -> bytes:
    buffer = io.BytesIO()
    (frame.write_avro if format_ == "avro" else frame.write_parquet)(buffer, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("format_", ["avro", "parquet"])
def test_avro_and_parquet_show_their_first_rows(format_: str) -> None:
    shown, _ = look(f"a.{format_}", written(format_, FRAME), format=format_)
    assert list(shown.columns) == ["id", "name", "raw"]
    assert len(shown.rows) == ROWS
    assert shown.rows[1] == ["1", "n1", "01 ff"]
    assert shown.more


def test_a_large_parquet_file_shows_its_first_rows() -> None:
    size = 400_000
    frame = polars.DataFrame({"id": range(size), "noise": [zlib.crc32(b"%d" % n) * 2654435761 for n in range(size)]})
    wide = polars.concat([frame.select("id", *(polars.col("noise").add(n).alias(f"n{n}") for n in range(9)))])
    data = written("parquet", wide, compression="uncompressed", row_group_size=10_000)
    assert len(data) > HEAD_BYTES + FOOTER_BYTES
    shown, store = look("a.parquet", data, format="parquet")
    assert [row[0] for row in shown.rows] == [str(number) for number in range(ROWS)]
    assert store.bytes_read <= HEAD_BYTES + FOOTER_BYTES


@pytest.mark.parametrize("format_", ["avro", "parquet"])
@pytest.mark.parametrize("data", [b"", b"PAR1", b"Obj\x01", b"something else entirely"])
def test_a_damaged_file_is_reported_in_one_sentence(format_: str, data: bytes) -> None:
    with pytest.raises(BqdumpError, match="no complete row found"):
        look(f"a.{format_}", data, format=format_)


def test_without_polars_the_error_names_the_extra_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(UsageError, match=r"pip install 'bqdump\[read\]'"):
        look("a.avro", written("avro", FRAME), format="avro")


# Found by changing bytes at random: the decoder panics, which is more than an exception.
@pytest.mark.parametrize("data", [b'Obj\x01\x02\x16avro.schema\x1e{"type":"rtcord"}\x00' + bytes(16)])
def test_a_file_that_crashes_the_decoder_is_reported(data: bytes) -> None:
    with pytest.raises(BqdumpError, match="no complete row found"):
        look("a.avro", data, format="avro")


@pytest.mark.parametrize("name", ["msgspec", "polars", "bqdump"])
def test_modules_in_the_working_directory_are_not_imported(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'imported')!r}, 'w')")
    monkeypatch.chdir(tmp_path)
    shown, _ = look("a.parquet", written("parquet", FRAME), format="parquet")
    assert len(shown.rows) == ROWS
    assert not (tmp_path / "imported").exists()


def test_a_hanging_decoder_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SECONDS", 0.0)
    with pytest.raises(BqdumpError, match="no complete row found"):
        look("a.avro", written("avro", FRAME), format="avro")


def test_a_truncated_avro_file_shows_its_first_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HEAD_BYTES", 50_000)
    buffer = io.BytesIO()
    schema = {"type": "record", "name": "Root", "fields": [{"name": "id", "type": "long"}]}
    fastavro.writer(buffer, schema, ({"id": number} for number in range(100_000)), codec="deflate", sync_interval=4000)
    shown, store = look("a.avro", buffer.getvalue(), format="avro")
    assert [row[0] for row in shown.rows] == [str(number) for number in range(ROWS)]
    assert store.bytes_read == 50_000 < len(buffer.getvalue())
