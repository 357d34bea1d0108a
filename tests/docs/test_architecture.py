"""The page on how bqdump works: its picture is that of the code, and it names packages and modules that are there."""

from __future__ import annotations

import re

import pytest

from docs import rooms
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


def test_the_picture_is_that_of_the_code() -> None:
    # After a change: python -m tests.docs.rooms
    assert rooms.PICTURE.read_text() == rooms.picture()


def test_a_circle_of_imports_is_found() -> None:
    with pytest.raises(ValueError, match="a circle of imports: a → b → a"):
        rooms.floors({"a": {"b"}, "b": {"a"}})


def test_the_picture_leaves_out_imports_that_follow_from_others() -> None:
    edges = {"top": {"middle", "bottom"}, "middle": {"bottom"}, "bottom": set[str]()}
    assert rooms.shown(edges) == {"top": ["middle"], "middle": ["bottom"], "bottom": []}


def test_there_are_at_most_ten_floors() -> None:
    assert max(rooms.floors(rooms.imports()).values()) < 10


def test_the_glossary_has_at_most_15_words() -> None:
    words = PAGE.partition("## Words")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ([\w ]+) \| .* \|$", words, re.MULTILINE)
    assert 10 < len(rows[1:]) <= 15


@pytest.mark.parametrize("package", ["check", "export", "observe", "repository", "ports"])
def test_modules_that_the_map_names_exist(package: str) -> None:
    (row,) = re.findall(rf"^\| `bqdump.{package}` \| (.*) \|$", PAGE, re.MULTILINE)
    assert names(row)
    assert names(row) <= modules(f"bqdump.{package}")


def test_files_of_the_source_that_a_page_names_exist() -> None:
    inside = "core|check|export|observe|repository|adapters|ports|cli|ui|pages|render"
    pages = [ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/**/*.md")]
    named = [
        name
        for page in pages
        for name in re.findall(rf"`(?:src/bqdump/)?((?:{inside})/[a-z_/]+\.py)`", page.read_text())
    ]
    assert len(named) > 5
    assert [name for name in named if not (SOURCE / "bqdump" / name).exists()] == []
