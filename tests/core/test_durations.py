"""Lengths of time, from people and for them."""

from __future__ import annotations

import pytest

from bqdump.core.durations import duration_text, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), (" 15M ", 900), ("2 h", 7200), ("7d", 604_800), ("0", 0)]
)
def test_a_length_of_time_is_read(text: str, seconds: int) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "m", "1.5m", "-1s", "1w", "15 minutes", "1m30s", "9999999999"])
def test_what_is_no_length_of_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="such as 90s, 15m, 2h or 7d"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "0 s"), (2.04, "2 s"), (89, "89 s"), (90, "2 min"), (900, "15 min"), (7500, "2 h 5 min")],
)
def test_a_length_of_time_is_written(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text
