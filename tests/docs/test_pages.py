"""The pages name flags and pages that exist."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from bqdump import __version__
from bqdump.repository.complete_runs import LAST_WITHOUT_LOG
from docs.walk import ROOT


@pytest.mark.parametrize("page", ["docs/coming-from.md"])
def test_flags_that_are_named_exist(page: str) -> None:
    known = (ROOT / "docs/commands.md").read_text() + (ROOT / "docs/settings.md").read_text()
    text = (ROOT / page).read_text()
    right = [row.rpartition(" | ")[2] for row in re.findall(r"^\| .* \|$", text, re.MULTILINE)]
    flags = re.findall(r"(?<![\w-])--[a-z][a-z-]+", " ".join(right))
    assert flags
    assert all(f"`{flag}" in known or f"`--{flag.removeprefix('--no-')}" in known for flag in flags)


def test_links_lead_to_pages_and_headings_that_exist() -> None:
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/*.md")]
    links = [
        (page, page.parent / target if target else page, anchor)
        for page in pages
        for target, anchor in re.findall(r"\]\(([^)#\s]*)(?:#([^)]*))?\)", page.read_text())
        if "://" not in target
    ]
    assert len(links) > 200
    assert [(page, linked) for page, linked, _ in links if not linked.exists()] == []
    assert [link for link in links if link[2] and link[2] not in anchors(link[1])] == []


@cache
def anchors(page: Path) -> set[str]:
    text = re.sub(r"^ *```.*?^ *```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]))
def test_zsh_takes_the_commands_as_they_are_pasted_without_comments_and_with_patterns_in_quotes(page: Path) -> None:
    blocks = re.findall(r"^ *```sh\n(.*?)^ *```", page.read_text(), re.DOTALL | re.MULTILINE)
    assert [line for block in blocks for line in block.splitlines() if re.search(r"(^|\s)#", line)] == []
    bare = re.sub(r"\"(\\.|[^\"\\])*\"|'[^']*'", "", "\n".join(blocks))
    assert re.findall(r"\S*[*?]\S*", bare) == []


def test_the_index_names_every_page() -> None:
    docs = ROOT / "docs"
    index = (docs / "README.md").read_text()
    missing = [page.name for page in ROOT.glob("docs/**/*.md") if f"]({page.relative_to(docs)})" not in index]
    assert missing == ["README.md", "README.md"]


def test_documented_commands_that_select_tables_write_below_a_prefix_of_their_own() -> None:
    text = (ROOT / "docs/coming-from.md").read_text()
    lines = [line for line in text.splitlines() if "--include" in line and "--bucket" in line]
    assert lines
    assert [line for line in lines if "--prefix" not in line] == []


def test_the_changelog_begins_with_this_version_and_the_upgrade_page_names_what_reads_older_exports() -> None:
    sections = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert sections[0] == __version__
    assert f"names the last commit which reads them: `{LAST_WITHOUT_LOG}`" in (ROOT / "docs/upgrade.md").read_text()
