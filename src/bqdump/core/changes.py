"""What changed from one export to another: tables, their sizes, their columns."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Literal

import msgspec

from bqdump.core.errors import DocumentError
from bqdump.core.manifest import Manifest, TableEntry
from bqdump.core.sound import CHANGED
from bqdump.core.types import Column, columns

Kind = Literal["added", "removed", "changed"]


class TableChange(msgspec.Struct, frozen=True):
    """What changed in one table. Rows as exported where that is known, else as planned; bytes as planned."""

    table: str
    change: Kind
    rows_before: int
    rows_after: int
    bytes_before: int
    bytes_after: int
    columns_added: tuple[str, ...]
    columns_removed: tuple[str, ...]
    columns_changed: tuple[str, ...]

    @classmethod
    def of(
        cls, table: str, was: Mapping[str, Column], now: Mapping[str, Column], *, change: Kind = "changed",
        rows_before: int = 0, rows_after: int = 0, bytes_before: int = 0, bytes_after: int = 0,
    ) -> TableChange:  # fmt: skip
        """A change from these columns to those; a table that comes or goes has no changed columns."""
        both = change == "changed"
        return cls(
            table=table,
            change=change,
            rows_before=rows_before,
            rows_after=rows_after,
            bytes_before=bytes_before,
            bytes_after=bytes_after,
            columns_added=_outermost(now.keys() - was.keys()) if both else (),
            columns_removed=_outermost(was.keys() - now.keys()) if both else (),
            columns_changed=tuple(sorted(name for name in was.keys() & now.keys() if was[name] != now[name])),
        )

    def columns(self) -> str:
        """The columns in one line: +added, -removed, ~changed."""
        marks = (("+", self.columns_added), ("-", self.columns_removed), ("~", self.columns_changed))
        return " ".join(f"{mark}{name}" for mark, names in marks for name in names)


def _outermost(paths: Collection[str]) -> tuple[str, ...]:
    """In order, without the members of those that are there themselves."""
    return tuple(sorted(path for path in paths if path.rpartition(".")[0] not in paths))


def compare(before: Manifest, after: Manifest) -> list[TableChange]:
    """What changed from one export to another, by table; tables whose numbers and columns are equal are left out."""
    old = {table.table: table for table in before.tables}
    new = {table.table: table for table in after.tables}
    changes = (_change(name, old.get(name), new.get(name)) for name in sorted(old.keys() | new.keys()))
    return [change for change in changes if change]


def _change(name: str, old: TableEntry | None, new: TableEntry | None) -> TableChange | None:
    was, now = (columns_of(table) if table else {} for table in (old, new))
    made = TableChange.of(
        name,
        was,
        now,
        change="added" if old is None else "removed" if new is None else "changed",
        rows_before=_rows(old),
        rows_after=_rows(new),
        bytes_before=old.planned_bytes if old else 0,
        bytes_after=new.planned_bytes if new else 0,
    )
    same = (made.rows_before, made.bytes_before) == (made.rows_after, made.bytes_after) and was == now
    return None if same and made.change == "changed" else made


def _rows(table: TableEntry | None) -> int:
    if table is None:
        return 0
    return table.planned_rows if table.rows is None else table.rows


def columns_of(entry: TableEntry) -> dict[str, Column]:
    """The columns of a table and the members of its STRUCTs, by path (a.b). Raises DocumentError."""
    try:
        return dict(_by_path("", columns(entry.definition)))
    except (msgspec.MsgspecError, RecursionError) as error:
        wrong = f"its definition is none of BigQuery's ({error})"
        raise DocumentError("read", f"the columns of table {entry.table}", wrong, CHANGED) from None


def _by_path(above: str, columns: Iterable[Column]) -> Iterator[tuple[str, Column]]:
    for column in columns:
        path = above + column.name
        yield path, msgspec.structs.replace(column, fields=())
        yield from _by_path(f"{path}.", column.fields)
