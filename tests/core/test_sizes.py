"""Numbers for people."""

from __future__ import annotations

import ast
import itertools
import pathlib
import re
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

import bqdump
from bqdump.core.sizes import counted, named, parse_size, size_text

NOUNS = (
    r"columns|copies|days|drills|files(?! in\b)|hours|jobs|minutes|partitions|restores|rows|runs|tables|tasks|values"
)
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


def test_a_difference_agrees_with_its_noun() -> None:
    assert [counted(count, "row", "+,") for count in (-1, 1, 2000)] == ["-1 row", "+1 row", "+2,000 rows"]


def plurals(text: ast.JoinedStr) -> Iterator[str]:
    """What a string counts without `counted`, except limits, which are constants."""
    for number, words in itertools.pairwise(text.values):
        if isinstance(number, ast.FormattedValue) and isinstance(words, ast.Constant):
            noun = re.match(rf" (more )?({NOUNS})\b", str(words.value))
            limit = any(isinstance(part, ast.Name) and part.id.isupper() for part in ast.walk(number.value))
            if noun and not limit:
                yield f"{{{ast.unparse(number.value)}}}{noun[0]}"


def test_no_message_counts_one_in_the_plural() -> None:
    used, found = 0, set()
    for path in pathlib.Path(bqdump.__file__).parent.rglob("*.py"):
        tree = ast.parse(path.read_text())
        # A text for one next to that for many has made the choice itself.
        chosen = {id(part) for node in ast.walk(tree) if isinstance(node, ast.IfExp) for part in ast.walk(node)}
        for node in ast.walk(tree):
            used += isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "counted"
            if isinstance(node, ast.JoinedStr) and id(node) not in chosen:
                found |= {f"{path.name}: {text}" for text in plurals(node)}
    assert used > 100
    assert found == set()


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
