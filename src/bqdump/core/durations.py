"""Durations for people, and from them."""

from __future__ import annotations

import re
from datetime import timedelta

SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
EXPECTED = "expected a duration such as 90s, 15m, 2h or 7d"
DAY = 86_400


def parse_duration(value: object) -> int:
    """The seconds of a timedelta, or of a text such as 90s, 15m, 2h or 7d; 0 needs no unit. Raises ValueError.

    Any other number without a unit is refused: 30 may be meant as seconds or as days.
    """
    if isinstance(value, timedelta):
        if value < timedelta() or value.microseconds:
            raise ValueError("expected a timedelta of whole seconds, not negative")
        return value.days * DAY + value.seconds
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError(EXPECTED)
    match = re.fullmatch(r"([0-9]{1,9})\s*([smhd]?)", str(value).strip().lower())
    if match is None:
        raise ValueError(EXPECTED)
    number, unit = int(match[1]), match[2]
    if number and not unit:
        raise ValueError(
            f"it has no unit: write {', '.join(f'{number}{suffix}' for suffix in ('s', 'm', 'h'))} or {number}d"
        )
    return number * SECONDS.get(unit, 0)


def days_text(seconds: int) -> str:
    """A long duration as `parse_duration` reads it: "30d", "36h"."""
    units = ((DAY, "d"), (3600, "h"), (60, "m"), (1, "s"))
    return next(f"{seconds // length}{unit}" for length, unit in units if seconds % length == 0)


def duration_text(seconds: float) -> str:
    """A duration: "12 s", "3 min", "1 h 5 min"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"
