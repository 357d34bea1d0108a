"""The Japanese pages have the facts of the English ones: commands, options, tables, numbers, links."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import NamedTuple

import pytest

from docs.walk import ROOT

FENCE = re.compile(r"^ *```\w*\n.*?^ *```$", re.MULTILINE | re.DOTALL)
NAMES = ["README", "quickstart", "recipes", "ideas", "deploy", "operate", "disaster"]


class Pair(NamedTuple):
    """A page in English, and in Japanese."""

    english: Path
    japanese: Path

    def texts(self) -> tuple[str, str]:
        return self.english.read_text(), self.japanese.read_text()

    def chapters(self) -> list[tuple[str, str]]:
        english, japanese = (re.split(r"^##+ ", FENCE.sub("", text), flags=re.MULTILINE) for text in self.texts())
        return [*zip(english, japanese, strict=True)]


def pair(name: str) -> Pair:
    if name == "README":
        return Pair(ROOT / "README.md", ROOT / "README.ja.md")
    return Pair(ROOT / f"docs/{name}.md", ROOT / f"docs/ja/{name}.md")


def tables(text: str) -> list[list[int]]:
    """The number of cells in each row of each table."""
    found = re.findall(r"(?:^ *\|.*\|\n)+", text + "\n", re.MULTILINE)
    return [[len(re.findall(r"(?<!\\)\|", row)) - 1 for row in table.splitlines()] for table in found]


def numbers(text: str) -> set[str]:
    """The numbers of sentences and tables, without those in code and addresses. English has words for the smallest."""
    plain = re.sub(r"`[^`]*`|\]\([^)]*\)", " ", text)
    return {one.strip(".,") for one in re.findall(r"\d[\d.,]*", plain)} - {"1", "2", "3", "5", "10"}


def spans(text: str) -> set[str]:
    """Code in sentences: commands, options, variables. What stands for words of the reader is in his language."""
    return {re.sub("<.*?>", "<>", " ".join(span.split())) for span in re.findall(r"`([^`]+)`", text)}


def links(page: Path, text: str) -> list[str]:
    """What a page links to, whatever the language. The headings of translated pages differ."""
    found = []
    for target in re.findall(r"\]\(([^)]*)\)", text):
        path, _, anchor = target.partition("#")
        whole = path if "://" in path else posixpath.normpath(str(page.parent.relative_to(ROOT) / path))
        plain = whole.replace("docs/ja/", "docs/").replace("README.ja", "README")
        translated = not path or Path(plain).stem in NAMES
        found.append("here" if not path else plain if translated else f"{plain}#{anchor}")
    return sorted(found)


@pytest.mark.parametrize("name", NAMES)
class TestPage:
    """A page, compared with its counterpart chapter by chapter."""

    def test_it_has_the_same_blocks_of_commands_and_output(self, name: str) -> None:
        english, japanese = (FENCE.findall(text) for text in pair(name).texts())
        assert english == japanese

    def test_it_has_the_same_chapters(self, name: str) -> None:
        english, japanese = (re.findall(r"^(#+) ", FENCE.sub("", text), re.MULTILINE) for text in pair(name).texts())
        assert english == japanese

    def test_it_has_the_same_pictures(self, name: str) -> None:
        english, japanese = (re.findall(r'src(?:set)?="([^"]+)"', text) for text in pair(name).texts())
        assert english == japanese

    def test_it_names_the_same_commands_options_and_variables(self, name: str) -> None:
        assert [(spans(one), spans(other)) for one, other in pair(name).chapters() if spans(one) != spans(other)] == []

    def test_its_tables_have_the_same_rows_and_cells(self, name: str) -> None:
        assert [one for one, other in pair(name).chapters() if tables(one) != tables(other)] == []

    def test_it_has_as_many_points_and_steps(self, name: str) -> None:
        points = re.compile(r"^(?:-|\d+\.) ", re.MULTILINE)
        assert [one for one, other in pair(name).chapters() if points.findall(one) != points.findall(other)] == []

    def test_it_has_the_same_links(self, name: str) -> None:
        english, japanese = pair(name)
        found = [(links(english, one), links(japanese, other)) for one, other in pair(name).chapters()]
        assert [(one, other) for one, other in found if one != other] == []

    def test_it_has_the_same_numbers(self, name: str) -> None:
        found = [(numbers(one), numbers(other)) for one, other in pair(name).chapters()]
        assert [(one ^ other) for one, other in found if one != other] == []

    def test_each_links_to_the_other_at_its_beginning(self, name: str) -> None:
        english, japanese = (text.splitlines()[2] for text in pair(name).texts())
        assert re.match(r"\[日本語\]\((ja/\w+|README\.ja)\.md\)", english)
        assert re.match(r"\[English\]\((\.\./\w+|README)\.md\)", japanese)

    def test_no_sentence_of_the_japanese_page_is_broken_into_lines(self, name: str) -> None:
        text = FENCE.sub("", pair(name).japanese.read_text())
        assert re.findall(r"^(?![ #|<>-]|\d+\.).+\n(?![ #|<>-]|\d+\.).+$", text, re.MULTILINE) == []


def test_what_is_not_translated_is_linked_in_english() -> None:
    pages = {path.stem for path in (ROOT / "docs/ja").glob("*.md")}
    assert pages == set(NAMES) - {"README"}
