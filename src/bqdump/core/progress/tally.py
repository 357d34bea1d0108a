"""The progress of a run: from events to numbers, the time left, and the slowest tables.

Callers pass the time, in seconds of any monotonic clock.
"""

from __future__ import annotations

import heapq
from typing import Literal

from msgspec import Struct

from bqdump.core.dealing import JOB_WEIGHT
from bqdump.core.documents.notes import Restored, RestoreFailure
from bqdump.core.documents.run import Failure, Plan, Receipt
from bqdump.core.progress.events import (
    Advanced,
    Checked,
    Checking,
    Entered,
    Event,
    Looked,
    RestoreEvent,
    Restoring,
    Stage,
    Started,
    TableStarted,
    TaskState,
)
from bqdump.core.progress.work import Work
from bqdump.core.sizes import counted, size_text
from bqdump.core.units.tables import units_by_table

SLOWEST = 3
# The cost of opening a file in addition to its bytes, as bytes.
FILE_WEIGHT = 1 << 20


class Slow(Struct, frozen=True):
    """A table, or a piece of one, that is running.

    seconds: since it started.
    read: bytes that are known to be read.
    """

    table: str
    bytes: int
    task: int
    seconds: float
    read: int = 0


class TaskView(Struct, frozen=True):
    """One task: what it has done and is running, the bytes done, and the state of its process ("" where unknown)."""

    task: int
    done: int
    running: int
    bytes: int
    attempt: int
    state: str


class View(Struct, frozen=True):
    """A run at one time. Counts are tables, or files of a verification (`things`); bytes are BigQuery's.

    fraction: of the work, by weight.
    rate: bytes per second.
    seconds_left: None while it cannot be estimated.
    """

    run: str
    stage: Stage
    tables: int
    done: int
    running: int
    failed: int
    bytes: int
    bytes_done: int
    fraction: float
    seconds: float
    rate: float
    seconds_left: float | None
    slowest: tuple[Slow, ...]
    tasks: tuple[TaskView, ...]
    things: Literal["table", "file"] = "table"

    @property
    def waiting(self) -> int:
        """Tables that no task has started yet."""
        return max(0, self.tables - self.done - self.running - self.failed)

    def numbers(self) -> dict[str, object]:
        """The numbers of the run, for a log line."""
        left = None if self.seconds_left is None else round(self.seconds_left, 1)
        return {
            "stage": self.stage,
            "tables": self.tables,
            "done": self.done,
            "running": self.running,
            "waiting": self.waiting,
            "failed": self.failed,
            "bytes": self.bytes,
            "bytes_done": self.bytes_done,
            "seconds": round(self.seconds, 1),
            "bytes_per_second": round(self.rate),
            "seconds_left": left,
        }

    def sentence(self) -> str:
        """The same in one readable line."""
        if not self.tables:
            return self.stage
        parts = [f"{self.stage}: {self.done:,} of {counted(self.tables, self.things)} done"]
        parts += [f"{count:,} {what}" for count, what in ((self.running, "running"), (self.failed, "failed")) if count]
        parts.append(f"{size_text(self.bytes_done)} of {size_text(self.bytes)}")
        if self.rate:
            parts.append(f"{size_text(self.rate)}/s")
        if self.seconds_left is not None and self.done < self.tables:
            parts.append(f"about {clock_text(self.seconds_left)} left")
        return ", ".join(parts)


