"""A rotating sample reaches every file, in as many exports as the share says."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bqdump.core.dealing import chosen, parse_sample


@given(parts=st.integers(1, 40), first=st.integers(0, 10**6), files=st.sets(st.tuples(st.text(), st.integers(0, 9))))
def test_each_file_is_read_once_in_so_many_exports(parts: int, first: int, files: set[tuple[str, int]]) -> None:
    read = Counter(
        file for number in range(first, first + parts) for file in files if chosen(file[0], file[1], parts, number)
    )
    assert read == dict.fromkeys(files, 1)


def test_a_tenth_of_many_files_is_about_a_tenth() -> None:
    read = sum(chosen(f"table_{table}", shard, 10, 3) for table in range(100) for shard in range(100))
    assert 900 < read < 1100


def test_the_choice_is_the_same_everywhere() -> None:
    assert [number for number in range(10) if chosen("orders", 0, 10, number)] == [1]


@pytest.mark.parametrize(("text", "parts"), [("10%", 10), ("100%", 1), ("15%", 6), ("33%", 3), ("0.1%", 1000)])
def test_a_share_is_read_as_parts(text: str, parts: int) -> None:
    assert parse_sample(text) == parts


@pytest.mark.parametrize("text", ["10", "", "0%", "101%", "-1%", "0.05%", "ten%", "1e1%", "%"])
def test_what_is_no_share_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a share"):
        parse_sample(text)
