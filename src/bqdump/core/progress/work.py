"""The work of a run or a restore as far as it is known: what is running, done and failed.

A table is one piece of work, or several where tasks share it. Callers name the pieces and pass the time, in seconds.

The spans of a trace, from the events of a run or a restore: the command, its tables, and their jobs.

Times are milliseconds since 1970 UTC.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping

from msgspec import Struct
from msgspec.structs import replace

from bqdump.core.documents.notes import Restored, RestoreFailure
from bqdump.core.documents.run import Failure, Receipt
from bqdump.core.progress.events import Event, JobEnded, Started, TableStarted


class Running(Struct, frozen=True):
    """A piece of work in progress. read: bytes that are known to be read."""

    table: str
    bytes: int
    task: int
    since: float
    read: int = 0


class Tables(Struct, frozen=True):
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
            self.running[piece] = replace(known, read=known.bytes * min(rows, of) // of)

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


Value = str | int | float | bool
Attributes = Mapping[str, Value]


class Span(Struct, frozen=True):
    """A span that has ended.

    jobs: the BigQuery jobs of a table, within its span.
    error: "" for success.
    """

    name: str
    begin: int
    end: int
    attributes: Attributes
    error: str = ""
    jobs: tuple[Span, ...] = ()


class _Begun(Struct, frozen=True):
    """A table that a task is at work on. jobs: that have ended."""

    at: int
    bytes: int
    jobs: list[Span]


class Spans:
    """Turns events into the spans of tables, which are handed on once they have ended. clock: the current time."""

    def __init__(self, clock: Callable[[], int], done: Callable[[Span], None]) -> None:
        self._clock, self._done = clock, done
        # By the unit of an export, or the number of a table that is restored.
        self._begun: dict[str | int, _Begun] = {}

    def hear(self, event: Event) -> None:
        """Take an event."""
        match event:
            case Started():
                self._begun[event.piece] = _Begun(self._clock(), event.bytes, [])
            case TableStarted():
                self._begun[event.number] = _Begun(self._clock(), event.bytes, [])
            case JobEnded() if event.number in self._begun:
                self._begun[event.number].jobs.append(_job(event))
            case Receipt():
                self._end(event.unit, event.table, _facts(event.rows, event.billed, event.files), jobs=_jobs(event))
            case Restored():
                self._end(event.number, event.name, _facts(event.rows, event.billed))
            case Failure():
                self._end(event.unit, event.table, {}, f"{event.reason}: {event.message}")
            case RestoreFailure():
                self._end(event.number, event.name, {}, f"{event.reason}: {event.message}")

    def _end(
        self, piece: str | int, table: str, facts: Attributes, error: str = "", jobs: tuple[Span, ...] = ()
    ) -> None:
        if piece not in self._begun:
            # Another task began it.
            return
        begun = self._begun.pop(piece)
        attributes = {"bqdump.table": table, "bqdump.table.bytes": begun.bytes, **facts}
        self._done(Span("bqdump.table", begun.at, self._clock(), attributes, error, (*begun.jobs, *jobs)))


def trace_id(run: str) -> int:
    """The same for all tasks of a run, so that they are one trace."""
    return int.from_bytes(hashlib.sha256(b"bqdump trace " + run.encode()).digest()[:16]) or 1


def _facts(rows: int | None, billed: int | None, files: int | None = None) -> Attributes:
    facts = {"bqdump.files": files, "bqdump.rows": rows, "bqdump.bytes_billed": billed}
    return {name: fact for name, fact in facts.items() if fact is not None}


def _jobs(receipt: Receipt) -> tuple[Span, ...]:
    """The job of a table that is exported. The read route has none."""
    if not receipt.job or not receipt.ended:
        return ()
    return (_job(JobEnded(0, receipt.job, receipt.attempt, receipt.created, receipt.started, receipt.ended)),)


def _job(job: JobEnded) -> Span:
    """A job from its creation, as BigQuery reports it."""
    attributes: dict[str, Value] = {"bqdump.job.id": job.id, "bqdump.job.attempt": job.attempt}
    if job.started:
        attributes["bqdump.job.pending_ms"] = job.started - job.created
    return Span("bqdump.job", job.created, job.ended, attributes, job.error)
