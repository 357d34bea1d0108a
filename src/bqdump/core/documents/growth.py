"""The growth of tables from one export to another: rows and bytes, what grew most first."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from bqdump.core.results import public

if TYPE_CHECKING:
    from bqdump.core.documents.manifest_index import Contents, Line


@public
class TableGrowth(msgspec.Struct, frozen=True, kw_only=True):
    """The size of a table in two exports; 0 in the one that lacks it.

    Rows as exported where that is known, else as planned; bytes are BigQuery's. new, gone: which of the two lacks it.
    """

    table: str
    rows_before: int
    rows_after: int
    bytes_before: int
    bytes_after: int
    new: bool = False
    gone: bool = False

    @property
    def rows(self) -> int:
        """The rows that were added, negative where rows were deleted."""
        return self.rows_after - self.rows_before

    @property
    def bytes(self) -> int:
        """The bytes that were added, negative where the table shrank."""
        return self.bytes_after - self.bytes_before


def grown(before: Contents | None, after: Contents | None, prefix: str = "") -> list[TableGrowth]:
    """The growth of each table of either export. prefix: what comes before the tables' names."""
    was, now = ({line.table: line for line in contents.tables} if contents else {} for contents in (before, after))
    return [_growth(prefix + name, was.get(name), now.get(name)) for name in {**was, **now}]


def most_first(tables: Iterable[TableGrowth]) -> tuple[TableGrowth, ...]:
    """The tables whose size differs: by bytes, then by rows, what grew most first."""
    differ = [table for table in tables if table.rows or table.bytes or table.new or table.gone]
    return tuple(sorted(differ, key=lambda line: (-line.bytes, -line.rows, line.table)))


def _growth(name: str, was: Line | None, now: Line | None) -> TableGrowth:
    return TableGrowth(
        table=name,
        rows_before=was.rows if was else 0,
        rows_after=now.rows if now else 0,
        bytes_before=was.bytes if was else 0,
        bytes_after=now.bytes if now else 0,
        new=was is None,
        gone=now is None,
    )
