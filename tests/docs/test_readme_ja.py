"""The Japanese README says the same as the English one, as far as a machine can tell."""

from __future__ import annotations

import re

from bqdump.cli.reference import README, README_JA, with_settings_ja
from docs.walk import ROOT, blocks

ENGLISH, JAPANESE = (ROOT / README).read_text(), (ROOT / README_JA).read_text()


def commands(page: str) -> list[str]:
    """The commands of a page, without the comments behind them."""
    return [line.partition(" #")[0].rstrip() for block in blocks(page) for line in block.splitlines()]


def rows(page: str) -> dict[str, str]:
    """The variable of each flag."""
    return dict(re.findall(r"^\| `(--[a-z-]+)` \| `([A-Z_]+)` \|", page, re.MULTILINE))


def test_the_commands_are_the_same() -> None:
    assert commands(str(README_JA)) == commands(str(README))


def test_the_settings_are_those_of_the_code_with_their_defaults() -> None:
    assert with_settings_ja(JAPANESE) == JAPANESE
    assert rows(JAPANESE) == rows(ENGLISH)


def test_it_has_the_same_chapters_and_promises() -> None:
    for pattern in (r"^## ", r"^- \*\*"):
        assert len(re.findall(pattern, JAPANESE, re.MULTILINE)) == len(re.findall(pattern, ENGLISH, re.MULTILINE))


def test_each_page_links_to_the_other() -> None:
    assert f"]({README_JA})" in ENGLISH
    assert f"]({README})" in JAPANESE


def test_a_translation_stays_when_the_table_is_made_anew() -> None:
    changed = JAPANESE.replace("| `--prefix` | `BQDUMP_PREFIX` |", "| `--prefix` | `OLD_NAME` |")
    assert changed != JAPANESE
    assert with_settings_ja(changed) == JAPANESE
