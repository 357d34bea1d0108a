"""The Japanese README has the facts of the English one: commands, options, tables, numbers, links."""

from __future__ import annotations

import re

import pytest

from docs.walk import ROOT, blocks

ENGLISH, JAPANESE = (ROOT / "README.md").read_text(), (ROOT / "README.ja.md").read_text()
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
BOTH = re.split(r"^##+ ", ENGLISH, flags=re.MULTILINE), re.split(r"^##+ ", JAPANESE, flags=re.MULTILINE)
CHAPTERS = [title.partition("\n")[0] for title in BOTH[0]]


def commands(page: str) -> list[str]:
    """The commands of a page, without the comments behind them."""
    return [line.partition(" #")[0].rstrip() for block in blocks(page) for line in block.splitlines()]


def tables(text: str) -> list[list[int]]:
    """The number of cells in each row of each table."""
    found = re.findall(r"(?:^\|.*\|\n)+", text + "\n", re.MULTILINE)
    return [[len(re.findall(r"(?<!\\)\|", row)) - 1 for row in table.splitlines()] for table in found]


def numbers(text: str) -> set[str]:
    """The numbers of sentences and tables, without those in code and addresses."""
    plain = re.sub(r"`[^`]*`|\]\([^)]*\)", " ", FENCE.sub("", text))
    return {one.strip(".,") for one in re.findall(r"\d[\d.,]*", plain)}


def test_the_commands_are_the_same() -> None:
    assert commands("README.ja.md") == commands("README.md")


def test_the_pictures_are_the_same() -> None:
    found = [re.findall(r'src(?:set)?="([^"]+)"', page) for page in (ENGLISH, JAPANESE)]
    assert found[0] == found[1] == ["docs/restored-dark.svg", "docs/restored.svg"]


def test_it_has_the_same_chapters() -> None:
    levels = [re.findall(r"^(#+) ", FENCE.sub("", page), re.MULTILINE) for page in (ENGLISH, JAPANESE)]
    assert levels[0] == levels[1]


@pytest.mark.parametrize("number", range(len(CHAPTERS)), ids=lambda number: CHAPTERS[number] or "first")
class TestChapter:
    """A chapter, compared with its counterpart."""

    def test_it_names_the_same_commands_options_and_variables(self, number: int) -> None:
        found = [re.findall(r"`([^`]+)`", FENCE.sub("", page[number])) for page in BOTH]
        english, japanese = ({" ".join(span.split()) for span in spans} for spans in found)
        assert english == japanese

    def test_its_tables_have_the_same_rows_and_cells(self, number: int) -> None:
        assert tables(BOTH[0][number]) == tables(BOTH[1][number])

    def test_it_has_as_many_points(self, number: int) -> None:
        english, japanese = (len(re.findall(r"^- ", page[number], re.MULTILINE)) for page in BOTH)
        assert english == japanese

    def test_it_has_the_same_links(self, number: int) -> None:
        english, japanese = (sorted(re.findall(r"\]\(((?!README|#)[^)]*)\)", page[number])) for page in BOTH)
        assert english == japanese

    def test_it_has_the_same_numbers(self, number: int) -> None:
        english, japanese = (numbers(page[number]) for page in BOTH)
        # English has words for the smallest ones.
        assert english - {"1", "2", "3"} == japanese - {"1", "2", "3"}


def test_each_page_links_to_the_other() -> None:
    assert "](README.ja.md)" in ENGLISH
    assert "](README.md)" in JAPANESE
