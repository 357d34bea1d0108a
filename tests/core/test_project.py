"""Which datasets a set has, and who begins with which."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bqdump.core.errors import UsageError
from bqdump.core.sets.member import at_once, order_of, own_datasets
from bqdump.core.sets.selection import choose_datasets
from bqdump.core.tables.catalog import ListedDataset
from core.strategies import settings

LISTING = [ListedDataset(name, "US") for name in ("Tricky", "_secret", "ops_eu", "ops_us", "sales")]


def chosen(dataset: str, **others: Any) -> list[str]:
    return [one.name for one in choose_datasets(LISTING, settings(dataset=dataset, **others)).datasets]


@pytest.mark.parametrize(
    ("dataset", "exclude", "names"),
    [
        ("sales,ops_*", [], ["ops_eu", "ops_us", "sales"]),
        ("*", [], ["Tricky", "ops_eu", "ops_us", "sales"]),
        ("*", ["ops_*", "nothing"], ["Tricky", "sales"]),
        ("ops_??", ["*_us"], ["ops_eu"]),
        ("_secret,sales", [], ["_secret", "sales"]),
        ("ops_*,ops_eu", [], ["ops_eu", "ops_us"]),
    ],
)
def test_names_and_patterns_choose_datasets(dataset: str, exclude: list[str], names: list[str]) -> None:
    assert chosen(dataset, exclude_datasets=exclude) == names


@pytest.mark.parametrize(
    ("dataset", "exclude", "says"),
    [
        ("sales,opseu", [], "opseu: there is no dataset of this name .* Did you mean ops_eu?"),
        ("sales,tricky", [], "Did you mean Tricky?"),
        ("opps_*", [], "'opps_.*' ?: matches no dataset of project proj. Did you mean ops_"),
        ("_*", [], "matches no dataset"),
        ("*", ["*"], "no dataset of project proj is left"),
        ("sales,ops_eu", ["sales"], "it leaves out sales, which dataset names"),
    ],
)
def test_what_chooses_nothing_is_refused_with_a_guess(dataset: str, exclude: list[str], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        chosen(dataset, exclude_datasets=exclude)


def test_external_datasets_are_named_and_not_exported() -> None:
    found = choose_datasets([*LISTING, ListedDataset("glue", "US", "EXTERNAL")], settings(dataset="*"))
    assert [one.dataset for one in found.skipped] == ["glue"]
    assert "glue" not in [one.name for one in found.datasets]


HERE, EU = ListedDataset("here", "US"), ListedDataset("there", "EU")


def test_datasets_in_several_locations_are_refused_where_the_target_is_a_bucket() -> None:
    with pytest.raises(
        UsageError, match=r"2 locations \(EU: there; US: here\).*Run a job for each location.*location='EU'"
    ):
        choose_datasets((HERE, EU), settings(dataset="*"))


def test_a_folder_takes_datasets_of_every_location() -> None:
    assert choose_datasets((HERE, EU), settings(dataset="*", to="/tmp/x")).datasets == (HERE, EU)


def test_a_location_chooses_among_the_datasets_of_a_pattern_and_names_the_others() -> None:
    found = choose_datasets((HERE, EU), settings(dataset="*", location="eu"))
    assert found.datasets == (EU,)
    assert [(left.dataset, left.reason) for left in found.skipped] == [("here", "it is in US")]


@pytest.mark.parametrize(
    ("dataset", "says"),
    [
        ("here,there", "here is in US"),
        ("her*", "no dataset of project proj is left to export.*here is in US, not in EU"),
    ],
)
def test_a_location_without_the_named_datasets_is_refused(dataset: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        choose_datasets((HERE, EU), settings(dataset=dataset, location="EU"))


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=40), st.integers(1, 12))
def test_every_task_has_every_dataset_once_and_its_own_ones_first(sizes: list[int], tasks: int) -> None:
    hands = [own_datasets(sizes, task, tasks) for task in range(tasks)]
    assert sorted(number for hand in hands for number in hand) == list(range(len(sizes)))
    for task, hand in enumerate(hands):
        order = order_of(sizes, task, tasks)
        assert sorted(order) == list(range(len(sizes)))
        assert order[: len(hand)] == hand
        assert 2 <= at_once(sizes, task, tasks) <= 8
