"""`make sbom`: every locked package is listed, with the license that it declares."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def sbom() -> Any:
    spec = importlib.util.spec_from_file_location("sbom", ROOT / "deploy/sbom.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("licenses", "shown"),
    [
        ([{"expression": "Apache-2.0 OR MIT"}], "Apache-2.0 OR MIT"),
        ([{"license": {"id": "MIT"}}, {"license": {"name": "License :: OSI Approved :: MIT License"}}], "MIT"),
        ([{"license": {"name": "License :: OSI Approved :: BSD License"}}], "BSD License"),
        ([{"license": {"name": "Copyright (c)\nall of it"}}], "Copyright (c)"),
        ([], "not declared in a standard form"),
    ],
)
def test_a_license_is_shown_as_precisely_as_it_is_declared(sbom: Any, licenses: Any, shown: str) -> None:
    assert sbom.license_of({"licenses": licenses}) == shown


def test_packages_are_sorted_by_name(sbom: Any) -> None:
    made = sbom.licenses({"components": [{"name": "Jinja2", "version": "3"}, {"name": "click", "version": "8"}]})
    assert re.findall(r"^\| (\w+) \| \d", made, re.MULTILINE) == ["click", "Jinja2"]


def test_an_environment_is_described_with_its_packages(sbom: Any, tmp_path: Path) -> None:
    sbom.describe(Path(sys.executable), tmp_path / "bom.json")
    document = json.loads((tmp_path / "bom.json").read_text())
    assert (document["bomFormat"], document["metadata"]["component"]["name"]) == ("CycloneDX", "bqdump")
    found = {one["name"].lower(): one["version"] for one in document["components"]}
    locked = dict(re.findall(r"^([\w.-]+)==([^\s;]+)", (ROOT / "requirements/dev.txt").read_text(), re.MULTILINE))
    assert {name: found[name] for name in ("click", "msgspec", "jinja2")} == {
        name: locked[name] for name in ("click", "msgspec", "jinja2")
    }
    assert "| msgspec |" in sbom.licenses(document)