def clock_text(seconds: float) -> str:
    """A duration as 0:07 or 1:02:03."""
    minutes, second = divmod(max(0, round(seconds)), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


class _Whole(Struct, frozen=True):
    tables: int
    pieces: int
    bytes: int


class Progress:
    """Progress from events, which come in their order and possibly more than once."""

    def __init__(self, stage: Stage = "planning") -> None:
        self._plan: Plan | None = None
        self._restore: Restoring | None = None
        self._stage = stage
        self._began: float | None = None
        self._looked = False
        self._check: Checking | None = None
        self._checked = Checked(0, 0)
        self._work = Work()
        # What was done before the first event does not count for the rate.
        self._before = (0, 0)
        self._tasks: dict[int, TaskState] = {}

    def take(self, event: Event, at: float) -> None:
        """Add an event that happened at this time."""
        match event:
            case Plan():
                self._plan = event
                self._stage = "exporting"
                self._began = at if self._began is None else self._began
            case Started():
                self._work.start(event.piece, event.table, event.bytes, event.task, at)
            case Advanced():
                self._work.advance(event.piece, event.rows, event.of)
            case Receipt():
                self._work.end(event.unit, event.table, event.task)
            case Failure():
                self._work.fail(event.unit, event.table)
            case Looked():
                self._look(event, at)
            case Checking():
                self._check, self._checked, self._began, self._stage = event, Checked(0, 0), at, event.stage
            case Checked():
                self._checked = Checked(self._checked.files + event.files, self._checked.bytes + event.bytes)
            case Restoring() | TableStarted() | Restored() | RestoreFailure():
                self._take_restore(event, at)
            case Entered():
                self._stage = event.stage
            case TaskState():
                self._tasks[event.task] = event

    def _take_restore(self, event: RestoreEvent, at: float) -> None:
        match event:
            case Restoring():
                self._restore, self._check, self._stage, self._began = event, None, "restoring", at
            case TableStarted():
                self._work.start(str(event.number), event.table, event.bytes, event.task, at)
            case Restored():
                self._work.end(str(event.number), event.name, event.task)
            case RestoreFailure():
                self._work.fail(str(event.number), event.name)

    def view(self, at: float) -> View:
        """The progress at this time."""
        if self._check:
            return self._check_view(self._check, at)
        seconds = 0.0 if self._began is None else max(0.0, at - self._began)
        work, bytes_done = self._work, self._work.bytes
        done, done_bytes = len(work.done) - self._before[0], bytes_done - self._before[1]
        weight = done_bytes + done * JOB_WEIGHT
        whole = self._whole()
        weight_of_all, left = self._weights(whole, bytes_done)
        tables = work.tables(units_by_table(self._plan) if self._plan else {})
        longest = heapq.nsmallest(SLOWEST, work.running.values(), key=lambda piece: piece.since)
        return View(
            run=self._plan.run if self._plan else "",
            stage=self._stage,
            tables=whole.tables,
            done=tables.done,
            running=tables.running,
            failed=tables.failed,
            bytes=whole.bytes,
            bytes_done=bytes_done,
            fraction=1 - left / weight_of_all if weight_of_all else 0.0,
            seconds=seconds,
            rate=done_bytes / seconds if seconds > 0 else 0.0,
            seconds_left=left * seconds / weight if weight > 0 and seconds > 0 else None,
            slowest=tuple(Slow(unit.table, unit.bytes, unit.task, at - unit.since, unit.read) for unit in longest),
            tasks=self._task_views(),
        )

    def _check_view(self, check: Checking, at: float) -> View:
        seconds, done, done_bytes = max(0.0, at - (self._began or 0.0)), self._checked.files, self._checked.bytes
        whole = check.bytes + check.files * FILE_WEIGHT
        part = done_bytes + done * FILE_WEIGHT
        return View(
            run="",
            stage=check.stage,
            tables=check.files,
            done=done,
            running=0,
            failed=0,
            bytes=check.bytes,
            bytes_done=done_bytes,
            fraction=part / whole if whole else 0.0,
            seconds=seconds,
            rate=done_bytes / seconds if seconds > 0 else 0.0,
            seconds_left=(whole - part) * seconds / part if part and seconds > 0 else None,
            slowest=(),
            tasks=(),
            things="file",
        )

    def _whole(self) -> _Whole:
        """Everything that the run or restore does."""
        if self._restore:
            return _Whole(self._restore.tables, self._restore.tables, self._restore.bytes)
        return _Whole(self._plan.tables, self._plan.unit_count, self._plan.bytes) if self._plan else _Whole(0, 0, 0)

    def _weights(self, whole: _Whole, bytes_done: int) -> tuple[int, int]:
        """The weight of all work and of the work left. A piece weighs its bytes plus a constant per job."""
        pieces = max(0, whole.pieces - len(self._work.done) - len(self._work.failed))
        left = max(0, whole.bytes - bytes_done - self._work.failed_bytes) + pieces * JOB_WEIGHT
        return whole.bytes + whole.pieces * JOB_WEIGHT, left if pieces else 0

    def _look(self, seen: Looked, at: float) -> None:
        first = not self._looked and not self._work.done
        self._looked = True
        for started in seen.started.values():
            self._work.start(started.piece, started.table, started.bytes, started.task, at)
        for receipt in seen.receipts.values():
            self._work.end(receipt.unit, receipt.table, receipt.task)
        for piece in seen.failures.keys() - seen.receipts.keys():
            self._work.fail(piece, seen.failures[piece].table)
        if first:
            self._before = (len(self._work.done), self._work.done_bytes)

    def _task_views(self) -> tuple[TaskView, ...]:
        running: dict[int, int] = {}
        for piece in self._work.running.values():
            running[piece.task] = running.get(piece.task, 0) + 1
        views = []
        for task in sorted(self._tasks.keys() | self._work.by_task.keys() | running.keys()):
            done, bytes_ = self._work.by_task.get(task, (0, 0))
            attempt, state = (known.attempt, known.state) if (known := self._tasks.get(task)) else (0, "")
            views.append(TaskView(task, done, running.get(task, 0), bytes_, attempt, state))
        return tuple(views)
