"""`make sbom`: every package of an image is listed, with the license that it declares."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
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


def test_an_unknown_extra_is_one_clear_error(sbom: Any, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"^cannot list packages: unknown extra 'otell'. Known extras: .*otel, .*read"):
        sbom.write("read otell", tmp_path / "dist")
    assert not (tmp_path / "dist").exists()


def test_make_sbom_lists_every_package_of_an_image_with_several_extras(tmp_path: Path) -> None:
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    # The environment of this test is up to date.
    options = ("IMAGE=read otel", f"DIST={tmp_path}", f"BIN={Path(sys.executable).parent}")
    done = subprocess.run(
        ["make", "-s", "-o", ".venv/.dev", "sbom", *options], cwd=ROOT, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    bom, table = map(Path, done.stdout.splitlines())
    assert (bom.name, table.name) == ("bqdump-read-otel.cdx.json", "bqdump-read-otel-licenses.md")
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(bom.read_text()) is None
    document = json.loads(bom.read_text())
    assert (document["bomFormat"], document["metadata"]["component"]["name"]) == ("CycloneDX", "bqdump")
    found = {one["name"].lower().replace("_", "-"): one["version"] for one in document["components"]}
    texts = [(ROOT / f"requirements/{extra}.txt").read_text() for extra in ("read", "otel")]
    assert found == dict(pin for text in texts for pin in re.findall(r"^([\w.-]+)==([^\s;]+)", text, re.MULTILINE))
    assert {"click", "polars", "opentelemetry-sdk"} <= found.keys()
    assert "| msgspec |" in table.read_text()
