"""A bill in dollars: the list price of the location, or one's own."""

from __future__ import annotations

import math

import pytest

from bqdump.core.errors import UsageError
from bqdump.core.prices import LIST_PRICES, TIB, dollars, money_text, price_in, price_text
from bqdump.core.settings.resolve import flags, resolve

SET = {"project": "my-project", "dataset": "sales", "bucket": "my-exports"}


def test_a_tebibyte_costs_the_list_price_of_its_location() -> None:
    assert dollars(TIB, "US") == 6.25
    assert dollars(TIB // 2, "europe-west3") == 8.125 / 2
    # BigQuery writes regions in either case.
    assert dollars(TIB, "EUROPE-WEST3") == 8.125
    assert price_text(["us", "EU"]) == "at $6.25 per TiB"
    assert price_text(["US", "me-central2"]) == "at the list prices of the locations"


def test_ones_own_price_is_taken_everywhere() -> None:
    assert [dollars(TIB, place, 5.0) for place in (*LIST_PRICES, "nowhere-1")] == [5.0] * (len(LIST_PRICES) + 1)
    assert price_text(["US", "nowhere-1"], 5.0) == "at $5 per TiB"
    assert dollars(TIB, "US", 0.0) == 0.0


def test_a_location_whose_price_is_not_listed_is_said_to_be_an_estimate() -> None:
    assert price_in("nowhere-1") == (6.25, False)
    assert price_text(["nowhere-1"]).startswith("at $6.25 per TiB, the price in US; {setting:price_per_tib}")


@pytest.mark.parametrize(
    ("amount", "text"), [(0, "$0.00"), (0.0001, "less than $0.01"), (0.01, "$0.01"), (1234.5, "$1,234.50")]
)
def test_amounts_are_cents(amount: float, text: str) -> None:
    assert money_text(amount) == text


@pytest.mark.parametrize(("given", "price"), [("6.25", 6.25), (5, 5.0), ("0", 0.0), ("", None)])
def test_the_price_is_a_setting(given: object, price: float | None) -> None:
    assert resolve(flags({**SET, "price_per_tib": given})).price_per_tib == price


@pytest.mark.parametrize("given", ["cheap", "-1", math.nan, math.inf, True, "$5"])
def test_a_price_that_is_none_is_refused_with_an_example(given: object) -> None:
    with pytest.raises(UsageError, match=r"--price-per-tib: .*: expected a price in dollars such as 6\.25"):
        resolve(flags({**SET, "price_per_tib": given}))
