"""Numbers for people."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bqdump.core.sizes import counted, named, parse_size, size_text

SIZES = {
    0: "0 B",
    999: "999 B",
    1000: "1 KB",
    1234: "1.23 KB",
    99_499: "99.5 KB",
    999_499: "999 KB",
    999_500: "1 MB",
    1_500_000_000: "1.5 GB",
    2_000_000_000_000: "2 TB",
    5_000_000_000_000_000: "5,000 TB",
}


@pytest.mark.parametrize("count", SIZES)
def test_a_size_is_in_the_unit_that_reads_best(count: int) -> None:
    assert size_text(count) == SIZES[count]


@given(st.integers(0, 10**18))
def test_a_size_is_near_its_number(count: int) -> None:
    number, unit = size_text(count).split()
    factor = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}[unit]
    assert float(number.replace(",", "")) * factor == pytest.approx(count, rel=0.006)


@pytest.mark.parametrize(("count", "text"), [(0, "0 tables"), (1, "1 table"), (2000, "2,000 tables")])
def test_a_count_agrees_with_its_noun(count: int, text: str) -> None:
    assert counted(count, "table") == text


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("500", 500), ("10GB", 10**10), ("1 TiB", 2**40), ("1.5 kb", 1500), ("0.5MiB", 2**19), (" 7 B ", 7)],
)
def test_a_size_is_read_in_any_unit(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "GB", "-1", "1 ZB", "1,5 GB", "1e9", "1 GB more", "٣"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a size such as 10GB or 1 TiB"):
        parse_size(text)


@pytest.mark.parametrize(
    ("words", "noun", "separator", "text"),
    [
        (["a", "b"], "", ", ", "a, b"),
        (["a", "b", "c"], "", ", ", "a, b and 1 more"),
        (["a", "b", "c"], "table", ", ", "a, b and 1 more table"),
        (["a", "b", *"c" * 1000], "table", "; ", "a; b; and 1,000 more tables"),
        ([], "table", ", ", ""),
    ],
)
def test_the_first_words_are_named_the_others_counted(words: list[str], noun: str, separator: str, text: str) -> None:
    assert named(words, 2, noun, separator) == text
