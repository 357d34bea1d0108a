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
    return {path.stem for path in folder.iterdir() if path.stem != "__init__"}


def names(text: str) -> set[str]:
    return set(re.findall(r"`([a-z_]+)`", text))


def packages() -> list[str]:
    return [
        name for row in re.findall(r"^\| (`bqdump.*?) \|", PAGE, re.MULTILINE) for name in re.findall(r"`(.*?)`", row)
    ]


def test_the_map_has_every_package() -> None:
    inside = {f"bqdump.{path.name}" for path in (SOURCE / "bqdump").iterdir() if (path / "__init__.py").exists()}
    assert inside <= set(packages())
    assert all(
        (SOURCE / name.replace(".", "/")).exists() or (SOURCE / f"{name.replace('.', '/')}.py").exists()
        for name in packages()
    )


@pytest.mark.parametrize("package", ["check", "export", "observe", "repository", "ports", "ui"])
def test_modules_that_the_map_names_exist(package: str) -> None:
    (row,) = re.findall(rf"^\| `bqdump.{package}` \| (.*) \|$", PAGE, re.MULTILINE)
    assert names(row)
    assert names(row) <= modules(f"bqdump.{package}")


@pytest.mark.parametrize("page", sorted(ROOT.glob("docs/**/*.md")), ids=lambda page: page.name)
def test_files_of_the_source_that_a_page_names_exist(page: Path) -> None:
    inside = "core|check|export|observe|repository|adapters|ports|cli|ui|pages|render"
    for name in re.findall(rf"`((?:{inside})/[a-z_/]+\.py)`", page.read_text()):
        assert (SOURCE / "bqdump" / name).exists(), name
