"""Log events: each one is documented, emitted, and on every line that an operator sees."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from bqdump.core.pages import page
from bqdump.core.progress.log_events import LogEvent, help_of
from docs.walk import ROOT

SOURCES = [path for package in ("bqdump", "bqdump_claims") for path in (ROOT / "src" / package).rglob("*.py")]
LEVELS = ("info", "warning", "error", "exception", "critical", "log")


def calls(tree: ast.AST) -> Iterator[ast.Call]:
    """The calls of a logger at INFO and above."""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and isinstance(node.func.value, ast.Name)
            and node.func.value.id == "log"
            and node.func.attr in LEVELS
        ):
            yield node


EVENTS = (ROOT / "docs/events.md").read_text()
ROW = re.compile(r"^\| `([a-z_]+)` \| ([A-Z, ]+) \| [^|]+ \| ([^|]+) \|$", re.MULTILINE)


def test_every_event_is_documented_with_what_to_do() -> None:
    assert sorted(event for event, _, _ in ROW.findall(EVENTS)) == sorted(event.value for event in LogEvent)


def test_the_address_in_a_line_is_the_section_that_the_table_of_events_names() -> None:
    sections = {
        event: (re.findall(r"\]\(([^)]+)\)", what_to_do) or ["#log-lines"])[0]
        for event, levels, what_to_do in ROW.findall(EVENTS)
        if levels != "INFO"
    }
    assert len(sections) > 60
    assert {event: help_of(event) for event in sections} == {
        event: f"docs/{'events.md' * address.startswith('#')}{address}" for event, address in sections.items()
    }


def test_every_address_in_a_line_is_of_a_section_that_exists() -> None:
    addresses = {help_of(event) for event in LogEvent}
    names = {address.partition("#")[0] for address in addresses}
    texts = {name: (ROOT / name).read_text() for name in names}
    headings = {
        f"{name}{page('', heading).removeprefix('docs/')}"
        for name, text in texts.items()
        for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    }
    assert addresses - headings == set()


def test_every_event_is_emitted() -> None:
    emitted = {
        name for path in SOURCES for name in re.findall(r"LogEvent\.([A-Z_]+)\b(?:\.extra\(|\))", path.read_text())
    }
    assert emitted == {event.name for event in LogEvent}


def test_every_log_line_has_an_event() -> None:
    found = [(path, call) for path in SOURCES for call in calls(ast.parse(path.read_text()))]
    assert len(found) > 30
    bare = [f"{path}:{call.lineno}" for path, call in found if "extra" not in [word.arg for word in call.keywords]]
    assert bare == []
