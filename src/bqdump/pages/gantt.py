"""Where the time of a run went: a lane for each task, a bar for each job, and how many jobs were at work at once.

All places are percentages, so the chart fits a phone and a page of paper without being drawn anew.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from markupsafe import Markup

from bqdump.core.documents.layout import share_of
from bqdump.core.documents.manifest import TableEntry
from bqdump.core.documents.manifest_index import Line, attempt_of
from bqdump.core.documents.run import Receipt
from bqdump.core.sizes import counted
from bqdump.pages.elements import NOTHING, duration_text, visible

# What stays readable, and small: the longest jobs, the tasks that did most of the work, a few rows to a task.
BARS = 200
LANES = 25
ROWS = 6
STEPS = 120


class Bar(NamedTuple):
    """One job: when it was asked for, began and ended (ms), and which attempt it was at a unit of whose share."""

    label: str
    task: int
    share: int
    attempt: int
    created: int
    started: int
    ended: int

    @property
    def moved(self) -> bool:
        """Whether another task than the planned one did it."""
        return self.task != self.share

    def remarks(self) -> list[str]:
        """What was out of the ordinary."""
        made = []
        if self.attempt:
            made.append("retried" if self.attempt == 1 else f"retried {self.attempt} times")
        if self.moved:
            made.append(f"taken over from task {self.share}")
        return made


def own_bars(tables: Iterable[TableEntry | Line]) -> list[Bar]:
    """The bars of the tables that the run has exported itself."""
    return [bar(one) for one in tables if not one.carried]


def bar(done: TableEntry | Line | Receipt) -> Bar:
    """The bar of an exported table."""
    attempt = done.attempt if isinstance(done, Line | Receipt) else max(map(attempt_of, done.jobs), default=0)
    share = share_of(done.unit)
    planned = done.task if share is None else share
    # Clocks that are put back, and documents that somebody has edited, let things end before they begin.
    started = max(done.created, done.started)
    return Bar(done.table, done.task, planned, attempt, done.created, started, max(started, done.ended))


def remarks(done: TableEntry | Line) -> str:
    """What was out of the ordinary with a table, in a line."""
    if done.carried:
        return f"carried over from run {done.carried.run}, as of {done.carried.snapshot_time}"
    route = [] if done.route == "extract" else [f"by the {done.route} route"]
    return ", ".join(route + bar(done).remarks())


def span(bars: Iterable[Bar]) -> tuple[int, int]:
    """The first creation and the last end of a job, in milliseconds; zeros without any."""
    begun, ended = 0, 0
    for one in bars:
        begun = min(begun or one.created, one.created)
        ended = max(ended, one.ended)
    return begun, ended


def gantt(bars: Sequence[Bar]) -> Markup:
    """The chart; nothing without jobs."""
    if not bars:
        return NOTHING
    begun, ended = span(bars)
    length = max(1, ended - begun)
    shown = heapq.nlargest(BARS, bars, key=lambda one: one.ended - one.created)
    busy: dict[int, int] = {}
    for one in bars:
        busy[one.task] = busy.get(one.task, 0) + 1
    longest: dict[int, int] = {}
    for one in shown:
        longest[one.task] = max(longest.get(one.task, 0), one.ended - one.created)
    tasks = sorted(heapq.nlargest(LANES, longest, key=lambda task: longest[task]))
    lanes = [_lane(task, busy[task], [one for one in shown if one.task == task], begun, length) for task in tasks]
    return Markup("{}<ul class='gantt'>{}{}</ul>{}{}").format(
        _note(len(shown), len(bars), len(tasks), len(busy)), _flight(bars, begun, length), NOTHING.join(lanes),
        _axis(length), _legend(shown),
    )  # fmt: skip


def _note(shown: int, bars: int, lanes: int, tasks: int) -> Markup:
    parts = []
    if shown < bars:
        parts.append(f"the {shown} longest of {counted(bars, 'job')}")
    if lanes < tasks:
        parts.append(f"the {lanes} tasks with the longest jobs of {counted(tasks, 'task')}")
    if not parts:
        return NOTHING
    return Markup('<p class="soft small">Bars show {}; the first row counts every job.</p>').format(", ".join(parts))


def _lane(task: int, jobs: int, bars: list[Bar], begun: int, length: int) -> Markup:
    """A task's jobs; those that overlap lie below one another while there is room."""
    bars.sort(key=lambda one: one.created)
    free: list[int] = []
    placed: list[tuple[int, Bar]] = []
    for one in bars:
        row = next((row for row, until in enumerate(free) if until <= one.created), None)
        if row is None and len(free) < ROWS:
            row = len(free)
            free.append(0)
        elif row is None:
            row = min(range(ROWS), key=lambda place: free[place])
        free[row] = one.ended
        placed.append((row, one))
    thick, step = (12, 12) if len(free) == 1 else (6, 8)
    height = 8 + step * (len(free) - 1) + thick
    marks = NOTHING.join(_mark(one, 4 + step * row, thick, begun, length) for row, one in placed)
    name = f"Task {task}: {counted(jobs, 'job')}"
    return Markup('<li><span>task {}</span><svg height="{}" role="img" aria-label="{}">{}{}</svg></li>').format(
        task, height, name, _grid(height), marks
    )


