"""What holds for the source as a whole, so that a newcomer can find the way in it."""

from __future__ import annotations

import re

from docs.walk import ROOT

SOURCE = ROOT / "src"
MODULES = sorted(SOURCE.rglob("*.py"))


def test_variables_of_loops_say_what_they_hold() -> None:
    nameless = [
        f"{path.relative_to(SOURCE)}:{number}"
        for path in MODULES
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if re.search(r"\bfor one in\b", line)
    ]
    assert len(nameless) < 40, nameless
