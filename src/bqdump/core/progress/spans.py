"""The spans of a trace, from the events of a run or a restore: the command, its tables, and their jobs.

Times are milliseconds since 1970 UTC.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import NamedTuple

from bqdump.core.documents.notes import RestoreFailure
from bqdump.core.documents.run import Failure, Receipt
from bqdump.core.progress.events import Event, JobEnded, Started, TableStarted
from bqdump.core.restore.documents import Restored

Value = str | int | float | bool
Attributes = Mapping[str, Value]


class Span(NamedTuple):
    """A span that has ended. jobs: the BigQuery jobs of a table, within its span. error: "" for success."""

    name: str
    begin: int
    end: int
    attributes: Attributes
    error: str = ""
    jobs: tuple[Span, ...] = ()


class _Begun(NamedTuple):
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
