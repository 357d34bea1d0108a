"""What changed from one export to another: tables, their sizes, their columns."""

from __future__ import annotations

from typing import Literal

import msgspec

from bqdump.core.documents import Manifest, TableEntry


class Column(msgspec.Struct, frozen=True):
    """A column as a definition has it."""

    name: str
    type: str
    mode: str = "NULLABLE"


class TableChange(msgspec.Struct, frozen=True):
    """What changed in one table. Numbers are as planned: rows and bytes by BigQuery's metadata."""

    table: str
    change: Literal["added", "removed", "changed"]
    rows_before: int
    rows_after: int
    bytes_before: int
    bytes_after: int
    columns_added: tuple[str, ...]
    columns_removed: tuple[str, ...]
    columns_changed: tuple[str, ...]

    def columns(self) -> str:
        """The columns in one line: +added, -removed, ~changed."""
        marks = (("+", self.columns_added), ("-", self.columns_removed), ("~", self.columns_changed))
        return " ".join(f"{mark}{name}" for mark, names in marks for name in names)


class _Schema(msgspec.Struct):
    fields: list[Column] = []


class _Definition(msgspec.Struct):
    schema: _Schema = msgspec.field(default_factory=_Schema)


def compare(before: Manifest, after: Manifest) -> list[TableChange]:
    """What changed from one export to another, by table; tables whose numbers and columns are equal are left out."""
    old = {table.table: table for table in before.tables}
    new = {table.table: table for table in after.tables}
    changes = (_change(name, old.get(name), new.get(name)) for name in sorted(old.keys() | new.keys()))
    return [change for change in changes if change]


def _change(name: str, old: TableEntry | None, new: TableEntry | None) -> TableChange | None:
    was, now = _columns(old), _columns(new)
    change: Literal["added", "removed", "changed"] = "added" if old is None else "removed" if new is None else "changed"
    made = TableChange(
        table=name,
        change=change,
        rows_before=old.planned_rows if old else 0,
        rows_after=new.planned_rows if new else 0,
        bytes_before=old.planned_bytes if old else 0,
        bytes_after=new.planned_bytes if new else 0,
        columns_added=tuple(sorted(now.keys() - was.keys())) if old else (),
        columns_removed=tuple(sorted(was.keys() - now.keys())) if new else (),
        columns_changed=tuple(sorted(column for column in was.keys() & now.keys() if was[column] != now[column])),
    )
    same = (made.rows_before, made.bytes_before) == (made.rows_after, made.bytes_after) and was == now
    return None if same and change == "changed" else made


def _columns(table: TableEntry | None) -> dict[str, Column]:
    definition = msgspec.json.decode(table.definition, type=_Definition | None) if table else None
    return {column.name: column for column in definition.schema.fields} if definition else {}
