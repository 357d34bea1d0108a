"""All chance of a test process follows from its seed, and a failure names it."""

from __future__ import annotations

import random
import secrets
import uuid

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from chance import HASHES, begin, how_to_repeat, shuffle


def draws() -> list[object]:
    key = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    return [key, secrets.token_hex(4), secrets.token_bytes(4), uuid.uuid4(), random.random()]


def drawn(seed: int, test: str) -> list[object]:
    begin(seed, test)
    return draws()


def test_a_test_draws_the_same_with_the_same_seed_and_nothing_twice_otherwise() -> None:
    first = drawn(1, "a")
    assert drawn(1, "a") == first
    others = [drawn(2, "a"), drawn(1, "b"), draws()]
    assert [len(set(column)) for column in zip(first, *others, strict=True)] == [4] * 5


def test_hypothesis_tries_what_follows_from_the_seed(request: pytest.FixtureRequest) -> None:
    def tried() -> list[int]:
        numbers = []

        @given(st.integers())
        def try_one(number: int) -> None:
            numbers.append(number)

        try_one()
        return numbers

    first = tried()
    assert len(set(first)) > 5
    assert tried() == first


def test_tests_are_shuffled_by_the_seed() -> None:
    orders = [[*range(50)] for _ in range(3)]
    for seed, order in zip((1, 1, 2), orders, strict=True):
        shuffle(seed, order)
    assert orders[0] == orders[1]
    assert len({tuple(order) for order in (*orders, range(50))}) == 3
    assert sorted(orders[2]) == [*range(50)]


def test_a_failure_is_repeated_with_the_options_that_it_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HASHES, "8")
    assert how_to_repeat(7, shuffled=True) == "PYTHONHASHSEED=8 pytest --seed 7 --shuffle"
    monkeypatch.delenv(HASHES)
    assert how_to_repeat(7, shuffled=False) == "pytest --seed 7"
