"""The rows in an answer of ReadRows, in place: parsing the message would copy them twice.

Sources: https://protobuf.dev/programming-guides/encoding/,
https://cloud.google.com/bigquery/docs/reference/storage/rpc/google.cloud.bigquery.storage.v1#readrowsresponse
"""

from __future__ import annotations

from collections.abc import Iterator

from bqdump.core.errors import RowsError
from bqdump.core.formats.varint import unsigned
from bqdump.ports.reader import Batch

# Field numbers in ReadRowsResponse and in its ArrowRecordBatch.
ARROW_RECORD_BATCH, ROW_COUNT = 4, 6
SERIALIZED_RECORD_BATCH = 1
# Wire types of fields.
VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5


def batch_of(answer: bytes) -> Batch:
    """The record batch of a serialized ReadRowsResponse. Raises RowsError if it is not one."""
    data, rows = memoryview(b""), 0
    try:
        for number, value in _fields(memoryview(answer)):
            if number == ROW_COUNT and isinstance(value, int):
                rows = value
            elif number == ARROW_RECORD_BATCH and isinstance(value, memoryview):
                for inner, content in _fields(value):
                    if inner == SERIALIZED_RECORD_BATCH and isinstance(content, memoryview):
                        data = content
    except (IndexError, ValueError) as error:
        raise RowsError("read", "an answer of the Storage Read API", "it is damaged") from error
    return Batch(data, rows)


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """The number and the value of each field."""
    at = 0
    while at < len(message):
        tag, at = unsigned(message, at)
        kind = tag & 7
        if kind == VARINT:
            value, at = unsigned(message, at)
            yield tag >> 3, value
            continue
        if kind == LENGTH:
            size, at = unsigned(message, at)
        elif kind in (FIXED64, FIXED32):
            size = 8 if kind == FIXED64 else 4
        else:
            raise IndexError
        if at + size > len(message):
            raise IndexError
        yield tag >> 3, message[at : at + size]
        at += size
