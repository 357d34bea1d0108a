"""Imported by every Python that finds it on its path: sets the clock of that process wrong by so many days."""

from __future__ import annotations

import datetime
import os
import time

_SHIFT = datetime.timedelta(days=float(os.environ["WRONG_BY_DAYS"]))
_time = time.time


class _Shifted(datetime.datetime):
    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> _Shifted:
        return super().now(tz) + _SHIFT

    @classmethod
    def utcnow(cls) -> _Shifted:
        return super().utcnow() + _SHIFT


time.time = lambda: _time() + _SHIFT.total_seconds()
time.time_ns = lambda: int(time.time() * 1e9)
# Types do not allow what this file is for.
datetime.datetime = _Shifted  # type: ignore[misc]
