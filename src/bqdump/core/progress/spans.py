"""The spans of a trace, from the events of a run or a restore: the command, its tables, and their jobs.

Times are milliseconds since 1970 UTC.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import NamedTuple

from bqdump.core.documents.run import Failure, Receipt
from bqdump.core.progress.events import Event, Started, TableEnded, TableStarted

Value = str | int | float | bool
Attributes = Mapping[str, Value]


class Span(NamedTuple):
    """A span that has ended. job: that it is a BigQuery job, within the span of its table. error: "" for success."""

    name: str
    begin: int
    end: int
    attributes: Attributes
    error: str = ""
    job: Span | None = None


class Spans:
    """Turns events into the spans of tables, which are handed on once they have ended. clock: the current time."""

    def __init__(self, clock: Callable[[], int], done: Callable[[Span], None]) -> None:
        self._clock, self._done = clock, done
        self._begun: dict[str, tuple[int, str, int]] = {}

    def hear(self, event: Event) -> None:
        """Take an event."""
        if isinstance(event, Started):
            self._begun[event.piece] = (self._clock(), event.table, event.bytes)
        elif isinstance(event, Receipt):
            self._end(event.unit, event.table, _facts(event), "", _job(event))
        elif isinstance(event, Failure):
            self._end(event.unit, event.table, {}, f"{event.reason}: {event.message}", None)
        elif isinstance(event, TableStarted):
            self._begun[str(event.number)] = (self._clock(), event.table, event.bytes)
        elif isinstance(event, TableEnded):
            self._end(str(event.number), "", {}, "not restored" if event.failed else "", None)

    def _end(self, piece: str, table: str, facts: Attributes, error: str, job: Span | None) -> None:
        now = self._clock()
        if piece not in self._begun:
            # Another task began it.
            return
        begin, name, size = self._begun.pop(piece)
        attributes = {"bqdump.table": table or name, "bqdump.table.bytes": size, **facts}
        self._done(Span("bqdump.table", begin, now, attributes, error, job))


def trace_id(run: str) -> int:
    """The same for all tasks of a run, so that they are one trace."""
    return int.from_bytes(hashlib.sha256(b"bqdump trace " + run.encode()).digest()[:16]) or 1


def _facts(receipt: Receipt) -> Attributes:
    facts: dict[str, Value] = {"bqdump.files": receipt.files}
    if receipt.rows is not None:
        facts["bqdump.rows"] = receipt.rows
    if receipt.billed is not None:
        facts["bqdump.bytes_billed"] = receipt.billed
    return facts


def _job(receipt: Receipt) -> Span | None:
    """The job of a table: from its creation, as BigQuery reports it. The read route has none."""
    if not receipt.job or not receipt.ended:
        return None
    attributes: dict[str, Value] = {"bqdump.job.id": receipt.job, "bqdump.job.attempt": receipt.attempt}
    if receipt.started:
        attributes["bqdump.job.pending_ms"] = receipt.started - receipt.created
    return Span("bqdump.job", receipt.created, receipt.ended, attributes)
