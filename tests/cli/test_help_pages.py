"""bqdump help shows the pages and sections that log lines, alerts and links name, also where there is no clone."""

from __future__ import annotations

import re

import pytest

from bqdump.cli.main import start
from bqdump.core.progress.log_events import LogEvent, help_of
from docs.test_pages import anchors
from docs.walk import ROOT

PAGES = sorted((ROOT / "docs").glob("*.md"))


def shown(capsys: pytest.CaptureFixture[str], address: str) -> str:
    assert start(["help", address]) == 0
    return capsys.readouterr().out


def test_each_address_of_a_log_line_is_shown_from_its_heading(capsys: pytest.CaptureFixture[str]) -> None:
    addresses = {help_of(event) for event in LogEvent}
    assert len(addresses) > 10
    for address in addresses:
        page, _, section = address.partition("#")
        text = shown(capsys, address)
        assert text.rstrip() in (ROOT / page).read_text()
        assert re.match("##+ " if section else "# ", text), address


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_each_anchor_of_a_page_is_a_section_up_to_the_next_heading_of_its_level(
    page: object, capsys: pytest.CaptureFixture[str]
) -> None:
    (path,) = [found for found in PAGES if found == page]
    assert shown(capsys, f"docs/{path.name}") == path.read_text()
    for anchor in anchors(path):
        text = shown(capsys, f"{path.name}#{anchor}")
        level = len(text) - len(text.lstrip("#"))
        headings = re.findall("^(#+) ", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)
        assert [len(heading) for heading in headings[1:] if len(heading) <= level] == []


@pytest.mark.parametrize(
    ("address", "answer"),
    [
        ("operate#a-drill-faild", "the page has no such section. Did you mean `bqdump help operate#a-drill-failed`?"),
        ("operate#zzzzzzzz", "the page has no such section. Did you mean `bqdump help operate`?"),
        ("disastr", "unknown command. Did you mean `bqdump help disaster`?"),
        ("../../README/secret.md", "unknown command. `bqdump help` lists all commands."),
        ("/etc/passwd", "unknown command. `bqdump help` lists all commands."),
    ],
)
def test_what_is_no_page_gets_a_guess(address: str, answer: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert start(["help", address]) == 2
    assert capsys.readouterr().err.startswith(f"bqdump: {address}: {answer}")


def test_a_command_comes_before_the_page_of_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, "restore").startswith("Usage: bqdump restore")
    assert shown(capsys, "restore.md").startswith("# ")
    assert shown(capsys, "formats").startswith("For backups: parquet")
