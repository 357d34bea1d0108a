"""The values that a format does not bring back as they are, by column: a restore makes other ones of them.

Types that a format cannot hold at all are in core/formats/unfit.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from bqdump.core.formats.fidelity import CELLS, SERVER, cell
from bqdump.core.formats.types import Column

# A string of JSON (see statements.as_text) writes NULL and a JSON null alike.
JSON_NULL = "a JSON null becomes NULL"


class Altered(NamedTuple):
    """A column, or a member of one such as `shift.note`, and what may become of its values."""

    path: str
    type: str
    change: str


def altered_types(format_: str, route: str) -> frozenset[str]:
    """The types of which a format with a route writes two values alike, so that no comparison can tell them apart."""
    return frozenset(type_ for type_, found in CELLS.get(route, SERVER)[format_].items() if found.altered)


def altered(format_: str, route: str, columns: Iterable[Column]) -> Iterator[Altered]:
    """The columns that may hold values which a restore from this format brings back as other ones."""
    for column in columns:
        yield from _below(format_, route, column, column.name)


def altered_as_texts(columns: Iterable[Column]) -> Iterator[Altered]:
    """The same for columns that are exported as strings."""
    for column in columns:
        for path, member in _members(column, column.name):
            if member.type == "JSON" and not (member.required or member.repeated):
                yield Altered(path, member.text, JSON_NULL)


def _below(format_: str, route: str, column: Column, path: str) -> Iterator[Altered]:
    found = cell(format_, route, column.type)
    # Where there is no NULL, what reads like it can be one value only.
    exact = bool(found.null) and (column.required or column.repeated)
    if found.altered and not exact:
        yield Altered(path, column.text, found.altered)
    for member in column.fields:
        yield from _below(format_, route, member, f"{path}.{member.name}")


def _members(column: Column, path: str) -> Iterator[tuple[str, Column]]:
    for member in column.fields:
        yield f"{path}.{member.name}", member
        yield from _members(member, f"{path}.{member.name}")
