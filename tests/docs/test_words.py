"""Pages stay short enough to be read: guides, reference, and each page that must fit a screen or five minutes."""

from __future__ import annotations

import re

import pytest

from docs.walk import ROOT

# The index, and the page for those who read the code.
OTHERS = ("README", "ARCHITECTURE")
PAGES = {page.stem: page.read_text() for page in ROOT.glob("docs/*.md")}


def words(text: str) -> int:
    """Words, also in tables and commands; not the marks of tables and lists, and not what commands print."""
    text = re.sub(r"^```text\n.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    return sum(1 for word in text.split() if re.search(r"\w", word))


def test_guides_and_reference_pages_have_at_most_26000_words() -> None:
    assert sum(words(text) for name, text in PAGES.items() if name not in OTHERS) <= 26_000


@pytest.mark.parametrize(
    ("page", "most"),
    [("operate", 1_650), ("recipes", 1_200), ("quickstart", 500), ("ideas", 600), ("ARCHITECTURE", 1_000)],
)
def test_a_page_fits_its_purpose(page: str, most: int) -> None:
    assert words(PAGES[page]) <= most


def test_the_first_page_has_at_most_1200_words() -> None:
    assert len((ROOT / "README.md").read_text().split()) <= 1_200


def test_the_runbook_leads_to_a_section_within_its_first_screen() -> None:
    first = "\n".join(PAGES["operate"].splitlines()[:32])
    sections = re.findall(r"^### (.*)$", PAGES["operate"], re.MULTILINE)
    assert len(sections) > 15
    assert [name for name in sections if f"](#{name.lower().replace(' ', '-')})" not in first] == []
