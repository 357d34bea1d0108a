"""Log events: each one is documented, emitted, and on every line that an operator sees."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from bqdump.core.progress.log_events import LogEvent
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


def test_every_event_is_documented_with_what_to_do() -> None:
    page = (ROOT / "docs/events.md").read_text()
    rows = re.findall(r"^\| `([a-z_]+)` \| [A-Z, ]+ \| [^|]+ \| [^|]+ \|$", page, re.MULTILINE)
    assert sorted(rows) == sorted(event.value for event in LogEvent)


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
