"""How often a cron schedule starts something.

Source: https://cloud.google.com/scheduler/docs/configuring/cron-job-schedules
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, timedelta
from itertools import pairwise

FIELDS = (("minute", 0, 59), ("hour", 0, 23), ("day of the month", 1, 31), ("month", 1, 12), ("day of the week", 0, 7))
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
PART = re.compile(r"(\*|\w+)(?:-(\w+))?(?:/([0-9]+))?")
# Every date pattern repeats within 8 years: there may be that many between two leap years.
FIRST, DAYS_LOOKED_AT = date(2096, 1, 1), 366 * 9
DAY_MINUTES = 24 * 60


def longest_pause(schedule: str) -> int:
    """The longest time between two starts, in minutes, without changes of daylight saving time.

    Raises ValueError for an invalid schedule.
    """
    fields = schedule.split()
    if len(fields) != len(FIELDS):
        raise ValueError("expected a cron schedule of five fields")
    parts = [_values(text, *field) for text, field in zip(fields, FIELDS, strict=True)]
    times = sorted(hour * 60 + minute for hour in parts[1] for minute in parts[0])
    days = list(_days(fields, parts))
    if len(days) < len(FIELDS[:2]):
        raise ValueError("the schedule has no such day")
    within = max((later - earlier for earlier, later in pairwise(times)), default=0)
    between = max((later - earlier).days for earlier, later in pairwise(days)) * DAY_MINUTES - (times[-1] - times[0])
    return max(within, between)


def _days(fields: list[str], parts: list[set[int]]) -> Iterator[date]:
    """The days on which it starts. Where both kinds of days are given, either will do."""
    of_month, months, of_week = parts[2], parts[3], {number % 7 for number in parts[4]}
    any_month_day, any_week_day = (fields[at].startswith("*") for at in (2, 4))
    for number in range(DAYS_LOOKED_AT):
        day = FIRST + timedelta(days=number)
        by_month, by_week = day.day in of_month, day.isoweekday() % 7 in of_week
        fits = (by_month and by_week) if any_month_day or any_week_day else (by_month or by_week)
        if day.month in months and fits:
            yield day


def _values(text: str, name: str, least: int, most: int) -> set[int]:
    found = set[int]()
    for part in text.split(","):
        match = PART.fullmatch(part)
        if match is None:
            raise ValueError(f"{part!r} is not a valid {name}")
        first, last, step = match.groups()
        if first == "*":
            start, end = least, most
        else:
            start = _number(first, name)
            end = _number(last, name) if last else most if step else start
        if not (least <= start <= end <= most) or (step and int(step) < 1):
            raise ValueError(f"{part!r} is not a valid {name}")
        found |= set(range(start, end + 1, int(step or 1)))
    return found


def _number(word: str, name: str) -> int:
    names: tuple[str, ...] = {"month": MONTHS, "day of the week": DAYS}.get(name, ())
    if word.lower() in names:
        return names.index(word.lower()) + (name == "month")
    if not word.isdecimal():
        raise ValueError(f"{word!r} is not a valid {name}")
    return int(word)
