"""What a verification has found, and compared."""

from __future__ import annotations

import enum
from datetime import datetime
from typing import Any

import msgspec

from bqdump.core.results import Result, public, rows_of


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
    - lock: the object of a locked copy is locked for a shorter time than its run, or not any more.
    - hidden: in a locked copy, something was put over the object, or hides it; what is locked was read instead.
    """

    kind: FindingKind
    table: str
    file: str
    expected: str
    found: str


@public
class ReadBack(msgspec.Struct, frozen=True):
    """Files and bytes read back, and the rows in decoded files. parts: the number of parts, of which one was read."""

    files: int
    bytes: int
    rows: int
    parts: int


@public
class SourceCompared(msgspec.Struct, frozen=True):
    """Tables compared with BigQuery, the bytes billed, and tables without time travel, which cannot be compared."""

    tables: int
    bytes_billed: int
    not_compared: tuple[str, ...]


@public
class VerifiedDataset(msgspec.Struct, frozen=True):
    """One dataset of a set: the run that was verified, "" for none, and the number of findings.

    problem: why an export that should be there could not be verified.
    note: why another run was verified than that of the set, or none.
    """

    dataset: str
    run: str
    findings: int
    problem: str = ""
    note: str = ""


@public
class Verified(Result, frozen=True, kw_only=True):
    """The result for one run. Counts are from the manifest. read, source: None unless requested.

    copied: the files are copies, so generations were not compared.
    carried: number of tables carried over from earlier runs; the oldest of them is as of `oldest_snapshot_time`.
    datasets: each dataset of a set; findings then name the table with its dataset.
    replaced_by: the run that has begun to replace these files, and is not published.
    finish: the command that finishes it. Both are "" where there is none.
    """

    run: str
    snapshot_time: datetime
    tables: int
    files: int
    bytes: int
    findings: tuple[Finding, ...]
    read: ReadBack | None = None
    source: SourceCompared | None = None
    copied: bool = False
    carried: int = 0
    oldest_snapshot_time: datetime | None = None
    datasets: tuple[VerifiedDataset, ...] = ()
    replaced_by: str = ""
    finish: str = ""

    def to_dicts(self) -> list[dict[str, Any]]:
        """The findings as dictionaries, for `pandas.DataFrame` or `polars.DataFrame`."""
        return rows_of(self.findings)
