"""The timeline of a run: a lane for each task, a bar for each job, and the number of jobs at once.

Horizontal positions are percentages, so the chart fits a phone and a printed page.
"""

from __future__ import annotations

import heapq
import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from bqdump.core.documents.manifest import TableEntry
from bqdump.core.documents.manifest_index import Line, attempt_of
from bqdump.core.documents.run import Receipt
from bqdump.core.documents.run_layout import share_of
from bqdump.core.sizes import counted
from bqdump.core.times import parse_time
from bqdump.pages.text import duration_text, time_text

# Limits that keep the chart readable and small: the longest jobs, the tasks that ran them, the rows of a task.
BARS = 200
LANES = 25
ROWS = 6
STEPS = 120


class Bar(NamedTuple):
    """One job: created, started and ended (ms); the task that ran it, the task whose share it is from, its attempt."""

    label: str
    task: int
    share: int
    attempt: int
    created: int
    started: int
    ended: int

    @property
    def moved(self) -> bool:
        """Whether it was run by another task than planned."""
        return self.task != self.share

    def remarks(self) -> list[str]:
        """Anything unusual about the job."""
        remarks = []
        if self.attempt:
            remarks.append("retried" if self.attempt == 1 else f"retried {self.attempt} times")
        if self.moved:
            remarks.append(f"taken over from task {self.share}")
        return remarks


def own_bars(tables: Iterable[TableEntry | Line]) -> list[Bar]:
    """The bars of the tables that the run exported itself."""
    return [bar(table) for table in tables if not table.carried]


def bar(done: TableEntry | Line | Receipt) -> Bar:
    """The bar of an exported table."""
    attempt = done.attempt if isinstance(done, Line | Receipt) else max(map(attempt_of, done.jobs), default=0)
    share = share_of(done.unit)
    planned = done.task if share is None else share
    # A clock set back, or an edited document, can make a job end before it starts.
    started = max(done.created, done.started)
    return Bar(done.table, done.task, planned, attempt, done.created, started, max(started, done.ended))


def remarks(done: TableEntry | Line) -> str:
    """Anything unusual about a table, in a line."""
    if done.carried and done.carried.unchanged_at:
        return f"files of run {done.carried.run}, unchanged until {time_text(done.carried.unchanged_at)}"
    if done.carried:
        return f"carried over from run {done.carried.run}, of {time_text(parse_time(done.carried.snapshot_time))}"
    route = [] if done.route == "extract" else [f"with the {done.route} route"]
    return ", ".join(route + bar(done).remarks())


def span(bars: Iterable[Bar]) -> tuple[int, int]:
    """When the first job was created and the last one ended (ms); zeros without jobs."""
    begun, ended = 0, 0
    for job in bars:
        begun = min(begun or job.created, job.created)
        ended = max(ended, job.ended)
    return begun, ended


class Drawn(NamedTuple):
    """A rectangle: its class, and its place and width in percent."""

    css: str
    x: float
    width: float


class Mark(NamedTuple):
    """One job as drawn: pale while pending, in full colour while running."""

    tip: str
    y: int
    thickness: int
    parts: list[Drawn]


class Lane(NamedTuple):
    """The jobs of one task. jobs: how many there are, of which `marks` may be a part."""

    task: int
    jobs: int
    height: int
    marks: list[Mark]


class Chart(NamedTuple):
    """Everything that the template draws. note: which jobs are shown, "" for all of them."""

    note: str
    most: int
    outline: str
    lanes: list[Lane]
    times: list[str]
    legend: list[tuple[str, str]]


def gantt(bars: Sequence[Bar]) -> Chart | None:
    """The chart; None without jobs."""
    if not bars:
        return None
    begun, ended = span(bars)
    length = max(1, ended - begun)
    shown = heapq.nlargest(BARS, bars, key=lambda job: job.ended - job.created)
    busy = Counter(job.task for job in bars)
    longest: dict[int, int] = {}
    for job in shown:
        longest[job.task] = max(longest.get(job.task, 0), job.ended - job.created)
    tasks = sorted(heapq.nlargest(LANES, longest, key=lambda task: longest[task]))
    most, outline = _at_once(bars, begun, length)
    return Chart(
        note=_note(len(shown), len(bars), len(tasks), len(busy)),
        most=most,
        outline=outline,
        lanes=[_lane(task, busy[task], [job for job in shown if job.task == task], begun, length) for task in tasks],
        times=["0", *_quarters(length)],
        legend=_legend(shown),
    )


def _quarters(length: int) -> list[str]:
    """The times at the quarters of the chart. duration_text would show those of a shorter one alike or unevenly."""
    times = [length * part / 4 for part in range(1, 5)]
    return [duration_text(time) if length >= 1_500 else f"{time:.0f} ms" for time in times]


def _note(shown: int, bars: int, lanes: int, tasks: int) -> str:
    parts = []
    if shown < bars:
        parts.append(f"the {shown} longest of {counted(bars, 'job')}")
    if lanes < tasks:
        parts.append(f"the {counted(lanes, 'task')} with the longest jobs of {counted(tasks, 'task')}")
    return ", ".join(parts)


def _lane(task: int, jobs: int, bars: list[Bar], begun: int, length: int) -> Lane:
    """A task's jobs; overlapping ones are placed below one another while there is room."""
    bars.sort(key=lambda job: job.created)
    free: list[int] = []
    placed: list[tuple[int, Bar]] = []
    for job in bars:
        row = next((row for row, until in enumerate(free) if until <= job.created), None)
        if row is None and len(free) < ROWS:
            row = len(free)
            free.append(0)
        elif row is None:
            row = min(range(ROWS), key=lambda place: free[place])
        free[row] = job.ended
        placed.append((row, job))
    thick, step = (12, 12) if len(free) == 1 else (6, 8)
    height = 8 + step * (len(free) - 1) + thick
    return Lane(task, jobs, height, [_mark(job, 4 + step * row, thick, begun, length) for row, job in placed])


def _mark(job: Bar, y: int, thick: int, begun: int, length: int) -> Mark:
    tone = "late" if job.attempt else "moved" if job.moved else "work"
    tip = ", ".join([f"{job.label}: {duration_text(job.ended - job.created)}", *job.remarks()])
    spans = [("wait", job.created, job.started), (tone, job.started, job.ended)]
    drawn = [
        Drawn(css, 100 * (start - begun) / length, max(0.15, 100 * (end - start) / length))
        for css, start, end in spans
        if css != "wait" or end > start
    ]
    return Mark(tip, y, thick, drawn)


def _at_once(bars: Sequence[Bar], begun: int, length: int) -> tuple[int, str]:
    """The most jobs that BigQuery had at once, and their number over time as the outline of an SVG path."""
    change = [0] * (STEPS + 1)
    for job in bars:
        change[(job.created - begun) * STEPS // (length + 1)] += 1
        change[(job.ended - begun) * STEPS // (length + 1) + 1] -= 1
    counts = list(itertools.accumulate(change[:STEPS]))
    most = max(1, *counts)
    return most, "".join(f"L{step},{28 - 26 * count / most:.1f}H{step + 1}" for step, count in enumerate(counts))


def _legend(shown: Sequence[Bar]) -> list[tuple[str, str]]:
    """The colours that occur, and their meaning."""
    entries = [("work", "running")]
    if any(job.started > job.created for job in shown):
        entries.insert(0, ("wait", "pending in BigQuery"))
    if any(job.moved and not job.attempt for job in shown):
        entries.append(("moved", "taken over from another task"))
    if any(job.attempt for job in shown):
        entries.append(("late", "retried"))
    return entries
