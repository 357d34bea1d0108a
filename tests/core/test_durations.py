"""Lengths of time, from people and for them: each has its unit."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bqdump.core.errors import UsageError
from bqdump.core.settings.resolve import arguments, environment, file, flags, resolve
from bqdump.core.settings.settings import BY_NAME, SETTINGS
from bqdump.core.times import days_text, duration_text, parse_duration, period_text

DURATIONS = [setting.name for setting in SETTINGS if setting.metavar == "TIME" and setting.name != "snapshot_time"]


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("90s", 90), (" 15M ", 900), ("2 h", 7200), ("7d", 604_800), ("0", 0), (0, 0), ("0d", 0),
        (timedelta(days=30), 2_592_000), (timedelta(hours=1, seconds=1), 3601), (timedelta(), 0),
    ],
)  # fmt: skip
def test_a_length_of_time_is_read(value: object, seconds: int) -> None:
    assert parse_duration(value) == seconds


@pytest.mark.parametrize("text", ["", "m", "1.5m", "-1s", "1w", "15 minutes", "1m30s", "9999999999", True, 1.5, None])
def test_what_is_no_length_of_time_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="such as 90s, 15m, 2h or 7d"):
        parse_duration(text)


@pytest.mark.parametrize("value", [30, "30", " 30 "])
def test_a_number_without_a_unit_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="it has no unit: write 30s, 30m, 30h or 30d"):
        parse_duration(value)


@pytest.mark.parametrize("value", [timedelta(seconds=-1), timedelta(milliseconds=1500)])
def test_a_timedelta_has_whole_seconds(value: timedelta) -> None:
    with pytest.raises(ValueError, match="whole seconds, not negative"):
        parse_duration(value)


def test_no_setting_takes_a_number_without_a_unit_wherever_it_is_given() -> None:
    kept = {"keep_within", "keep_within_daily", "keep_within_weekly", "keep_within_monthly"}
    others = {"patience", "job_timeout", "abandoned_after", "newest_within", "rpo", "rto"}
    assert set(DURATIONS) == {"full_every", *others, *kept}
    for name in DURATIONS:
        env = BY_NAME[name].env
        for source in (
            flags({name: "30"}), environment({env: "30"}), file({name: 30}, "bqdump.toml"), arguments({name: 30}),
        ):  # fmt: skip
            with pytest.raises(UsageError, match=r"it has no unit: write 30s, 30m, 30h or 30d"):
                resolve(source, required=())
        for given in ("2h", timedelta(hours=2)):
            assert getattr(resolve(arguments({name: given}), required=()), name) == 7200


@pytest.mark.parametrize(("seconds", "text"), [(2_592_000, "30d"), (129_600, "36h"), (900, "15m"), (30, "30s")])
def test_a_long_one_is_written_as_it_is_read(seconds: int, text: str) -> None:
    assert days_text(seconds) == text
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "0 s"), (2.04, "2 s"), (89, "89 s"), (90, "2 min"), (900, "15 min"), (7500, "2 h 5 min")],
)
def test_a_length_of_time_is_written(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(1, "1 second"), (3_600, "1 hour"), (86_400, "1 day"), (604_800, "7 days"), (648_000, "180 hours")],
)
def test_a_period_in_a_sentence_is_exact_in_the_largest_unit_that_fits(seconds: int, text: str) -> None:
    assert period_text(seconds) == text
