"""BIGNUMERIC as a string, from its 256 bits."""

from __future__ import annotations

import polars as pl
import pytest

from bqdump.adapters.read.columns import bignumeric_text

LARGEST = 2**255 - 1
POWERS = [10**digits for digits in range(77)] + [2**bits for bits in range(0, 255, 8)]
NUMBERS = [0, LARGEST, -LARGEST - 1] + [
    sign * (power + off) for power in POWERS for off in (-1, 0, 1) for sign in (1, -1) if power + off <= LARGEST
]


def expected(number: int, scale: int) -> str:
    digits = str(abs(number)).zfill(scale + 1)
    whole, fraction = digits[: len(digits) - scale], digits[len(digits) - scale :].rstrip("0")
    return f"{'-' if number < 0 else ''}{whole}{'.' if fraction else ''}{fraction}"


@pytest.mark.parametrize("scale", [0, 5, 38])
def test_every_digit_of_a_decimal_is_in_its_text(scale: int) -> None:
    values = [number.to_bytes(32, "little", signed=True) for number in NUMBERS]
    texts = bignumeric_text(pl.Series("n", [*values, None], pl.Binary), scale)
    assert texts.to_list() == [*(expected(number, scale) for number in NUMBERS), None]