def _mark(one: Bar, y: int, thick: int, begun: int, length: int) -> Markup:
    """Waiting pale, working full; the full part says by its colour what was out of the ordinary."""
    tone = "late" if one.attempt else "moved" if one.moved else "work"
    remarks = "".join(f", {remark}" for remark in one.remarks())
    tip = f"{visible(one.label)}: {duration_text(one.ended - one.created)}{remarks}"
    parts = [("wait", one.created, one.started), (tone, one.started, one.ended)]
    drawn = NOTHING.join(
        Markup('<rect class="{}" x="{:.2f}%" y="{}" width="{:.2f}%" height="{}" rx="1.5"/>').format(
            css, 100 * (start - begun) / length, y, max(0.15, 100 * (end - start) / length), thick
        )
        for css, start, end in parts
        if css != "wait" or end > start
    )
    return Markup("<g><title>{}</title>{}</g>").format(tip, drawn)


def _flight(bars: Sequence[Bar], begun: int, length: int) -> Markup:
    """How many jobs were with BigQuery at once, of all of them."""
    change = [0] * (STEPS + 1)
    for one in bars:
        change[(one.created - begun) * STEPS // (length + 1)] += 1
        change[(one.ended - begun) * STEPS // (length + 1) + 1] -= 1
    counts, now = [], 0
    for step in change[:STEPS]:
        now += step
        counts.append(now)
    most = max(1, *counts)
    points = "".join(f"L{step},{28 - 26 * count / most:.1f}H{step + 1}" for step, count in enumerate(counts))
    return Markup(
        '<li><span>jobs at once</span><svg height="36" viewBox="0 0 {} 28" preserveAspectRatio="none" role="img" '
        'aria-label="Jobs at once: {} at most"><title>{} at most</title>'
        '<path class="flight" d="M0,28{}V28Z"/></svg></li>'
    ).format(STEPS, most, counted(most, "job"), points)


def _grid(height: int) -> Markup:
    return NOTHING.join(
        Markup('<line x1="{}%" x2="{}%" y1="0" y2="{}"/>').format(part, part, height) for part in (25, 50, 75)
    )


def _axis(length: int) -> Markup:
    marks = (Markup("<li>{}</li>").format(duration_text(length * part / 4) if part else "0") for part in range(5))
    return Markup('<div class="axis"><span></span><ol aria-label="Time since the first job">{}</ol></div>').format(
        NOTHING.join(marks)
    )


def _legend(shown: Sequence[Bar]) -> Markup:
    """What the colours mean, as far as they occur."""
    entries = [("work", "at work")]
    if any(one.started > one.created for one in shown):
        entries.insert(0, ("wait", "waiting in BigQuery"))
    if any(one.moved and not one.attempt for one in shown):
        entries.append(("moved", "taken over from another task's share"))
    if any(one.attempt for one in shown):
        entries.append(("late", "a second or later attempt"))
    made = (
        Markup('<li><svg aria-hidden="true"><rect class="{}" width="100%" height="100%" rx="2"/></svg>{}</li>').format(
            css, text
        )
        for css, text in entries
    )
    return Markup('<ul class="legend">{}</ul>').format(NOTHING.join(made))
