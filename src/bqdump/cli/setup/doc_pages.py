"""The pages of the documentation, as `bqdump help` shows them: what a log line or an alert names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from bqdump.core.errors import UsageError
from bqdump.core.wording import close_name

FOLDER = Path(__file__).parents[2] / "docs"
ADDRESS = re.compile(r"(?:.*/)?(?P<page>[\w-]+?)(?:\.md)?(?:#(?P<section>[\w-]*))?")
HEADING = re.compile(r"(#+) (.+)")


def page_names() -> list[str]:
    """The names of all pages."""
    return sorted(path.stem for path in FOLDER.glob("*.md"))


def find_page(address: str) -> str:
    """A page, or one section of it: `operate`, `docs/operate.md`, `operate#a-drill-failed`. "" where there is no page.

    Raises UsageError for an unknown section.
    """
    named = ADDRESS.fullmatch(address)
    if not named or named["page"] not in page_names():
        return ""
    text = (FOLDER / f"{named['page']}.md").read_text(encoding="utf-8")
    if not named["section"]:
        return text
    sections = dict(_sections(text))
    if named["section"] in sections:
        return sections[named["section"]]
    close = close_name(named["section"], sections)
    meant = f"{named['page']}#{close}" if close else named["page"]
    raise UsageError("show", address, "the page has no such section", f"Did you mean `bqdump help {meant}`?")


def _sections(text: str) -> Iterator[tuple[str, str]]:
    """Each section with those below it, by the anchor that links have on a code host."""
    lines, in_code = text.splitlines(keepends=True), False
    headings = list[tuple[int, int, str]]()
    for number, line in enumerate(lines):
        in_code ^= line.startswith("```")
        if not in_code and (heading := HEADING.match(line)):
            headings.append((number, len(heading[1]), heading[2]))
    for place, (number, level, title) in enumerate(headings):
        end = next((later for later, other, _ in headings[place + 1 :] if other <= level), len(lines))
        anchor = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        yield anchor, "".join(lines[number:end])
