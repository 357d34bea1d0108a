"""The manifest of a snapshot, which names its data files, and the manifest list, which names the manifest.

Source: https://iceberg.apache.org/spec/#manifests

Avro object container files, as far as Iceberg's manifests need them.

A writer of values is a function that appends a value to a bytearray.
Source: https://avro.apache.org/docs/1.12.0/specification/
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import msgspec

from bqdump.core.formats.avro_blocks import SYNC_BYTES, Header, header_bytes
from bqdump.core.formats.varint import put_signed as put_long
from bqdump.core.iceberg.parquet import FileFacts

Value = TypeVar("Value")
BLOCK_BYTES = 64 << 10
# Fast, and the same bytes each time.
LEVEL = 1


def put_bytes(out: bytearray, value: bytes) -> None:
    """Bytes, or a string in UTF-8."""
    put_long(out, len(value))
    out += value


def put_longs(out: bytearray, values: Mapping[int, int]) -> None:
    """An optional map of longs by int; null where it is empty."""
    _put_map(out, values, put_long)


def put_binaries(out: bytearray, values: Mapping[int, bytes]) -> None:
    """An optional map of bytes by int; null where it is empty."""
    _put_map(out, values, put_bytes)


def _put_map(out: bytearray, values: Mapping[int, Value], put: Callable[[bytearray, Value], None]) -> None:
    put_long(out, 1 if values else 0)
    if values:
        put_long(out, len(values))
        for key in sorted(values):
            put_long(out, key)
            put(out, values[key])
        out.append(0)


def put_array(out: bytearray, values: Sequence[int]) -> None:
    """An optional array of longs; null where it is empty."""
    put_long(out, 1 if values else 0)
    if values:
        put_long(out, len(values))
        for value in values:
            put_long(out, value)
        out.append(0)


def container(schema: object, properties: Mapping[str, str], records: Iterable[bytes]) -> bytes:
    """A file with these records. The same records give the same file."""
    described = msgspec.json.encode(schema)
    head = {"avro.schema": described, "avro.codec": b"deflate", **{k: v.encode() for k, v in properties.items()}}
    out = bytearray(header_bytes(Header(head, sync=b"", length=0)))
    marker = hashlib.sha256(out).digest()[:SYNC_BYTES]
    out += marker
    for count, block in _blocks(records):
        packer = zlib.compressobj(LEVEL, wbits=-15)
        packed = packer.compress(block) + packer.flush()
        put_long(out, count)
        put_bytes(out, packed)
        out += marker
    return bytes(out)


def _blocks(records: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    block, count = bytearray(), 0
    for record in records:
        block += record
        count += 1
        if len(block) >= BLOCK_BYTES:
            yield count, bytes(block)
            block, count = bytearray(), 0
    if count:
        yield count, bytes(block)


FORMAT_VERSION = "2"
ADDED = 1


class DataFile(NamedTuple):
    """A data file: its complete address, its size in bytes, and what its footer says."""

    path: str
    size: int
    facts: FileFacts


class Totals(NamedTuple):
    """What the files of a snapshot add up to."""

    files: int
    rows: int
    bytes: int


def totals(files: Sequence[DataFile]) -> Totals:
    """The sums over these files."""
    return Totals(len(files), sum(file.facts.rows for file in files), sum(file.size for file in files))


def _optional(name: str, number: int, type_: object) -> dict[str, Any]:
    return {"name": name, "type": ["null", type_], "default": None, "field-id": number}


def _plain(name: str, number: int, type_: object) -> dict[str, Any]:
    return {"name": name, "type": type_, "field-id": number}


def _map(key: int, value: int, type_: str) -> dict[str, Any]:
    fields = [_plain("key", key, "int"), _plain("value", value, type_)]
    record = {"type": "record", "name": f"k{key}_v{value}", "fields": fields}
    return {"type": "array", "items": record, "logicalType": "map"}


DATA_FILE = {
    "type": "record",
    "name": "r2",
    "fields": [
        _plain("content", 134, "int"),
        _plain("file_path", 100, "string"),
        _plain("file_format", 101, "string"),
        _plain("partition", 102, {"type": "record", "name": "r102", "fields": []}),
        _plain("record_count", 103, "long"),
        _plain("file_size_in_bytes", 104, "long"),
        _optional("column_sizes", 108, _map(117, 118, "long")),
        _optional("value_counts", 109, _map(119, 120, "long")),
        _optional("null_value_counts", 110, _map(121, 122, "long")),
        _optional("lower_bounds", 125, _map(126, 127, "bytes")),
        _optional("upper_bounds", 128, _map(129, 130, "bytes")),
        _optional("split_offsets", 132, {"type": "array", "items": "long", "element-id": 133}),
        _optional("sort_order_id", 140, "int"),
    ],
}
MANIFEST_ENTRY = {
    "type": "record",
    "name": "manifest_entry",
    "fields": [
        _plain("status", 0, "int"),
        _optional("snapshot_id", 1, "long"),
        _optional("sequence_number", 3, "long"),
        _optional("file_sequence_number", 4, "long"),
        _plain("data_file", 2, DATA_FILE),
    ],
}
MANIFEST_FILE = {
    "type": "record",
    "name": "manifest_file",
    "fields": [
        _plain("manifest_path", 500, "string"),
        _plain("manifest_length", 501, "long"),
        _plain("partition_spec_id", 502, "int"),
        _plain("content", 517, "int"),
        _plain("sequence_number", 515, "long"),
        _plain("min_sequence_number", 516, "long"),
        _plain("added_snapshot_id", 503, "long"),
        _plain("added_files_count", 504, "int"),
        _plain("existing_files_count", 505, "int"),
        _plain("deleted_files_count", 506, "int"),
        _plain("added_rows_count", 512, "long"),
        _plain("existing_rows_count", 513, "long"),
        _plain("deleted_rows_count", 514, "long"),
    ],
}


def manifest(schema: dict[str, Any], snapshot: int, sequence: int, files: Sequence[DataFile]) -> bytes:
    """The manifest that adds these files.

    schema: with its id.
    snapshot: its id.
    sequence: its sequence number.
    """
    properties = {
        "schema": msgspec.json.encode(schema).decode(),
        "schema-id": str(schema["schema-id"]),
        "partition-spec": "[]",
        "partition-spec-id": "0",
        "format-version": FORMAT_VERSION,
        "content": "data",
    }
    return container(MANIFEST_ENTRY, properties, _entries(snapshot, sequence, files))


def _entries(snapshot: int, sequence: int, files: Sequence[DataFile]) -> Iterator[bytes]:
    head = bytearray()
    put_long(head, ADDED)
    for number in (snapshot, sequence, sequence):
        put_long(head, 1)
        put_long(head, number)
    for path, size, facts in files:
        out = bytearray(head)
        put_long(out, 0)
        put_bytes(out, path.encode())
        put_bytes(out, b"PARQUET")
        put_long(out, facts.rows)
        put_long(out, size)
        put_longs(out, facts.sizes)
        put_longs(out, facts.values)
        put_longs(out, facts.nulls)
        put_binaries(out, facts.lower)
        put_binaries(out, facts.upper)
        put_array(out, facts.offsets)
        put_long(out, 1)
        put_long(out, 0)
        yield bytes(out)


def manifest_list(path: str, length: int, snapshot: int, parent: int | None, sequence: int, of_files: Totals) -> bytes:
    """The manifest list of a snapshot with one manifest: its address, and its length in bytes."""
    properties = {
        "snapshot-id": str(snapshot),
        "parent-snapshot-id": str(parent) if parent is not None else "null",
        "sequence-number": str(sequence),
        "format-version": FORMAT_VERSION,
    }
    out = bytearray()
    put_bytes(out, path.encode())
    for number in (length, 0, 0, sequence, sequence, snapshot, of_files.files, 0, 0, of_files.rows, 0, 0):
        put_long(out, number)
    return container(MANIFEST_FILE, properties, [bytes(out)])
