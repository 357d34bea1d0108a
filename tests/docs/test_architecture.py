"""The page on how bqdump works names modules that are there, and places every module of the core."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from docs.walk import ROOT

PAGE = (ROOT / "docs/ARCHITECTURE.md").read_text()
SOURCE = ROOT / "src"


def modules(package: str) -> set[str]:
    folder = SOURCE / package.replace(".", "/")
    return {path.stem for path in folder.glob("*.py") if path.stem != "__init__"}


def names(text: str) -> set[str]:
    return set(re.findall(r"`([a-z_]+)`", text))


@pytest.mark.parametrize("package", ["bqdump.flow", "bqdump.ports", "bqdump.ui"])
def test_modules_that_the_map_names_exist(package: str) -> None:
    (row,) = re.findall(rf"^\| `{re.escape(package)}` \| (.*?) \|", PAGE, re.MULTILINE)
    assert names(row)
    assert names(row) <= modules(package)


def test_every_module_of_the_core_has_its_subject() -> None:
    section = PAGE.partition("### Core by subject")[2].partition("\n## ")[0]
    assert names(section) == modules("bqdump.core")


@pytest.mark.parametrize("page", sorted(ROOT.glob("docs/*.md")), ids=lambda page: page.name)
def test_files_of_the_source_that_a_page_names_exist(page: Path) -> None:
    for name in re.findall(r"`((?:core|flow|adapters|ports|cli|ui|pages|render)/[a-z_]+\.py)`", page.read_text()):
        assert (SOURCE / "bqdump" / name).exists(), name
