"""The days of the last weeks, a square each: which of them have a complete run. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import date, timedelta
from typing import NamedTuple

from bqdump.core.sizes import counted
from bqdump.observe.history import RunLine

WEEKS = 13
# The best state of a day's runs decides: a failed run that was repeated is no day without a backup.
TONES = (("complete", "work"), ("partial", "late"), ("failed", "fell"))
OTHER, NO_RUN = "wait", "none"


class Day(NamedTuple):
    """A day as drawn: its row is the day of the week, from Monday, and its column the week."""

    tip: str
    tone: str
    column: int
    row: int


class Calendar(NamedTuple):
    """The days up to today, and what they show in words."""

    sentence: str
    days: list[Day]


def calendar(lines: Sequence[RunLine], today: date) -> Calendar:
    """The days since the earliest of these runs, or since 13 weeks ago; those of UTC, by snapshot time."""
    states = defaultdict[date, Counter[str]](Counter)
    for line in lines:
        if line.snapshot_time:
            states[line.snapshot_time.date()][line.state] += 1
    last_monday = today - timedelta(today.weekday())
    begin = max(min(states, default=today), last_monday - timedelta(weeks=WEEKS - 1))
    monday = begin - timedelta(begin.weekday())
    found = [begin + timedelta(number) for number in range((today - begin).days + 1)]
    drawn = [_day(day, states[day], (day - monday).days) for day in found]
    complete = sum(day.tone == "work" for day in drawn)
    return Calendar(f"complete on {complete:,} of {counted(len(drawn), 'day')}", drawn)


def _day(day: date, states: Counter[str], number: int) -> Day:
    tone = next((css for state, css in TONES if states[state]), OTHER if states.total() else NO_RUN)
    runs = ", ".join(f"{count:,} {state}" for state, count in states.items() if count) or "no run"
    return Day(f"{day}: {runs}", tone, *divmod(number, 7))
