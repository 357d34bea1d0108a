"""Fingerprints of a table's files: two exports are compared by them without reading files.

Equal bytes mean equal content. Different bytes mean different content only if BigQuery modified the table in between
and the files were made in the same way, because neither the order of rows nor their distribution over files is fixed.

What BigQuery's metadata prove about a table's content: files of unmodified tables need not have the same bytes.

Avro and gzip put something random or the time into each file, and the order of rows is not fixed. A table is as it was
if equal readings of its metadata enclose both snapshot times. See `core.plan.readings` for what a reading is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import msgspec
from msgspec.structs import replace

from bqdump.core.documents.manifest import Head, TableEntry
from bqdump.core.documents.unchanged import Reading
from bqdump.core.documents.units import files_by_partition
from bqdump.core.tables.catalog import EXTRACTABLE, varying

# "": of a table that only one of the exports has.
Content = Literal["", "same bytes", "same values", "unchanged", "changed", "unclear"]
LATEST = 253_402_300_799_999
OTHER_CHECKSUMS = "its files have other checksums"
ORDER = f"{OTHER_CHECKSUMS}, but BigQuery has not modified the table: possibly only the order of rows differs"
NO_TIME = f"{OTHER_CHECKSUMS}, and BigQuery does not report when rows changed: possibly only their order differs"
EMPTY = "it has no rows"
UNMODIFIED = "BigQuery has not modified the table"
OTHER_WAY = "its files were made in another way"


class Side(msgspec.Struct, frozen=True):
    """A table in one export.

    content: a fingerprint of its files' bytes.
    made: a fingerprint of how they were made.
    modified: when BigQuery last modified it, as of planning (ms), 0 where that is unknown.
    look, steady, at, empty: see `Seen`.
    """

    rows: int = 0
    bytes: int = 0
    content: str = ""
    made: str = ""
    modified: int = 0
    look: str = ""
    steady: bool = False
    at: int = 0
    empty: bool = False


def judge(before: Side, after: Side) -> tuple[Content, str]:
    """What the files' checksums and BigQuery's metadata prove about a table's content, and the evidence."""
    if before.content and before.content == after.content:
        return "same bytes", ""
    if before.rows != after.rows:
        return "changed", ""
    if before.empty and after.empty:
        return "unchanged", EMPTY
    if before.made != after.made:
        return "unclear", OTHER_WAY
    if before.look and before.look == after.look and min(before, after, key=lambda side: side.at).steady:
        return "unchanged", UNMODIFIED
    if not (before.modified and after.modified):
        return "unclear", NO_TIME
    return ("unclear", ORDER) if before.modified == after.modified else ("changed", OTHER_CHECKSUMS)


class _Definition(msgspec.Struct, rename="camel"):
    last_modified_time: str | int | None = None


class _TimePartitioning(msgspec.Struct):
    field: str | None = None


class _Partitioned(msgspec.Struct, rename="camel"):
    time_partitioning: _TimePartitioning | None = None


_PARTITIONED = msgspec.json.Decoder(_Partitioned | None)
_DEFINITION = msgspec.json.Decoder(_Definition | None)


def way(
    route: str, format_: str, compression: str, shape: object, settings: Mapping[str, Any], tool: str
) -> dict[str, object]:
    """Everything that decides which bytes the same rows become, by a readable name."""
    parts: dict[str, object] = {"route": route, "format": format_, "compression": compression}
    if format_ == "csv":
        parts |= {name: settings.get(name) for name in ("header", "delimiter")}
    if route == "read":
        parts |= {name: settings.get(name) for name in ("null_marker", "file_size", "row_group_rows")}
        parts["bqdump"] = tool
    return parts | {"columns, masks or filter": msgspec.to_builtins(shape)}


def fingerprint(value: object) -> str:
    """A short hash of a JSON value."""
    return hashlib.blake2b(msgspec.json.encode(value, order="deterministic"), digest_size=6).hexdigest()


def bytes_fingerprint(entry: TableEntry) -> str:
    """A hash of the sizes and CRC32C of all files, independent of names, generations and order.

    Where only the partition of a file tells when its rows arrived, it is part of the hash.
    """
    files: list[tuple[int | str, ...]] = [(file.size, file.crc32c) for file in entry.files]
    if by_arrival(entry):
        files = [(f.size, f.crc32c, part.id) for part, some in files_by_partition(entry) for f in some]
    return hashlib.blake2b(msgspec.json.encode(sorted(files)), digest_size=12).hexdigest()


def by_arrival(entry: TableEntry) -> bool:
    """Whether the files of the entry are by the partitions of an ingestion-time partitioned table.

    No column of such a table has the partition of a row.
    """
    if not entry.partitions:
        return False
    definition = _PARTITIONED.decode(entry.definition)
    return bool(definition and definition.time_partitioning and not definition.time_partitioning.field)


def modified(kind: str, definition: bytes | msgspec.Raw) -> int:
    """When BigQuery last modified a table (ms), as of planning; 0 where that is unknown, and for views."""
    if kind not in EXTRACTABLE or not definition:
        return 0
    try:
        decoded = _DEFINITION.decode(definition)
        return min(max(int(decoded.last_modified_time or 0), 0), LATEST) if decoded else 0
    except (msgspec.MsgspecError, ValueError):
        return 0


class Seen(NamedTuple):
    """look: a fingerprint of the reading after the table's snapshot time `at` (ms), "" if it proves nothing.
    steady: the table was the same at that time.
    empty: its files have no rows for certain.
    """

    look: str
    steady: bool
    at: int
    empty: bool


def seen(head: Head, entry: TableEntry) -> Seen:
    """What is known about a table of a manifest."""
    at = (entry.carried or head).snapshot
    rows = entry.expected_rows if entry.rows is None else entry.rows
    look = entry.look
    if look is None or not _covers(head, entry, rows, look):
        return Seen("", False, at, rows == 0)
    return Seen(fingerprint(replace(look, by=0)), _steady(entry, rows, look, at), at, rows == 0)


def _covers(head: Head, entry: TableEntry, rows: int | None, reading: Reading) -> bool:
    """Whether the files have exactly what the table had, so that a reading of the table applies to them."""
    hidden = any(flag.table in ("", entry.table) and flag.risk.hides for flag in head.flags)
    if hidden or entry.read_at != "snapshot" or varying(entry.shape):
        return False
    return bool(entry.shape.where) or rows in (None, reading.rows)


def _steady(entry: TableEntry, rows: int | None, reading: Reading, at: int) -> bool:
    """Whether the table did not change between its snapshot time and the reading."""
    if entry.carried and entry.carried.unchanged_at:
        return True
    if entry.look_before and entry.look_before.same(reading):
        return True
    # Without an earlier reading: a change has a later time, and a deletion alone fewer rows.
    return rows == reading.rows and 0 < reading.modified < at
