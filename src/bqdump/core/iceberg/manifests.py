"""The manifest of a snapshot, which names its data files, and the manifest list, which names the manifest.

Source: https://iceberg.apache.org/spec/#manifests
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from bqdump.core.formats.varint import put_signed as put_long
from bqdump.core.iceberg.avro import container, put_array, put_binaries, put_bytes, put_longs
from bqdump.core.iceberg.parquet import FileFacts

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
    """The manifest that adds these files. schema: with its id. snapshot: its id. sequence: its sequence number."""
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
