"""The time that a person names to say which run is meant: a time with its zone, a date in UTC, or an age."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

from bqdump.core.errors import UsageError
from bqdump.core.times import milliseconds_of, parse_duration, parse_time, rfc3339, time_of

SETTING = "as_of"
DAYS = {"today": 0, "yesterday": 1}
DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
EXPECTED = (
    "Write a time with its zone (2026-01-31T03:00:00Z), a date in UTC (2026-01-31 is the end of that day), yesterday, "
    "or an age such as 3d or 12h."
)


def only_one(run: str) -> None:
    """Raise UsageError where a run is named as well as a time."""
    if run:
        raise UsageError("find a run", f"run {run}", "a run and {setting:as_of} exclude each other", "Leave out one.")


class AsOf(NamedTuple):
    """The latest snapshot time of the run that is meant (ms since 1970 UTC), and what was written."""

    until: int
    text: str

    @property
    def words(self) -> str:
        """Both, such as "yesterday (until 2026-01-31T23:59:59.999Z)"."""
        when = rfc3339(self.until)
        return when if self.text == when else f"{self.text} (until {when})"


def as_of_time(given: str | datetime, now: int) -> AsOf:
    """What was written, as a time. now: in milliseconds since 1970 UTC. Raises UsageError.

    A date, `today` and `yesterday` are days in UTC, and mean their end.
    """
    if isinstance(given, datetime):
        if given.tzinfo is None:
            raise _invalid(given.isoformat(), "it has no time zone")
        return AsOf(milliseconds_of(given), rfc3339(milliseconds_of(given)))
    text = given.strip()
    try:
        wanted = AsOf(_until(text, now), text)
        time_of(wanted.until)
    except (ValueError, OverflowError) as error:
        raise _invalid(text, str(error)) from None
    return wanted


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
    return parse_time(text)


def _end_of(day: date) -> int:
    return milliseconds_of(datetime.combine(day, datetime.min.time(), UTC) + timedelta(days=1)) - 1


def _invalid(text: str, why: str) -> UsageError:
    return UsageError("find a run", "", f"invalid time {text!r}: {why}", EXPECTED, setting=SETTING)
