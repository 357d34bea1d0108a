"""The Japanese README matches the English one, as far as a test can see."""

from __future__ import annotations

import re

import pytest

from docs.walk import ROOT, blocks

ENGLISH, JAPANESE = (ROOT / "README.md").read_text(), (ROOT / "README.ja.md").read_text()


def commands(page: str) -> list[str]:
    """The commands of a page, without the comments behind them."""
    return [line.partition(" #")[0].rstrip() for block in blocks(page) for line in block.splitlines()]


def test_the_commands_are_the_same() -> None:
    assert commands("README.ja.md") == commands("README.md")


@pytest.mark.parametrize(
    "what",
    [
        r"^(#+) ",
        r"^- (?:\*\*|\*[a-z])()",
        r"^\| `(.*?)` \| `([A-Z_]+)` \|",
        r"^\| `((?:pip|uv|docker) .*?)` \|",
        r"^(?:Published|Uploaded|\d+ of) .*()",
        r"\]\(((?!README)[^)]*)\)",
    ],
    ids=["chapters", "points", "settings", "installation", "transcript", "links"],
)
def test_it_has_the_same(what: str) -> None:
    found = [re.findall(what, page, re.MULTILINE) for page in (ENGLISH, JAPANESE)]
    assert found[0]
    assert sorted(found[0]) == sorted(found[1])


def test_each_page_links_to_the_other() -> None:
    assert "](README.ja.md)" in ENGLISH
    assert "](README.md)" in JAPANESE
