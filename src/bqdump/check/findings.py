"""Findings of a verification."""

from __future__ import annotations

import enum

import msgspec

from bqdump.core.results import public


@public
class FindingKind(enum.StrEnum):
    """Kinds of problems in an export."""

    MISSING = "missing"
    EXTRA = "extra"
    SIZE = "size"
    CHECKSUM = "checksum"
    REPLACED = "replaced"
    UNREADABLE = "unreadable"
    SCHEMA = "schema"
    ROWS = "rows"
    VALUES = "values"
    SOURCE = "source"
    LOCK = "lock"
    HIDDEN = "hidden"


@public
class Finding(msgspec.Struct, frozen=True):
    """One difference: `expected` is from the manifest (or BigQuery), `found` is from the bucket.

    - missing: the file, or an object of Iceberg metadata, does not exist.
    - extra: a file that the manifest does not list, with a name that matches one of its tables.
    - size, checksum: of the file; with --read the CRC32C of the bytes read.
    - replaced: the same content under another generation.
    - unreadable: the file cannot be decoded.
    - schema: its columns or values do not match the table.
    - rows: of a file, or (file "") of a table.
    - values: a column's values differ from BigQuery's.
    - source: BigQuery no longer has the table's data at the snapshot time.
    - lock: the file of a locked copy is locked for a shorter time than its run, or not any more.
    - hidden: in a locked copy, something was put over the object, or hides it; what is locked was read instead.
    """

    kind: FindingKind
    table: str
    file: str
    expected: str
    found: str
