"""The retention policy: restic's rules, what is always kept, and which files go."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from bqdump.core.errors import UsageError
from bqdump.core.retention.policy import FUTURE, NEWEST, NOT_NAMED, TAGGED, Policy, Snapshot, apply, policy_of
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target
from bqdump.core.times import milliseconds_of

DATASET = ("p", "sales")
SUNDAY = datetime(2026, 11, 1, 3, tzinfo=UTC)
NOW = milliseconds_of(SUNDAY + timedelta(days=400))


def nightly(count: int, start: datetime = SUNDAY, every: timedelta = timedelta(days=1)) -> list[Snapshot]:
    """Runs 0, 1, 2 …"""
    return [Snapshot(str(number), DATASET, milliseconds_of(start + number * every)) for number in range(count)]


def kept(policy: Policy, runs: list[Snapshot], now: int = NOW) -> dict[str, tuple[str, ...]]:
    return {run: why for run, why in apply(policy, runs, now).items() if why}


def test_the_last_ones_are_kept() -> None:
    assert kept(Policy(last=2), nightly(5)) == {"4": ("last",), "3": ("last",)}


def test_the_newest_of_each_day_that_has_one_is_kept() -> None:
    runs = nightly(4, every=timedelta(hours=9))  # 03:00, 12:00, 21:00, and 06:00 of the next day
    gap = Snapshot("old", DATASET, milliseconds_of(SUNDAY - timedelta(days=90)))
    assert kept(Policy(daily=3), [*runs, gap]) == {"3": ("daily",), "2": ("daily",), "old": ("daily",)}


def test_weeks_are_those_of_iso_and_begin_on_monday() -> None:
    assert sorted(kept(Policy(weekly=2), nightly(3))) == ["0", "2"]


def test_rules_add_up_and_each_is_named() -> None:
    runs = nightly(40)
    found = kept(Policy(last=1, daily=2, monthly=2, yearly=1, within=2 * 86_400), runs)
    assert found["39"] == ("last", "daily", "monthly", "yearly", "within 2d")
    assert {"38", "37", "29"} == {*found} - {"39"}
    assert found["29"] == ("monthly",)


def test_the_newest_of_each_period_within_a_time_of_the_newest_run_is_kept() -> None:
    runs = nightly(10, every=timedelta(hours=12))
    assert sorted(kept(Policy(within_daily=2 * 86_400), runs)) == ["5", "7", "9"]
    assert kept(Policy(within_daily=2 * 86_400), runs)["5"] == ("daily within 2d",)
    assert sorted(kept(Policy(within_weekly=30 * 86_400), nightly(10))) == ["0", "7", "9"]
    assert sorted(kept(Policy(within_monthly=40 * 86_400), nightly(40))) == ["29", "39"]
    partial = [replace(one, complete=one.run != "9") for one in runs]
    assert sorted(kept(Policy(within_daily=86_400), partial)) == ["7", "8", "9"]


def test_where_runs_are_named_all_others_are_kept_and_so_are_those_that_a_law_keeps() -> None:
    runs = nightly(4)
    runs[1] = replace(runs[1], tags=("keep",))
    runs[2] = replace(runs[2], tags=("audit",))
    found = kept(Policy(named=frozenset("0123"), tags=("audit",)), runs)
    assert found == {"1": (TAGGED,), "2": ("tag audit",), "3": (NEWEST,)}
    assert kept(Policy(named=frozenset("0")), runs)["2"] == (NOT_NAMED,)


def test_hours_are_counted_across_days() -> None:
    assert sorted(kept(Policy(hourly=2), nightly(8, every=timedelta(minutes=20)))) == ["5", "7"]


def test_within_counts_from_the_newest_run_so_that_time_alone_deletes_nothing() -> None:
    assert sorted(kept(Policy(within=86_400), nightly(4), NOW * 2)) == ["2", "3"]


def test_tags_keep_and_the_tag_keep_always_does() -> None:
    runs = [
        replace(one, tags=tags) for one, tags in zip(nightly(4), [("audit",), ("keep",), ("other",), ()], strict=True)
    ]
    assert kept(Policy(last=1, tags=("audit",)), runs) == {"0": ("tag audit",), "1": ("tag keep",), "3": ("last",)}


def test_the_rules_apply_to_each_dataset_by_itself() -> None:
    others = [replace(one, run=f"b{one.run}", dataset=("p", "other")) for one in nightly(3)]
    assert sorted(kept(Policy(last=1), [*nightly(3), *others])) == ["2", "b2"]


def test_a_partial_run_does_not_take_the_place_of_a_complete_one() -> None:
    runs = nightly(3)
    runs[2] = replace(runs[2], complete=False)
    assert sorted(kept(Policy(last=1), runs)) == ["1", "2"]


def test_the_newest_complete_run_stays_whatever_the_policy() -> None:
    assert kept(Policy(tags=("none",)), nightly(3)) == {"2": (NEWEST,)}


def test_a_snapshot_time_in_the_future_is_kept_and_pushes_out_nothing() -> None:
    runs = nightly(2)
    runs.append(Snapshot("forged", DATASET, NOW + 1))
    assert kept(Policy(last=1), runs) == {"1": ("last",), "forged": (FUTURE,)}


def test_a_policy_that_keeps_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="no rule says which runs to keep"):
        policy_of(Settings(project="p", dataset="d", target=Target("gs", "b")))


@given(
    st.lists(st.integers(0, 2000), max_size=30, unique=True),
    st.builds(Policy, *(st.integers(0, 4) for _ in range(6)), st.sampled_from([0, 86_400])),
)
def test_more_is_kept_by_a_policy_that_keeps_more(hours: list[int], policy: Policy) -> None:
    runs = [Snapshot(str(hour), DATASET, milliseconds_of(SUNDAY + timedelta(hours=hour))) for hour in hours]
    found = set(kept(policy, runs))
    assert len(found) >= min(len(runs), max(1, policy.last))
    for field in ("last", "hourly", "daily", "weekly", "monthly", "yearly"):
        assert found <= set(kept(replace(policy, **{field: getattr(policy, field) + 1}), runs))
