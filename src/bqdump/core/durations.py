"""Durations for people, and from them."""

from __future__ import annotations

import re

SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
EXPECTED = "expected a duration such as 90s, 15m, 2h or 7d"
DAY = 86_400


def parse_duration(text: str) -> int:
    """A number of seconds written as 90s, 15m, 2h or 7d; a bare number is in seconds. Raises ValueError."""
    match = re.fullmatch(r"([0-9]{1,9})\s*([smhd]?)", text.strip().lower())
    if match is None:
        raise ValueError(EXPECTED)
    return int(match[1]) * SECONDS[match[2] or "s"]


def days_text(seconds: int) -> str:
    """A long duration as `parse_duration` reads it: "30d", "36h"."""
    units = ((DAY, "d"), (3600, "h"), (1, ""))
    return next(f"{seconds // length}{unit}" for length, unit in units if seconds % length == 0)


def duration_text(seconds: float) -> str:
    """A duration: "12 s", "3 min", "1 h 5 min"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"
