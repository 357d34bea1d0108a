"""The columns of a plan whose values the chosen formats do not bring back as they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from bqdump.core.documents.manifest import TableEntry
from bqdump.core.documents.run import Flag, TablePlan
from bqdump.core.formats.formats import altered, altered_as_texts
from bqdump.core.formats.types import columns
from bqdump.core.results import public
from bqdump.core.risks import Risk
from bqdump.core.sizes import counted, listed, named
from bqdump.core.tables.columns import as_they_are

NAMED = 5


@public
class AlteredColumn(msgspec.Struct, frozen=True):
    """A column that may hold values which a restore brings back as other ones.

    column: its name, or the path of a member, such as `shift.note`.
    change: which values change, and how.
    """

    table: str
    column: str
    type: str
    format: str
    change: str


def altered_columns(tables: Iterable[TablePlan | TableEntry], settings: Mapping[str, Any]) -> Iterator[AlteredColumn]:
    """The columns of these tables, as they are exported. settings: those of the plan."""
    for table in tables:
        format_, every = table.format or str(settings["format"]), columns(table.definition)
        texts = (column for column in every if column.name in table.shape.texts)
        altered_paths = [*altered(format_, table.route, as_they_are(every, table.shape)), *altered_as_texts(texts)]
        yield from (AlteredColumn(table.table, path, type_, format_, change) for path, type_, change in altered_paths)


def altered_words(entry: TableEntry, settings: Mapping[str, Any]) -> str:
    """The same of a table of an export, for its restore; "" for none. settings: those that it was exported with."""
    words = []
    for change in by_table(altered_columns([entry], settings)):
        more = [counted(len(change.columns) - NAMED, "more column")] if len(change.columns) > NAMED else []
        names = [name.partition(" ")[0] for name in change.columns[:NAMED]]
        words.append(f"{change.change} in {listed([*names, *more], 'and')}")
    return "; ".join(words)


class AlteredTable(NamedTuple):
    """The columns of a table that change alike, such as "note STRING"."""

    table: str
    format: str
    change: str
    columns: tuple[str, ...]


def by_table(columns_changed: Iterable[AlteredColumn]) -> list[AlteredTable]:
    """The same by table and change, with the names of all columns."""
    names: dict[tuple[str, str, str], list[str]] = {}
    for change in columns_changed:
        names.setdefault((change.table, change.format, change.change), []).append(f"{change.column} {change.type}")
    return [AlteredTable(*key, tuple(columns)) for key, columns in names.items()]


def folded(changes: Iterable[AlteredColumn]) -> list[AlteredTable]:
    """The same for a person: more than a few tables whose columns are called alike are one, such as "a to z (26)"."""
    alike: dict[tuple[str, str, tuple[str, ...]], list[AlteredTable]] = {}
    for change in by_table(changes):
        alike.setdefault((change.format, change.change, change.columns), []).append(change)
    tables_shown: list[AlteredTable] = []
    for tables in alike.values():
        if len(tables) <= NAMED:
            tables_shown += tables
        else:
            names = f"{tables[0].table} to {tables[-1].table} ({len(tables):,})"
            tables_shown.append(tables[0]._replace(table=names))
    return tables_shown


def altered_flags(changes: Sequence[AlteredColumn]) -> Iterator[Flag]:
    """The risk that the setting `strict` refuses: one for all of them, as most tables in CSV have such columns."""
    if not changes:
        return
    tables = len({change.table for change in changes})
    columns = named([f"{change.table}.{change.column}" for change in changes], NAMED, "column")
    how = "; ".join(dict.fromkeys(f"{change.format}: {change.change}" for change in changes))
    yield Flag(Risk.ALTERED_VALUES, "", (), f"{how}, in {columns} of {counted(tables, 'table')}", allowed=False)
