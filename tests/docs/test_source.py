"""What holds for the source as a whole, so that a newcomer can find the way in it."""

from __future__ import annotations

import re
from collections import Counter

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


def test_no_folder_has_more_modules_than_a_newcomer_can_survey() -> None:
    folders = Counter(str(path.parent.relative_to(SOURCE)) for path in MODULES if path.stem != "__init__")
    assert {folder: modules for folder, modules in folders.items() if modules > 20} == {}


def test_the_product_has_fewer_than_400_modules() -> None:
    assert len([path for path in MODULES if path.is_relative_to(SOURCE / "bqdump")]) < 400
