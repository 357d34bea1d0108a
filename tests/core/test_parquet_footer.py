"""A Parquet file's footer tells its rows, and bytes that are no footer are told from one."""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bqdump.core.errors import DocumentError
from bqdump.core.formats.parquet_footer import TRAILER_BYTES, footer_bytes, num_rows
from tiers import points

COLUMNS = {
    "id": pa.int64(),
    "text": pa.string(),
    "amount": pa.decimal128(38, 9),
    "flag": pa.bool_(),
    "tags": pa.list_(pa.string()),
    "pair": pa.struct([("a", pa.int64()), ("b", pa.list_(pa.float64()))]),
    "at": pa.timestamp("us"),
    "by_key": pa.map_(pa.string(), pa.int32()),
}


def parquet(rows: int, columns: list[str], group: int, codec: str) -> bytes:
    schema = pa.schema([(name, COLUMNS[name]) for name in columns], metadata={"made by": "a test"})
    table = pa.table([pa.nulls(rows, COLUMNS[name]) for name in columns], schema=schema)
    file = io.BytesIO()
    pq.write_table(table, file, row_group_size=group, compression=codec)
    return file.getvalue()


def rows_of(data: bytes) -> int:
    length = footer_bytes(data[-TRAILER_BYTES:], len(data), "file")
    return num_rows(data[-TRAILER_BYTES - length : -TRAILER_BYTES], "file")


@given(
    rows=st.integers(0, 300),
    columns=st.lists(st.sampled_from(list(COLUMNS)), min_size=1, unique=True),
    group=st.integers(1, 400),
    codec=st.sampled_from(("none", "snappy", "gzip", "zstd")),
)
def test_it_reads_what_pyarrow_has_written(rows: int, columns: list[str], group: int, codec: str) -> None:
    assert rows_of(parquet(rows, columns, group, codec)) == rows


@given(data=st.binary(max_size=300))
def test_any_bytes_give_a_number_or_one_clear_error(data: bytes) -> None:
    for candidate in (data, data + len(data).to_bytes(4, "little") + b"PAR1"):
        with pytest.raises(DocumentError, match="cannot read the Parquet footer of file"):
            rows_of(candidate)


FILE = parquet(7, list(COLUMNS), 3, "snappy")
FOOTER_AT = len(FILE) - footer_bytes(FILE[-TRAILER_BYTES:], len(FILE), "file") - TRAILER_BYTES


@pytest.mark.parametrize("bit", [0x01, 0x80, 0xFF])
def test_no_flipped_byte_of_a_footer_gives_a_traceback(bit: int) -> None:
    refused, tried = 0, list(points(range(FOOTER_AT, len(FILE))))
    for position in tried:
        data = bytearray(FILE)
        data[position] ^= bit
        try:
            assert rows_of(bytes(data)) >= 0
        except DocumentError:
            refused += 1
    assert 0 < refused < len(tried)


def test_a_file_cut_anywhere_is_refused() -> None:
    for length in points(range(len(FILE))):
        with pytest.raises(DocumentError, match="cannot read the Parquet footer of file"):
            rows_of(FILE[:length])


@pytest.mark.parametrize(
    "footer",
    [
        b"\x19" * 5000,
        b"\x1c" * 100_000,
        b"\x18\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
        b"\x19\xfc\xff\xff\xff\xff\x7f",
        b"\x36\x01\x00",
        b"\x00",
        b"",
    ],
    ids=[
        "lists in lists",
        "structs in structs",
        "a text of 2^62 bytes",
        "a list of 2^34",
        "minus one",
        "none",
        "empty",
    ],
)
def test_a_hostile_footer_is_refused_at_once(footer: bytes) -> None:
    with pytest.raises(DocumentError, match="footer"):
        num_rows(footer, "file")
