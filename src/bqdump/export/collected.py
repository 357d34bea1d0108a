"""What a run has written: the files of its tables, found by listing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from bqdump.core.documents.path_template import shard_name
from bqdump.core.documents.run import Receipt, TablePlan
from bqdump.core.documents.target import Latest
from bqdump.ports.store import ObjectInfo


class Attempt(NamedTuple):
    """An attempt whose files count: the plan of what it exported, its receipt, and its files."""

    plan: TablePlan
    receipt: Receipt
    files: list[ObjectInfo]


class Collected:
    """What a run has written.

    written: the files of each table in order, by its id in the plan. final: their published names, in the same order.
    attempts: the receipts of each table's files, in that order, too. surplus: files that failed attempts have left at
    names of the same patterns, or of failed tables. others: whether there are objects at other names. rows: the rows
    that each file reports, by its name; None where it does not. digests: the SHA-256 of files that a task has written,
    by their names.
    """

    def __init__(self) -> None:
        self.written: dict[str, list[ObjectInfo]] = {}
        self.final: dict[str, list[str]] = {}
        self.attempts: dict[str, list[Attempt]] = {}
        self.surplus: list[ObjectInfo] = []
        self.others = False
        self.rows: dict[str, int | None] = {}
        self.digests: dict[str, str] = {}

    def add(
        self,
        table: TablePlan,
        attempts: Sequence[tuple[TablePlan, Receipt]],
        files_of: Callable[[TablePlan, Receipt], Iterator[ObjectInfo]],
    ) -> None:
        """Add the files of a table, attempt by attempt. Each of its patterns has numbers from 0 on."""
        self.written[table.id], self.final[table.id], self.attempts[table.id] = [], [], []
        numbers: dict[str, int] = {}
        for piece, receipt in attempts:
            files = list(files_of(piece, receipt))
            first = numbers.get(piece.pattern, 0)
            numbers[piece.pattern] = first + len(files)
            self.written[table.id] += files
            self.final[table.id] += [shard_name(piece.pattern, first + at) for at in range(len(files))]
            self.attempts[table.id].append(Attempt(piece, receipt, files))

    def rows_of_attempt(self, attempt: Attempt) -> int | None:
        """The rows of the files of one attempt, None if one of them does not record them."""
        return self._rows(attempt.files)

    def rows_of(self, table: str) -> int | None:
        """The rows of all files of a table, None if one of them does not record them."""
        return self._rows(self.written[table])

    def _rows(self, files: Iterable[ObjectInfo]) -> int | None:
        total = 0
        for info in files:
            if (rows := self.rows[info.name]) is None:
                return None
            total += rows
        return total


class Exported(NamedTuple):
    """A run whose files are written, and not yet published.

    plans: of all tables.
    failed: the tables that it goes without.
    latest: the published run, None for none.
    dropped: further tables that it goes without, because they were dropped while it was at work.
    """

    plans: Sequence[TablePlan]
    collected: Collected
    failed: frozenset[str]
    latest: Latest | None
    dropped: frozenset[str] = frozenset()

    @property
    def tables(self) -> list[str]:
        """The tables of the plan, except those that were dropped."""
        return [plan.table for plan in self.plans if plan.table not in self.dropped]
