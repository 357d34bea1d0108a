"""What BigQuery's metadata prove about a table's content: files of unmodified tables need not have the same bytes.

Avro and gzip put something random or the time into each file, and the order of rows is not fixed. A table is as it was
if equal readings of its metadata enclose both snapshot times. See `plan.looks` for what a reading is.
"""

from __future__ import annotations

from typing import NamedTuple

from msgspec.structs import replace

from bqdump.core.documents.fingerprints import fingerprint
from bqdump.core.documents.manifest import Head, TableEntry
from bqdump.core.documents.unchanged import Look
from bqdump.core.risks import HIDING
from bqdump.core.tables.repeatable import varying


class Seen(NamedTuple):
    """look: a fingerprint of the reading after the table's snapshot time `at` (ms), "" if it proves nothing.

    steady: the table was the same at that time. empty: its files have no rows for certain.
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


def _covers(head: Head, entry: TableEntry, rows: int | None, look: Look) -> bool:
    """Whether the files have exactly what the table had, so that a reading of the table applies to them."""
    hidden = any(flag.table in ("", entry.table) and flag.risk in HIDING for flag in head.flags)
    if hidden or entry.read_at != "snapshot" or varying(entry.shape):
        return False
    return bool(entry.shape.where) or rows in (None, look.rows)


def _steady(entry: TableEntry, rows: int | None, look: Look, at: int) -> bool:
    """Whether the table did not change between its snapshot time and the reading."""
    if entry.carried and entry.carried.unchanged_at:
        return True
    if entry.look_before and entry.look_before.same(look):
        return True
    # Without an earlier reading: a change has a later time, and a deletion alone fewer rows.
    return rows == look.rows and 0 < look.modified < at
