"""The query shell: SQL over the tables of an export, whose files are read when a statement names their table."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import msgspec

from bqdump.core.formats.types import Column
from bqdump.core.results import html_table, public
from bqdump.ports.data_reader import DataFile


@public
class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a statement: the names of its columns, and its rows. No columns where it has no result.

    Values are Python's own types: instants are datetimes in UTC, but strings within a STRUCT or an ARRAY.
    """

    columns: tuple[str, ...]
    rows: list[list[Any]]

    def to_dicts(self) -> list[dict[str, Any]]:
        """The rows as dictionaries, for `pandas.DataFrame` or `polars.DataFrame`.

        Of columns with the same name, the last one remains.
        """
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]

    def _repr_html_(self) -> str:
        # Its columns were asked for.
        return html_table(self.to_dicts(), most=max(1, len(self.columns)))


class Source(NamedTuple):
    """A file of a table: where it is on this machine, or its content."""

    file: DataFile
    content: Path | AsyncIterator[bytes]


class QueryShell(Protocol):
    """A database whose tables are those of an export."""

    def define(self, table: str, columns: Sequence[Column]) -> None:
        """Make the table known, with its columns. Raises DocumentError for columns that no table can have."""
        ...

    def needed(self, statement: str) -> list[str]:
        """The tables that the statement names and whose files are still to be attached.

        Raises UsageError for a statement that is not valid UTF-8.
        """
        ...

    async def attach(self, table: str, sources: Sequence[Source]) -> None:
        """Make a table's files its rows.

        Raises DamagedError where content does not match its checksum, DocumentError where a file cannot be decoded.
        """
        ...

    def run(self, statement: str) -> Answer:
        """Run a statement; it may block. Raises UsageError where the database refuses it."""
        ...

    def close(self) -> None:
        """Remove all temporary files."""
        ...
