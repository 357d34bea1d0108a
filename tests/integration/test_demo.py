"""The demo: one command, no cloud account."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from bqdump_local.demo import started_as

BIN = Path(sys.executable).parent


def demo(folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bqdump", "demo", "--folder", str(folder), *more]
    return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)


def test_the_demo_exports_its_tables_restores_three_and_prints_where_they_are(tmp_path: Path) -> None:
    folder = tmp_path / "a demo"
    done = demo(folder, "--tasks", "3")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Published 40 tables, " in done.stdout
    assert "Restored 2 tables and 1 other object, 4,000 rows, 2 tables compared value by value: equal" in done.stdout
    assert (
        "Proven restorable: 8 of 39 tables of the third export, 7,472 rows compared value by value: equal"
        in done.stdout
    )
    assert (done.stdout + done.stderr).count("columns that the format cannot hold") == 1
    target = folder / "demo-export"
    assert (target / "dummy_01/dummy_01_000000000000.csv").read_text().startswith("id,name,age\n")
    places = re.findall(rf"^.* ({re.escape(str(target))}/\S+)$", done.stdout, re.MULTILINE)
    assert len(places) == 3
    assert all(Path(place).exists() for place in places)
    printed = done.stdout.splitlines()[-1].removeprefix("In a browser:").strip()
    assert printed == shlex.join([sys.executable, "-m", "bqdump", "ui", "--to", str(target)])
    command = shlex.split(printed.replace(" ui ", " runs "))
    assert "complete" in subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_the_demo_does_not_touch_the_files_of_others(tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("mine")
    done = demo(tmp_path)
    assert done.returncode == 2
    assert "the folder contains files that are not from a demo" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["precious.txt"]


@pytest.mark.parametrize(
    ("called", "path", "started"),
    [
        ("bqdump/__main__.py", "", shlex.join([sys.executable, "-m", "bqdump"])),
        (".venv/bin/bqdump", "", ".venv/bin/bqdump"),
        (str(BIN / "bqdump"), str(BIN), "bqdump"),
        (str(BIN / "bqdump"), "", shlex.quote(str(BIN / "bqdump"))),
        ("my tools/bqdump", str(BIN), "'my tools/bqdump'"),
    ],
)
def test_printed_commands_start_bqdump_as_it_was_started(
    called: str, path: str, started: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", [called])
    monkeypatch.setenv("PATH", path)
    assert started_as() == started
