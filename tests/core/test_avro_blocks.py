"""The blocks of an Avro file tell its rows, and bytes that are no blocks are told from them."""

from __future__ import annotations

import io

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bqdump.core.errors import DocumentError
from bqdump.core.formats.avro_blocks import SYNC_BYTES, Block, Header, check_sync, read_block, read_header
from tiers import points

SCHEMA = fastavro.parse_schema(
    {"type": "record", "name": "Root", "fields": [{"name": "text", "type": ["null", "string"]}]}
)


def avro(rows: list[str | None], codec: str = "null", interval: int = 40) -> bytes:
    file = io.BytesIO()
    fastavro.writer(file, SCHEMA, [{"text": text} for text in rows], codec=codec, sync_interval=interval)
    return file.getvalue()


def blocks(data: bytes) -> tuple[Header, list[Block]]:
    header = read_header(data, "file")
    if header is None:
        raise DocumentError("read", "file", "its header is not whole")
    at, found = header.length, []
    while at < len(data):
        block = read_block(data, at, len(data) - at, "file")
        assert block is not None
        at += block.length
        check_sync(data[at - SYNC_BYTES : at], header, "file")
        found.append(block)
    return header, found


@given(
    rows=st.lists(st.none() | st.text(max_size=30), max_size=60),
    codec=st.sampled_from(("null", "deflate", "snappy")),
    interval=st.integers(1, 400),
)
def test_they_tell_what_fastavro_has_written(rows: list[str | None], codec: str, interval: int) -> None:
    data = avro(rows, codec, interval)
    header, found = blocks(data)
    assert header.codec == codec
    assert b'"Root"' in header.metadata["avro.schema"]
    assert sum(block.rows for block in found) == len(rows)
    assert [block.rows for block in found] == [block.num_records for block in fastavro.block_reader(io.BytesIO(data))]


FILE = avro([f"row {number}" for number in range(20)])


def test_an_incomplete_header_requests_more_bytes() -> None:
    header = read_header(FILE, "file")
    assert header is not None
    for length in range(header.length):
        assert read_header(FILE[:length], "file") is None
    assert read_header(FILE[: header.length], "file") == header


def test_a_file_cut_anywhere_is_refused_unless_a_block_ends_there() -> None:
    header, found = blocks(FILE)
    ends = {header.length}
    for block in found:
        ends.add(max(ends) + block.length)
    assert len(ends) > 2
    for length in set(points(range(len(FILE)))) - ends:
        with pytest.raises(DocumentError, match=r"cannot read (the Avro blocks of )?file"):
            blocks(FILE[:length])


@given(data=st.binary(max_size=200))
def test_any_bytes_give_blocks_or_one_clear_error(data: bytes) -> None:
    header = read_header(FILE, "")
    assert header
    for candidate in (data, b"Obj\x01" + data, FILE[: header.length] + data):
        try:
            blocks(candidate)
        except DocumentError:
            continue


def test_no_flipped_byte_gives_a_traceback() -> None:
    refused, tried = 0, list(points(range(len(FILE))))
    for position in tried:
        data = bytearray(FILE)
        data[position] ^= 0xFF
        try:
            blocks(bytes(data))
        except DocumentError:
            refused += 1
    # Those in the middle of a block's rows are not looked at.
    assert 0 < refused < len(tried)


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        (b"PAR1" + bytes(40), "does not begin as an Avro file"),
        (b"Obj\x01" + b"\xff" * 12, "more than ten bytes"),
        (b"Obj\x01\x02\xfe\xff\xff\xff\xff\xff\xff\xff\x7f", "damaged"),
        (b"Obj\x01\x02\x02\xff\x02a" + bytes(20), "damaged"),
    ],
)
def test_a_hostile_header_is_refused_at_once(data: bytes, cause: str) -> None:
    with pytest.raises(DocumentError, match=cause):
        read_header(data, "file")
