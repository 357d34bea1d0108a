"""The clock of a stand-in: that of this machine, and what a test has added to it."""

from __future__ import annotations

import time
from datetime import UTC, datetime

_added = 0.0


def now_ns() -> int:
    """Nanoseconds since 1970 UTC."""
    return time.time_ns() + int(_added * 1_000_000_000)


def now() -> datetime:
    """The same as a time in UTC."""
    return datetime.fromtimestamp(now_ns() / 1_000_000_000, UTC)


def added() -> float:
    """The seconds that were added."""
    return _added


def add(seconds: float) -> None:
    """Add this many seconds to the clock of this machine, instead of those that were added before."""
    global _added
    _added = seconds
