"""Numbers of variable length come back as they were written, and damaged ones are refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bqdump.core.formats.varint import LARGEST_BYTES, put_signed, put_unsigned, signed, unsigned


@given(st.integers(0, 2**64 - 1), st.binary(max_size=3), st.binary(max_size=3))
def test_an_unsigned_number_is_read_back_with_the_position_after_it(value: int, before: bytes, after: bytes) -> None:
    out = bytearray(before)
    put_unsigned(out, value)
    end = len(out)
    assert unsigned(bytes(out + after), len(before)) == (value, end)


@given(st.integers(-(2**63), 2**63 - 1))
def test_a_signed_number_is_read_back(value: int) -> None:
    out = bytearray()
    put_signed(out, value)
    assert signed(bytes(out), 0) == (value, len(out))


@pytest.mark.parametrize(("value", "encoded"), [(0, b"\0"), (-1, b"\1"), (1, b"\2"), (-64, b"\x7f"), (64, b"\x80\1")])
def test_signed_numbers_are_zigzag_encoded(value: int, encoded: bytes) -> None:
    out = bytearray()
    put_signed(out, value)
    assert out == encoded


def test_a_number_that_the_data_cut_off_is_an_index_error() -> None:
    with pytest.raises(IndexError, match="index out of range"):
        unsigned(b"\x80", 0)


def test_a_number_that_never_ends_is_refused() -> None:
    with pytest.raises(ValueError, match="more than ten bytes"):
        unsigned(b"\xff" * (LARGEST_BYTES + 1), 0)
