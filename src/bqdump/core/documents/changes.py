"""The changes from one export to another: tables, sizes, columns, and content as far as checksums show it.

The growth of tables from one export to another: rows and bytes, what grew most first.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Literal

import msgspec

from bqdump.core.documents.fingerprints import (
    OTHER_WAY,
    Content,
    Side,
    bytes_fingerprint,
    fingerprint,
    judge,
    modified,
    seen,
    way,
)
from bqdump.core.documents.manifest import Head, Manifest, TableEntry
from bqdump.core.documents.manifest_index import settings_of
from bqdump.core.documents.validation import CHANGED
from bqdump.core.errors import DocumentError
from bqdump.core.formats.types import Column, columns
from bqdump.core.results import public
from bqdump.core.times import rfc3339

if TYPE_CHECKING:
    from bqdump.core.documents.manifest_index import Contents, Line

Kind = Literal["added", "removed", "changed", "unclear"]
SAME = (
    "Nothing differs: every table has the same rows and columns, and its files are identical, or BigQuery reports no "
    "change."
)
SAME_VALUES = "Nothing differs: every table has the same rows, columns and values."


@public
class TableChange(msgspec.Struct, frozen=True, kw_only=True):
    """What changed in one table. Rows as exported where that is known, else as planned; bytes as planned.

    change: "unclear" where rows and columns are equal, but the files' bytes do not show whether values changed.
    content: "same bytes" where sizes and checksums of all files are equal; "unchanged" where BigQuery's metadata show
        that the table was not modified, or where it has no rows; "same values" and values_changed (columns) with
        `--values` only.
    why: the evidence for `content`, or why the table is missing from one of the exports.
    """

    table: str
    change: Kind
    rows_before: int
    rows_after: int
    bytes_before: int
    bytes_after: int
    columns_added: tuple[str, ...]
    columns_removed: tuple[str, ...]
    columns_changed: tuple[str, ...]
    content: Content = ""
    why: str = ""
    values_changed: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        table: str,
        was: Mapping[str, Column],
        now: Mapping[str, Column],
        before: Side | None,
        after: Side | None,
        why: str = "",
    ) -> TableChange:
        """A change from these columns to those. A table that is added or removed (None) has no changed columns.

        why: the reason, instead of the one that follows from the two sides.
        """
        both = before is not None and after is not None
        content, reason = judge(before, after) if before and after else ("", "")
        changed = tuple(sorted(name for name in was.keys() & now.keys() if was[name] != now[name]))
        added, removed = (
            (_outermost(now.keys() - was.keys()), _outermost(was.keys() - now.keys())) if both else ((), ())
        )
        old, new = before or Side(), after or Side()
        unclear = content == "unclear" and was == now and (old.rows, old.bytes) == (new.rows, new.bytes)
        return cls(
            table=table,
            change="added" if before is None else "removed" if after is None else "unclear" if unclear else "changed",
            rows_before=old.rows,
            rows_after=new.rows,
            bytes_before=old.bytes,
            bytes_after=new.bytes,
            columns_added=added,
            columns_removed=removed,
            columns_changed=changed if both else (),
            content=content,
            why=why or reason,
        )

    @property
    def nothing(self) -> bool:
        """Whether nothing changed: the same rows, columns, and bytes or values."""
        numbers = (self.rows_before, self.bytes_before) == (self.rows_after, self.bytes_after)
        same = self.content in ("same bytes", "same values", "unchanged")
        return numbers and not self.columns() and same and self.change == "changed"

    @property
    def what(self) -> str:
        """The change in a word or two."""
        if self.change == "unclear":
            return "unclear"
        schema = self.columns_added or self.columns_removed or self.columns_changed
        only_content = self.change == "changed" and self.rows_before == self.rows_after and not schema
        return "content changed" if only_content and self.content == "changed" else self.change

    def columns(self) -> str:
        """The columns in one line: +added, -removed, ~changed, =other values."""
        marks = (
            ("+", self.columns_added),
            ("-", self.columns_removed),
            ("~", self.columns_changed),
            ("=", self.values_changed),
        )
        return " ".join(f"{mark}{name}" for mark, names in marks for name in names)


def _outermost(paths: Collection[str]) -> tuple[str, ...]:
    """Sorted, without the members of STRUCTs that are in the list themselves."""
    return tuple(sorted(path for path in paths if path.rpartition(".")[0] not in paths))


def compare(before: Manifest, after: Manifest) -> list[TableChange]:
    """The changes from one export to another, by table, without the tables that have none."""
    return [change for change in compare_all(before, after) if not change.nothing]


def compare_all(before: Manifest, after: Manifest) -> list[TableChange]:
    """One entry for each table of either export, changed or not."""
    old = {table.table: table for table in before.tables}
    new = {table.table: table for table in after.tables}
    return [_change(name, before, after, old.get(name), new.get(name)) for name in sorted(old.keys() | new.keys())]


def _change(
    name: str, before: Manifest, after: Manifest, old: TableEntry | None, new: TableEntry | None
) -> TableChange:
    was, now = (columns_of(table) if table else {} for table in (old, new))
    if old is None or new is None:
        why = why_missing(name, before if old is None else after)
        sides = _side(before, old) if old else None, _side(after, new) if new else None
        return TableChange.of(name, was, now, *sides, why)
    was_made, is_made = _side(before, old), _side(after, new)
    why = _ways(before, after, old, new) if judge(was_made, is_made)[1] == OTHER_WAY else ""
    return TableChange.of(name, was, now, was_made, is_made, why)


def _side(manifest: Manifest, entry: TableEntry) -> Side:
    return Side(
        entry.planned_rows if entry.rows is None else entry.rows,
        entry.planned_bytes,
        bytes_fingerprint(entry),
        fingerprint(way_of(manifest, entry)),
        modified(entry.kind, entry.definition),
        *seen(manifest, entry),
    )


def way_of(manifest: Manifest, entry: TableEntry) -> dict[str, object]:
    """How the files of a table were made; see `fingerprints.way`."""
    return way(
        entry.route,
        entry.format,
        entry.compression,
        entry.shape,
        settings_of(manifest, entry),
        (entry.carried or manifest).tool,
    )


def _ways(before: Manifest, after: Manifest, old: TableEntry, new: TableEntry) -> str:
    """How the settings differ with which the files were made, in words."""
    was, now = way_of(before, old), way_of(after, new)
    differ = [name for name in {**was, **now} if was.get(name) != now.get(name)]
    nested = [name for name in differ if isinstance(was.get(name, now.get(name)), dict)]
    plain = [name for name in differ if name not in nested]
    words = [f"{name.replace('_', ' ')} {was.get(name, 'none')}, then {now.get(name, 'none')}" for name in plain]
    words += [f"other {name}" for name in nested]
    return f"{OTHER_WAY} ({'; '.join(words)}), so their bytes cannot be compared"


def why_missing(name: str, manifest: Head) -> str:
    """Why an export lacks a table, "" where it records no reason."""
    erased = (
        f"it was erased from run {manifest.run} on {rfc3339(note.at)[:10]} by {note.by}: {note.reason}"
        for note in manifest.erased
        if note.table == name
    )
    failed = (f"it failed in run {manifest.run}" for failure in manifest.failed if failure.table == name)
    skipped = (f"run {manifest.run} skipped it: {table.reason}" for table in manifest.skipped if table.table == name)
    return next(iter((*erased, *failed, *skipped)), "")


def columns_of(entry: TableEntry) -> dict[str, Column]:
    """The columns of a table and the members of its STRUCTs, by path (a.b). Raises DocumentError."""
    try:
        return dict(_by_path("", columns(entry.definition)))
    except (msgspec.MsgspecError, RecursionError) as error:
        cause = f"its definition is not one of BigQuery's ({error})"
        raise DocumentError("read", f"the columns of table {entry.table}", cause, CHANGED) from None


def _by_path(above: str, columns: Iterable[Column]) -> Iterator[tuple[str, Column]]:
    for column in columns:
        path = above + column.name
        yield path, msgspec.structs.replace(column, fields=())
        yield from _by_path(f"{path}.", column.fields)


@public
class TableGrowth(msgspec.Struct, frozen=True, kw_only=True):
    """The size of a table in two exports; 0 in the one that lacks it.

    Rows as exported where that is known, else as planned; bytes are BigQuery's.

    new, gone: which of the two lacks it.
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
