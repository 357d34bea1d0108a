"""The time that a person names in place of a run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from bqdump.core.errors import UsageError
from bqdump.core.times import as_of_time, only_one, parse_time, rfc3339
from bqdump.core.wording import COMMANDS

NOW = parse_time("2026-03-01T10:30:00Z")


@pytest.mark.parametrize(
    ("written", "until"),
    [
        ("2026-01-31T03:00:00Z", "2026-01-31T03:00:00.000Z"),
        ("2026-01-31T03:00:00+09:00", "2026-01-30T18:00:00.000Z"),
        ("2026-01-31 03:00:00.5Z", "2026-01-31T03:00:00.500Z"),
        ("1769828400000", "2026-01-31T03:00:00.000Z"),
        ("2026-01-31", "2026-01-31T23:59:59.999Z"),
        ("2024-02-29", "2024-02-29T23:59:59.999Z"),
        ("today", "2026-03-01T23:59:59.999Z"),
        ("yesterday", "2026-02-28T23:59:59.999Z"),
        (" Yesterday ", "2026-02-28T23:59:59.999Z"),
        ("3d", "2026-02-26T10:30:00.000Z"),
        ("36h", "2026-02-27T22:30:00.000Z"),
        ("15 m", "2026-03-01T10:15:00.000Z"),
    ],
)
def test_a_time_is_read_as_a_person_means_it(written: str, until: str) -> None:
    assert rfc3339(as_of_time(written, NOW).until) == until


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("2026-01-31T03:00:00", "it has no time zone"),
        ("2026-02-30", "day"),
        ("3", "Write a time"),
        ("3w", "expected a duration"),
        ("tomorrow", "Write a time"),
        ("", "Write a time"),
        ("bqdump-x7k2p", "Write a time"),
        ("999999999d", "out of range"),
    ],
)
def test_what_is_no_time_is_refused_with_what_to_write(written: str, why: str) -> None:
    with pytest.raises(UsageError) as refused:
        as_of_time(written, NOW)
    said = refused.value.sentence(COMMANDS)
    assert f"--as-of: invalid time {written!r}" in said
    assert why in said
    assert "2026-01-31 is the end of that day" in said


def test_a_datetime_needs_a_time_zone() -> None:
    east = datetime(2026, 1, 31, 3, tzinfo=timezone(timedelta(hours=9)))
    assert as_of_time(east, NOW).until == parse_time("2026-01-30T18:00:00Z")
    assert as_of_time(datetime(2026, 1, 31, tzinfo=UTC), NOW).words == "2026-01-31T00:00:00.000Z"
    with pytest.raises(UsageError, match="time zone"):
        as_of_time(datetime(2026, 1, 31), NOW)  # noqa: DTZ001 (that is the point)


def test_the_words_name_what_was_written_and_the_time_that_it_stands_for() -> None:
    assert as_of_time("yesterday", NOW).words == "yesterday (until 2026-02-28T23:59:59.999Z)"


def test_a_run_and_a_time_exclude_each_other() -> None:
    only_one("")
    with pytest.raises(UsageError) as refused:
        only_one("r1")
    assert refused.value.sentence(COMMANDS) == "run r1: a run and --as-of exclude each other. Leave out one."
