"""Times: milliseconds since 1970 UTC, and their form as strings.

Durations for people, and from them.

The time that a person names to say which run is meant: a time with its zone, a date in UTC, or an age.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta

from msgspec import Struct

from bqdump.core.errors import UsageError
from bqdump.core.sizes import counted

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# A machine's clock and BigQuery's. A larger difference makes log lines and run ids confusing, and ages wrong.
CLOCKS_APART_SECONDS = 60


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


def period_text(seconds: int) -> str:
    """The same in a sentence: "1 day", "36 hours"."""
    units = ((DAY, "day"), (3600, "hour"), (1, "second"))
    return next(counted(seconds // length, unit) for length, unit in units if seconds % length == 0)


def duration_text(seconds: float) -> str:
    """A duration: "12 s", "3 min", "1 h 5 min"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"


SETTING = "as_of"
DAYS = {"today": 0, "yesterday": 1}
DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
TIME_EXPECTED = (
    "Write a time with its zone (2026-01-31T03:00:00Z), a date in UTC (2026-01-31 is the end of that day), yesterday, "
    "or an age such as 3d or 12h."
)


def only_one(run: str) -> None:
    """Raise UsageError where a run is named as well as a time."""
    if run:
        raise UsageError("find a run", f"run {run}", "a run and {setting:as_of} exclude each other", "Leave out one.")


class AsOf(Struct, frozen=True):
    """The latest snapshot time of the run that is meant (ms since 1970 UTC), and what was written."""

    until: int
    text: str

    @property
    def words(self) -> str:
        """Both, such as "yesterday (until 2026-01-31T23:59:59.999Z)"."""
        when = rfc3339(self.until)
        return when if self.text == when else f"{self.text} (until {when})"


def as_of_time(time: str | datetime, now: int) -> AsOf:
    """What was written, as a time. now: in milliseconds since 1970 UTC. Raises UsageError.

    A date, `today` and `yesterday` are days in UTC, and mean their end.
    """
    if isinstance(time, datetime):
        if time.tzinfo is None:
            raise _invalid(time.isoformat(), "it has no time zone")
        return AsOf(milliseconds_of(time), rfc3339(milliseconds_of(time)))
    text = time.strip()
    try:
        wanted = AsOf(_until(text, now), text)
        time_of(wanted.until)
    except (ValueError, OverflowError) as error:
        raise _invalid(text, str(error)) from None
    return wanted


def names_time(text: str) -> bool:
    """Whether it is a time as `as_of_time` reads it, such as "yesterday", and not a word that could name a run."""
    try:
        _until(text, 0)
    except (ValueError, OverflowError):
        return False
    return True


def _until(text: str, now: int) -> int:
    if text.lower() in DAYS:
        return _end_of(time_of(now).date() - timedelta(days=DAYS[text.lower()]))
    if DATE.fullmatch(text):
        return _end_of(date.fromisoformat(text))
    if re.fullmatch(r"[0-9]{1,9}\s*[a-zA-Z]?", text) and not text.isdecimal():
        return now - parse_duration(text) * 1000
    try:
        naive = datetime.fromisoformat(text).tzinfo is None
    except ValueError:
        naive = False
    if naive:
        raise ValueError("it has no time zone")
    try:
        return parse_time(text)
    except ValueError:
        raise ValueError("") from None


def _end_of(day: date) -> int:
    return milliseconds_of(datetime.combine(day, datetime.min.time(), UTC) + timedelta(days=1)) - 1


def _invalid(text: str, why: str) -> UsageError:
    return UsageError("find a run", "", f"invalid time {text!r}{why and f': {why}'}", TIME_EXPECTED, setting=SETTING)
