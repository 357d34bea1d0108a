"""Numbers and times as text."""

from __future__ import annotations

from datetime import UTC, datetime

from bqdump.core.sizes import size_text


def count_text(count: float) -> str:
    """A count with separators: "12,345"."""
    return f"{count:,}"


def duration_text(milliseconds: float) -> str:
    """A duration in at most two units."""
    seconds = milliseconds / 1000
    if milliseconds < 50:
        return "less than 0.1 s" if milliseconds > 0 else "0 s"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, rest = divmod(minutes, 60)
    return f"{hours} h {rest} min" if rest else f"{hours} h"


def growth_text(before: float, after: float) -> str:
    """The change in percent, with a sign; "" where it cannot be expressed."""
    percent = 100 * (after - before) / before if before and after else 0.0
    digits = 1 if abs(percent) < 1 else 0
    text = f"{percent:+,.{digits}f} %".replace("-", "−")
    return text if round(percent, digits) else ""


def rate_text(count: int, milliseconds: int) -> str:
    """Bytes per second, with the unit."""
    return f"{size_text(1000 * count / milliseconds)}/s" if milliseconds > 0 else "–"


def iso_text(milliseconds: int) -> str:
    """A time for machines, in UTC to the millisecond."""
    when = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def time_text(milliseconds: int) -> str:
    """A time for people, in UTC to the second."""
    return f"{datetime.fromtimestamp(milliseconds / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"
