"""How long nothing starts on a schedule."""

from __future__ import annotations

import pytest

from bqdump.render.deployment import longest_pause

HOUR, DAY = 60, 24 * 60


@pytest.mark.parametrize(
    ("schedule", "minutes"),
    [
        ("0 3 * * *", DAY),
        ("* * * * *", 1),
        ("*/15 * * * *", 15),
        ("*/50 * * * *", 50),
        ("30 */6 * * *", 6 * HOUR),
        ("0 8,18 * * *", 14 * HOUR),
        ("0 3 * * 0", 7 * DAY),
        ("0 3 * * 7", 7 * DAY),
        ("0 3 * * SUN", 7 * DAY),
        ("0 3 * * mon-fri", 3 * DAY),
        ("0 8-18/2 * * 1-5", 3 * DAY - 10 * HOUR),
        ("0 3 1 * *", 31 * DAY),
        ("0 3 */2 * *", 2 * DAY),
        # Either kind of day will do.
        ("0 3 1 * 1", 7 * DAY),
        ("0 3 1 jan,jul *", 184 * DAY),
        ("0 3 31 * *", 61 * DAY),
        ("0 3 29 2 *", 2921 * DAY),
    ],
)
def test_the_longest_pause_follows_from_the_schedule(schedule: str, minutes: int) -> None:
    assert longest_pause(schedule) == minutes


@pytest.mark.parametrize(
    ("schedule", "cause"),
    [
        ("0 3 * *", "five fields"),
        ("@daily", "five fields"),
        ("60 3 * * *", "'60' is not a valid minute"),
        ("0 24 * * *", "'24' is not a valid hour"),
        ("0 3 0 * *", "'0' is not a valid day of the month"),
        ("0 3 * 13 *", "'13' is not a valid month"),
        ("0 3 * * 8", "'8' is not a valid day of the week"),
        ("0 3 * * x", "'x' is not a valid day of the week"),
        ("0 5-3 * * *", "'5-3' is not a valid hour"),
        ("*/0 3 * * *", "'*/0' is not a valid minute"),
        ("0, 3 * * *", "'' is not a valid minute"),
        ("0 3 30 2 *", "no such day"),
    ],
)
def test_what_is_no_schedule_is_refused(schedule: str, cause: str) -> None:
    with pytest.raises(ValueError, match=cause.replace("*", r"\*")):
        longest_pause(schedule)
