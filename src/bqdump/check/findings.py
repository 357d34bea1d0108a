"""What verification may find."""

from __future__ import annotations

import enum

import msgspec

from bqdump.core.results import public


@public
class FindingKind(enum.StrEnum):
    """What can be wrong with an export."""

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


@public
class Finding(msgspec.Struct, frozen=True):
    """One difference: `expected` is what the manifest (or BigQuery) says, `found` what is stored.

    missing: the file is not there. extra: a file that the manifest does not name, under a name that its tables claim.
    size, checksum: of the file; with --read the CRC32C of its bytes as they were read. replaced: the same content
    under another generation. unreadable: the file cannot be decoded. schema: its columns or values are not those of
    the table. rows: of a file, or (file "") of a table. values: a column's values differ from BigQuery's. source:
    BigQuery can no longer tell what the table held.
    """

    kind: FindingKind
    table: str
    file: str
    expected: str
    found: str
