"""Times: milliseconds since 1970 UTC, and their form as strings."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def parse_time(text: str) -> int:
    """Milliseconds since 1970 UTC of a time in RFC 3339, or of such a number. Raises ValueError."""
    if re.fullmatch(r"[0-9]{13}", text):
        return int(text)
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        time = None
    if time is None or time.tzinfo is None:
        raise ValueError("expected a time with time zone, such as 2026-01-31T03:00:00Z")
    return milliseconds_of(time)


def milliseconds_of(time: datetime) -> int:
    """Milliseconds since 1970 UTC, rounded down, without the rounding errors of floating seconds."""
    return (time - EPOCH) // timedelta(milliseconds=1)


def time_of(milliseconds: int) -> datetime:
    """Milliseconds since 1970 UTC as an aware datetime."""
    return EPOCH + timedelta(milliseconds=milliseconds)


def time_in(text: str) -> datetime | None:
    """The time that a document names, None where it names none."""
    try:
        return time_of(parse_time(text))
    except (ValueError, OverflowError):
        return None


def time_text(time: datetime | None) -> str:
    """A time as RFC 3339 in UTC with milliseconds, "" for None."""
    return rfc3339(milliseconds_of(time)) if time else ""


def rfc3339(milliseconds: int) -> str:
    """Milliseconds since 1970 UTC as a time in RFC 3339, in UTC with milliseconds."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
