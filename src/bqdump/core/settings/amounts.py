"""A parser for each kind of number among the settings: counts, sizes and durations.

Each raises ValueError with what is expected.
"""

from __future__ import annotations

from typing import Any

from bqdump.core.sizes import parse_size
from bqdump.core.times import parse_duration

LONGEST_SECONDS = 24 * 3600
LONGEST_PERIOD = 3660 * 86_400
LEAST_MEMORY = 16 * 10**6
# A load job reads at most 10,000,000 files: of this size, 1 TB. https://cloud.google.com/bigquery/quotas#load_jobs
LEAST_FILE = 100 * 10**3
HIGHEST_PRICE = 10_000


def count(value: Any) -> int:
    """An integer from 1 to 1000."""
    try:
        number = int(str(value))
    except ValueError:
        raise ValueError("expected an integer") from None
    if not 1 <= number <= 1000:
        raise ValueError("expected an integer from 1 to 1000")
    return number


def size(value: Any) -> int:
    """A number of bytes, such as 10GB or 1 TiB; 0 for none."""
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise ValueError("expected a size such as 10GB or 1 TiB")
    return parse_size(str(value)) if value != "" else 0


def file_size(value: Any) -> int:
    """A number of bytes, at least LEAST_FILE; 0 for none."""
    number = size(value)
    if 0 < number < LEAST_FILE:
        raise ValueError(f"expected at least {LEAST_FILE // 10**3}KB, or 0 for one file per stream")
    return number


def price(value: Any) -> float | None:
    """A price in dollars, such as 6.25; 0 for queries on reserved slots; None for an empty string."""
    if value == "":
        return None
    try:
        number = float("" if isinstance(value, bool) else value)
    except (TypeError, ValueError):
        number = -1.0
    if not 0 <= number <= HIGHEST_PRICE:
        raise ValueError("expected a price in dollars such as 6.25")
    return number


def memory(value: Any) -> int:
    """A number of bytes, at least LEAST_MEMORY."""
    number = size(value)
    if number < LEAST_MEMORY:
        raise ValueError(f"expected at least {LEAST_MEMORY // 10**6}MB")
    return number


def duration(value: Any) -> int | None:
    """A number of seconds, from 1 second to 24 hours: 90s, 15m or 2h; None for an empty string."""
    if value == "":
        return None
    seconds = parse_duration(value)
    if not 1 <= seconds <= LONGEST_SECONDS:
        raise ValueError("expected a duration from 1s to 24h")
    return seconds


def period(value: Any) -> int | None:
    """A number of seconds, up to 10 years: 12h or 30d; 0 for none; None for an empty string."""
    if value == "":
        return None
    seconds = parse_duration(value)
    if seconds > LONGEST_PERIOD:
        raise ValueError("expected a duration of up to 3660d")
    return seconds


def objective(value: Any) -> int | None:
    """A number of seconds, from 1 second to 10 years; None for an empty string."""
    seconds = period(value)
    if seconds == 0:
        raise ValueError("expected a duration of at least 1s")
    return seconds


def age(value: Any) -> int | None:
    """A period of at least one hour; 0 for never."""
    seconds = period(value)
    if seconds and seconds < 3600:
        raise ValueError("expected a duration of at least 1h, 0 for never")
    return seconds


def kept(value: Any) -> int:
    """A number of runs; 0 for none."""
    try:
        number = -1 if isinstance(value, bool) else int(str(value))
    except ValueError:
        number = -1
    if number < 0:
        raise ValueError("expected a number of runs, 0 for none")
    return number


def rows(value: Any) -> int:
    """A number of rows; 0 for no limit."""
    try:
        number = int(str(value))
    except ValueError:
        number = -1
    if number < 0:
        raise ValueError("expected an integer, 0 for no limit")
    return number
