"""The pages that are made from the code are as the code makes them."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from pathlib import Path
from typing import get_type_hints

import pytest

from bqdump.api.arguments import Options
from bqdump.cli import exit_codes
from bqdump.core.formats import formats
from bqdump.core.formats.fidelity import CELLS
from bqdump.core.formats.types import TYPES
from bqdump.core.settings.settings import SETTINGS
from bqdump_reference.arguments import arguments_module
from bqdump_reference.commands_page import commands, commands_page
from bqdump_reference.pages import (
    ARGUMENTS,
    COMMANDS,
    CONFIRMED,
    FORMATS,
    SETTINGS_PAGE,
    documents,
    schema,
    settings_page,
    with_types,
)
from bqdump_reference.types_page import read_confirmed
from json_schema import problems

ROOT = Path(__file__).parents[2]


def test_the_page_on_settings_has_every_setting() -> None:
    page = (ROOT / SETTINGS_PAGE).read_text()
    assert page == settings_page()
    assert all(f"| `{setting.flag}` | `{setting.env}` |" in page for setting in SETTINGS)


def test_python_takes_a_timedelta_for_every_duration() -> None:
    durations = [setting.name for setting in SETTINGS if setting.metavar == "TIME" and setting.name != "snapshot_time"]
    hints = get_type_hints(Options)
    assert {name: hints[name] for name in durations} == dict.fromkeys(durations, str | timedelta | None)


def test_the_page_on_formats_has_every_type() -> None:
    page = (ROOT / FORMATS).read_text()
    assert with_types(page, read_confirmed(ROOT / CONFIRMED)) == page
    assert all(page.count(f"\n| {type_} |") >= 4 for type_ in TYPES)


@pytest.mark.parametrize("route", CELLS)
def test_the_page_on_formats_has_the_codecs_of_every_route(route: str) -> None:
    page = (ROOT / FORMATS).read_text()
    (line,) = [line for line in page.splitlines() if line.startswith(f"| `--compression`, {route} route |")]
    reported = [tuple(re.findall("`([a-z]+)`", cell)) for cell in line.split("|")[2:-1]]
    able = {name for name, cells in CELLS[route].items() if any(cell.holds != "no" for cell in cells.values())}
    assert reported == [formats.codecs(route, name) if name in able else () for name in formats.FORMATS]


def test_the_page_on_commands_is_as_the_commands_are() -> None:
    page = (ROOT / COMMANDS).read_text()
    assert page == commands_page()
    headings = [f"## bqdump {' '.join(found.words)}\n" for found in commands()]
    assert headings
    assert all(heading in page for heading in headings)


def test_the_arguments_of_the_python_api_are_the_settings() -> None:
    assert (ROOT / ARGUMENTS).read_text() == arguments_module()


def test_every_exit_code_is_explained() -> None:
    explained = [code for codes, _ in exit_codes.MEANINGS for code in codes]
    assert explained == sorted(
        value for name, value in vars(exit_codes).items() if name.isupper() and isinstance(value, int)
    )


def test_every_json_has_a_schema() -> None:
    requested = {found.words for found in commands() for param in found.command.params if "--json" in param.opts}
    assert requested == {found.words for found in commands() if found.json}
    assert {words for words in requested if len(words) == 1} >= {
        ("run",), ("plan",), ("status",), ("runs",), ("diff",), ("report",), ("verify",)
    }  # fmt: skip


@pytest.mark.parametrize("path", documents(), ids=str)
def test_the_schemas_are_the_documents(path: Path) -> None:
    assert (ROOT / path).read_text() == schema(documents()[path])


@pytest.mark.parametrize("path", documents(), ids=str)
def test_the_schemas_are_valid_and_refuse_other_documents(path: Path) -> None:
    made = json.loads(schema(documents()[path]))
    assert problems({"run": 7}, made)


def test_no_schema_is_left_of_a_document_that_has_gone() -> None:
    assert {path.relative_to(ROOT) for path in ROOT.glob("docs/*.schema.json")} == set(documents())
