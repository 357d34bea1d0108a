"""What holds for the source as a whole, so that a newcomer can find the way in it."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from docs.walk import ROOT

SOURCE = ROOT / "src"
MODULES = sorted(SOURCE.rglob("*.py"))
WRITTEN = [*MODULES, *(path for folder in ("tests", "benchmarks") for path in sorted((ROOT / folder).rglob("*.py")))]
TEXT = re.compile(r'(?ms:^ *""".*?""")|(?m:(?:^|\s)# .*$)')
# What a path in a text may begin at.
ROOTS = (SOURCE / "bqdump", SOURCE, ROOT, ROOT / "tests")
ROOMS = sorted({path.stem for root in (SOURCE, SOURCE / "bqdump") for path in root.iterdir()} - {"__init__", "py"})
FILE = re.compile(r"(?<![\w/.{}:<>-])((?:\w+/)*\w+\.py)\b")
DOTTED = re.compile(rf"(?<![\w/.@:-])((?:{'|'.join(ROOMS)})(?:\.\w+)+)\b(?<!\.json)(?<!\.toml)(?<!\.md)(?<!\.py)(?!\()")


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


def texts(path: Path) -> Iterator[tuple[str, str]]:
    """The docstrings and comments of a module, each with its place."""
    source = path.read_text()
    for match in TEXT.finditer(source):
        line = source[: match.start()].count("\n") + 1
        yield f"{path.relative_to(ROOT)}:{line}", match[0]


@cache
def names_of(module: Path) -> set[str]:
    """What a module or package defines or imports, and the members of its classes."""
    if module.is_dir():
        inside = {child.stem for child in module.iterdir()}
        return inside | (names_of(module / "__init__.py") if (module / "__init__.py").exists() else set())
    names = set[str]()
    bodies = [ast.parse(module.read_text()).body]
    for body in bodies:
        for node in body:
            if isinstance(node, ast.ClassDef):
                bodies.append(node.body)
            if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
                names.add(node.name)
            elif isinstance(node, ast.ImportFrom) and node.names[0].name == "*":
                names |= names_of(SOURCE.joinpath(*(node.module or "").split(".")))
            elif isinstance(node, (ast.Import, ast.ImportFrom)):
                names.update(alias.asname or alias.name for alias in node.names)
            elif isinstance(node, ast.If):
                bodies.append(node.body)
            else:
                names.update(child.id for child in ast.walk(node) if isinstance(child, ast.Name))
    return names


def is_there(path: Path, *names: str) -> bool:
    """Whether a dotted name below a folder is that of a module, or of what a module defines."""
    for number, name in enumerate(names):
        if (module := path / f"{name}.py").exists():
            return names_of(module).issuperset(names[number + 1 :])
        if not (path / name).is_dir():
            return names_of(path).issuperset(names[number:])
        path /= name
    return True


def missing(path: Path, text: str) -> list[str]:
    """The modules, files and functions that a text names and that are not there."""
    beside = (*ROOTS, path.parent, path.parent.parent)
    files = [name for name in FILE.findall(text) if not any((folder / name).exists() for folder in beside)]
    dotted = {name for name in DOTTED.findall(text) if not any(is_there(root, *name.split(".")) for root in ROOTS)}
    return [*files, *sorted(dotted)]


def test_modules_and_functions_that_a_docstring_or_comment_names_exist() -> None:
    """A file by its path, `core/settings/file.py`, or a dotted name that begins with a room: `core.times.days_text`."""
    named = [(place, missing(path, text)) for path in WRITTEN for place, text in texts(path)]
    assert len(named) > 5000
    assert [(place, names) for place, names in named if names] == []


@pytest.mark.parametrize(
    ("text", "gone"),
    [
        ("See core/times.py, rooms.py and src/bqdump/core/times.py.", []),
        ("See core.times.days_text, bqdump.core.times and core.settings.", []),
        ("See https://example.com/core/gone.py, gone.md, tables.get, and bqdump.toml.", []),
        ("Types are in core/formats/unfit.py.", ["core/formats/unfit.py"]),
        ("It never retries: see adapters.retry.store.", ["adapters.retry.store"]),
        ("See core.times.gone and gone.py.", ["gone.py", "core.times.gone"]),
    ],
)
def test_what_a_text_names_is_looked_for(text: str, gone: list[str]) -> None:
    assert missing(Path(__file__), text) == gone
