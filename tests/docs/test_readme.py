"""The README's commands work as they are written there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bqdump_local.stack import running
from docs.walk import seed_few, shell

ROOT = Path(__file__).parents[2]
SVG = "{http://www.w3.org/2000/svg}"


def blocks() -> list[str]:
    return re.findall(r"^```sh\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)


def test_the_first_block_is_the_two_commands_and_the_makefile_has_them() -> None:
    targets = [line.split()[1] for line in blocks()[0].splitlines()]
    assert targets == ["demo", "test"]
    makefile = (ROOT / "Makefile").read_text()
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets)


def test_the_backup_is_made_proven_and_restored(tmp_path: Path) -> None:
    with running(root=tmp_path / "buckets") as stack:
        seed_few(stack)
        printed = shell(blocks()[1], tmp_path, stack.variables())
        runs = shell("bqdump runs --json", tmp_path, stack.variables())
    assert '"state": "complete"' in runs
    assert "proven" in printed
    assert list((tmp_path / "buckets/my-exports").glob("*/dummy_01/dummy_01_000000000000.parquet"))


def test_the_costs_are_those_of_the_script() -> None:
    command = [sys.executable, "-m", "benchmarks.a_year"]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    rows = [line for line in printed.splitlines() if line.startswith("|")]
    assert len(rows) == 4
    assert [row for row in rows if row not in (ROOT / "README.md").read_text()] == []


@pytest.mark.parametrize("name", ["restored", "restored-dark"])
def test_the_picture_shows_a_dataset_that_is_gone_and_comes_back(name: str) -> None:
    lines = ["".join(line.itertext()) for line in ElementTree.parse(ROOT / f"docs/{name}.svg").iter(f"{SVG}text")]
    typed = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    assert typed == ["bqdump runs", "bqdump plan", "bqdump restore --into sales --verify"]
    assert any("cannot find dataset my-project.sales" in line for line in lines)
    assert lines[-1] == "39 tables compared value by value: equal."


def test_the_script_is_replaced(tmp_path: Path) -> None:
    with running(root=tmp_path / "buckets") as stack:
        seed_few(stack)
        printed = shell(blocks()[2], tmp_path, stack.variables())
    assert (tmp_path / "buckets/my-exports/dummy_01/dummy_01_000000000000.csv").exists()
    assert "4 of 4 tables done" in printed
    assert "Every file is there" in printed
