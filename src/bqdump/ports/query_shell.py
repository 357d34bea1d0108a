"""The query shell: SQL over the tables of an export, whose files are read when a statement names their table."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import msgspec

from bqdump.core.formats.types import Column
from bqdump.ports.data_reader import DataFile


class Answer(msgspec.Struct, frozen=True):
    """The result of a statement: the names of its columns, and its rows. No columns where it has no result."""

    columns: tuple[str, ...]
    rows: list[list[Any]]


class Source(NamedTuple):
    """A file of a table: where it is on this machine, or its content."""

    file: DataFile
    content: Path | AsyncIterator[bytes]


class QueryShell(Protocol):
    """A database whose tables are those of an export."""

    def define(self, table: str, columns: Sequence[Column]) -> None:
        """Make the table known, with its columns."""
        ...

    def needed(self, statement: str) -> list[str]:
        """The tables that the statement names and whose files are still to be attached."""
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
