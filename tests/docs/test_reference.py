"""The pages that are made from the code are as the code makes them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from bqdump.cli.reference import FORMATS, README, SCHEMAS, schema, with_settings, with_types
from bqdump.core import formats
from bqdump.core.documents import Latest, Manifest
from bqdump.core.fidelity import CELLS
from bqdump.core.settings import SETTINGS
from bqdump.core.types import TYPES
from bqdump.flow.verify import Verified

ROOT = Path(__file__).parents[2]


def test_the_readme_has_every_setting() -> None:
    page = (ROOT / README).read_text()
    assert with_settings(page) == page
    assert all(setting.env in page for setting in SETTINGS)


def test_the_page_on_formats_has_every_type() -> None:
    page = (ROOT / FORMATS).read_text()
    assert with_types(page) == page
    assert all(page.count(f"\n| {type_} |") >= 4 for type_ in TYPES)


@pytest.mark.parametrize("route", CELLS)
def test_the_page_on_formats_has_the_codecs_of_every_route(route: str) -> None:
    page = (ROOT / FORMATS).read_text()
    (line,) = [line for line in page.splitlines() if line.startswith(f"| `--compression`, {route} route |")]
    told = [tuple(re.findall("`([a-z]+)`", cell)) for cell in line.split("|")[2:-1]]
    able = {name for name, cells in CELLS[route].items() if any(cell.holds != "no" for cell in cells.values())}
    assert told == [formats.codecs(route, name) if name in able else () for name in formats.FORMATS]


@pytest.mark.parametrize("path", SCHEMAS)
def test_the_schemas_are_the_documents(path: Path) -> None:
    assert (ROOT / path).read_text() == schema(SCHEMAS[path])


@pytest.mark.parametrize("document", [Manifest, Latest, Verified])
def test_the_schemas_are_valid_and_refuse_other_documents(
    document: type[Manifest] | type[Latest] | type[Verified],
) -> None:
    made = json.loads(schema(document))
    Draft202012Validator.check_schema(made)
    assert not Draft202012Validator(made).is_valid({"run": 7})


@pytest.mark.parametrize("page", sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for part in page.read_text().split("](")[1:]:
        target = part.split(")")[0].split("#")[0]
        if target and "://" not in target:
            assert (page.parent / target).exists(), f"{page.name}: {target}"
