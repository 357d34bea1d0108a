"""A file with many columns is read as often as one with few, and has the same checksums."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bqdump.adapters import data_files
from bqdump.core.formats.types import Column
from bqdump.ports.data_reader import DataFile, Digest

ROWS = 3


class Recording:
    """A connection to DuckDB that keeps the statements it runs."""

    def __init__(self, connection: Any, statements: list[str]) -> None:
        self._connection = connection
        self._statements = statements

    def __enter__(self) -> Recording:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def cursor(self) -> Recording:
        return Recording(self._connection.cursor(), self._statements)

    def execute(self, statement: str) -> Any:
        self._statements.append(statement)
        return self._connection.execute(statement)


def content(format_: str, count: int) -> bytes:
    rows = [{f"c{place}": str(place * row) for place in range(count)} for row in range(ROWS)]
    if format_ == "csv":
        text = io.StringIO()
        writer = csv.DictWriter(text, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return text.getvalue().encode()
    if format_ == "json":
        return "".join(json.dumps(row) + "\n" for row in rows).encode()
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), sink)
    return sink.getvalue()


def read(
    format_: str, count: int, data: bytes | None = None, more: tuple[Column, ...] = ()
) -> tuple[Digest, list[str]]:
    """The digest of a file with so many columns and some more, and the statements that read the file."""
    data = content(format_, count) if data is None else data
    columns = (*(Column(f"c{place}", "STRING") for place in range(count)), *more)
    file = DataFile("wide", format_, "none", header=True, delimiter=",", columns=columns)
    statements: list[str] = []

    async def pieces() -> AsyncIterator[bytes]:
        yield data

    reader = data_files.DataFiles()
    reader._connection = Recording(reader._connection, statements)
    try:
        digest = asyncio.run(reader.digest(file, pieces(), checksums=True))
    finally:
        reader.close()
    return digest, [statement for statement in statements if " FROM read_" in statement]


@pytest.mark.parametrize("format_", ["csv", "json", "parquet"])
def test_a_file_is_read_as_often_with_900_columns_as_with_300(format_: str, monkeypatch: pytest.MonkeyPatch) -> None:
    narrow, few = read(format_, 300)
    wide, many = read(format_, 900)
    assert (narrow.rows, len(narrow.sums), wide.rows, len(wide.sums)) == (ROWS, 603, ROWS, 1809)
    assert len(few) == len(many)
    # The same from the file itself, once for each group of columns.
    monkeypatch.setattr(data_files, "HELD_BYTES", 0)
    assert read(format_, 300)[0] == narrow
    again, each = read(format_, 900)
    assert again == wide
    assert len(each) > len(many)


def test_a_damaged_wide_file_is_described_like_a_narrow_one() -> None:
    data = content("csv", 300) + b"1,2,3\n"
    assert read("csv", 300, data)[0].unreadable == "Invalid Input Error: CSV Error on Line: 5"


@pytest.mark.parametrize("name", ["held", "Held"])
def test_a_struct_of_any_name_has_the_values_of_its_own_members(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{f"c{place}": "x" for place in range(300)} | {name: {"c1": f"inner {row}"}} for row in range(ROWS)]
    data = "".join(json.dumps(row) + "\n" for row in rows).encode()
    struct = Column(name, "STRUCT", fields=(Column("c1", "STRING"),))
    found, _ = read("json", 300, data, (struct,))
    monkeypatch.setattr(data_files, "HELD_BYTES", 0)
    assert read("json", 300, data, (struct,))[0] == found
