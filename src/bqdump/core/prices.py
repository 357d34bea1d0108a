"""What queries cost: on-demand list prices of BigQuery by location, in US dollars per TiB (2^40 bytes).

Source: https://cloud.google.com/bigquery/pricing#on_demand_pricing. Prices change, contracts have prices of their own,
and a project with reserved slots pays for these instead: the setting price_per_tib replaces the list. The first TiB of
a month, which is free, is not deducted, as other queries of the billing account use it, too.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

TIB = 2**40
CENT = 0.01
REFERENCE = "US"
LIST_PRICES = {
    "US": 6.25,
    "EU": 6.25,
    "africa-south1": 7.5,
    "asia-east1": 7.1875,
    "asia-northeast1": 7.5,
    "asia-southeast1": 8.4375,
    "australia-southeast1": 8.125,
    "europe-west1": 7.5,
    "europe-west2": 7.8125,
    "europe-west3": 8.125,
    "europe-west6": 8.75,
    "europe-west10": 9.625,
    "europe-west12": 8.0625,
    "me-central1": 7.59375,
    "me-central2": 10.0,
    "me-west1": 7.5,
    "southamerica-east1": 11.25,
    "southamerica-west1": 8.9375,
    "us-central1": 6.25,
    "us-east1": 6.25,
    "us-south1": 7.5,
    "us-west2": 8.4375,
}
_BY_LOCATION = {location.lower(): price for location, price in LIST_PRICES.items()}


class Price(NamedTuple):
    """Dollars per TiB. listed: whether it was given, or is the list price of that very location."""

    per_tib: float
    listed: bool


def price_in(location: str, per_tib: float | None = None) -> Price:
    """The price of queries in a location: the given one, the list price, or that of the US where no other is known."""
    if per_tib is not None:
        return Price(per_tib, listed=True)
    listed_price = _BY_LOCATION.get(location.lower())
    return Price(LIST_PRICES[REFERENCE] if listed_price is None else listed_price, listed=listed_price is not None)


def dollars(billed: int, location: str, per_tib: float | None = None) -> float:
    """What queries that bill so many bytes cost."""
    return billed / TIB * price_in(location, per_tib).per_tib


def money_text(amount: float, *, at_least: bool = False) -> str:
    """An amount of dollars: "$0.00", "less than $0.01", "$1,234.50", "at least $1,234.50"."""
    if at_least:
        return f"at least ${amount:,.2f}"
    return "less than $0.01" if 0 < amount < CENT else f"${amount:,.2f}"


def price_text(locations: Iterable[str], per_tib: float | None = None) -> str:
    """The price that an amount is based on: "at $6.25 per TiB", or how to say it where no list price is known."""
    prices = {price_in(location, per_tib) for location in locations}
    if any(not price.listed for price in prices):
        return f"at ${LIST_PRICES[REFERENCE]:g} per TiB, the price in {REFERENCE}; {{setting:price_per_tib}} sets yours"
    if len(prices) == 1:
        return f"at ${prices.pop().per_tib:g} per TiB"
    return "at the list prices of the locations"
