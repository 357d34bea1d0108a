"""The data reader: decodes the files of an export to verify them.

The query shell: SQL over the tables of an export, whose files are read when a statement names their table.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import msgspec

from bqdump.core.formats.types import Column
from bqdump.core.results import html_table, public


class DataFile(NamedTuple):
    """A file of an export: how it was written, and its expected columns.

    null_marker: the text that means NULL in CSV, unless it is quoted.
    alike: the types of which the file has two values alike, such as "" and NULL; sums count them as one value.
    """

    name: str
    format: str
    codec: str
    header: bool
    delimiter: str
    columns: tuple[Column, ...]
    null_marker: str = ""
    alike: frozenset[str] = frozenset()


class Digest(NamedTuple):
    """The result of reading a file.

    unreadable: why the file cannot be decoded, else "".
    differences: how its columns differ from the expected ones.
    sums: if requested, the number of values and the sum of their hashes for each column, and the sums over complete
    rows. The sums of several files add up.
    """

    rows: int = 0
    unreadable: str = ""
    differences: tuple[str, ...] = ()
    sums: tuple[int, ...] = ()


class DataReader(Protocol):
    """A library that decodes the files of an export."""

    def check_room(self, size: int) -> None:
        """Raise UsageError if this machine has no room for files of `size` bytes in total."""

    async def digest(
        self, file: DataFile, content: AsyncIterator[bytes], *, checksums: bool, texts: bool = False
    ) -> Digest:
        """Decode every value of a file. An error of its content is raised before anything is decoded.

        checksums: whether to compute `sums`.
        texts: whether they are computed over each value's text in the file, so that they can be compared only between
            files of the same format and type.

        Raises UsageError if this machine has no room for the file while it is decoded.
        """

    def close(self) -> None:
        """Release all resources and remove temporary files."""


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


class QueryShell(Protocol):
    """A database whose tables are those of an export."""

    def define(self, table: str, columns: Sequence[Column]) -> None:
        """Make the table known, with its columns. Raises DocumentError for columns that no table can have."""

    def needed(self, statement: str) -> list[str]:
        """The tables that the statement names and whose files are still to be attached.

        Raises UsageError for a statement that is not valid UTF-8.
        """

    async def store(self, content: AsyncIterator[bytes]) -> Path:
        """Keep a file on this machine. An error of its content leaves nothing."""

    async def attach(self, table: str, files: Sequence[tuple[DataFile, Path]]) -> None:
        """Make files that it keeps the rows of a table. Raises DocumentError where one cannot be decoded."""

    def run(self, statement: str) -> Answer:
        """Run a statement; it may block. Raises UsageError where the database refuses it."""

    def close(self) -> None:
        """Remove all temporary files."""
