"""The work of a run or a restore as far as it is known: what is running, done and failed.

A table is one piece of work, or several where tasks share it. Callers name the pieces and pass the time, in seconds.
"""

from __future__ import annotations

from typing import NamedTuple


class Running(NamedTuple):
    """A piece of work in progress. read: bytes that are known to be read."""

    table: str
    bytes: int
    task: int
    since: float
    read: int = 0


class Tables(NamedTuple):
    """Numbers of tables that are done, failed, and running."""

    done: int
    failed: int
    running: int


class Work:
    """The pieces of work that are known. Each event may come more than once.

    done: bytes of each piece. done_bytes: their sum. by_task: the pieces and bytes that each task has done.
    """

    def __init__(self) -> None:
        self.running: dict[str, Running] = {}
        self.done: dict[str, int] = {}
        self.failed: set[str] = set()
        self.done_bytes = 0
        self.by_task: dict[int, tuple[int, int]] = {}
        self._sizes: dict[str, int] = {}
        self._table_of: dict[str, str] = {}

    def start(self, piece: str, table: str, bytes_: int, task: int, at: float) -> None:
        """A task has started on a piece."""
        self._sizes[piece], self._table_of[piece] = bytes_, table
        if piece not in self.done:
            self.failed.discard(piece)
            self.running.setdefault(piece, Running(table, bytes_, task, at))

    def advance(self, piece: str, rows: int, of: int) -> None:
        """So many of its rows are read."""
        if of and (known := self.running.get(piece)):
            self.running[piece] = known._replace(read=known.bytes * min(rows, of) // of)

    def end(self, piece: str, table: str, task: int) -> None:
        """A piece is done."""
        if piece in self.done:
            return
        self.running.pop(piece, None)
        self.failed.discard(piece)
        self._table_of[piece] = table
        size = self.done[piece] = self._sizes.get(piece, 0)
        self.done_bytes += size
        count, bytes_ = self.by_task.get(task, (0, 0))
        self.by_task[task] = (count + 1, bytes_ + size)

    def fail(self, piece: str, table: str) -> None:
        """A piece has failed for good, unless it is done."""
        if piece not in self.done:
            self.running.pop(piece, None)
            self._table_of[piece] = table
            self.failed.add(piece)

    @property
    def bytes(self) -> int:
        """Bytes done, and read of what is running."""
        return self.done_bytes + sum(piece.read for piece in self.running.values())

    @property
    def failed_bytes(self) -> int:
        """Bytes of the pieces that failed."""
        return sum(self._sizes.get(piece, 0) for piece in self.failed)

    def tables(self, shared: dict[str, int]) -> Tables:
        """The same in tables. shared: the number of pieces of each table that has more than one."""
        pieces: dict[str, int] = {}
        for piece in self.done:
            pieces[self._table_of[piece]] = pieces.get(self._table_of[piece], 0) + 1
        failed = {self._table_of[piece] for piece in self.failed}
        done = {table for table, count in pieces.items() if count >= shared.get(table, 1)} - failed
        begun = pieces.keys() | {piece.table for piece in self.running.values()}
        return Tables(len(done), len(failed), len(begun - done - failed))
