"""The demo: one command, no cloud account."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from bqdump_local.demo import DATASET, PROJECT, TARGET, started_as

RESTORED = "39 tables and 1 other object, 214,909 rows, 39 tables"
IDEAS = Path(__file__).parents[2] / "docs/ideas.md"
BIN = Path(sys.executable).parent


def demo(folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bqdump", "demo", "--folder", str(folder), *more]
    return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)


def test_the_demo_backs_up_a_dataset_as_init_does_loses_it_and_brings_it_back(tmp_path: Path) -> None:
    folder = tmp_path / "a demo"
    done = demo(folder, "--tasks", "3")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) <= 12
    steps = [re.sub(r"[\d,.]+ [kKM]?B|[\d.]+ s$", "…", line) for line in lines[2:-3]]
    assert steps == [
        "bqdump run with 3 tasks, night-1: exported 40 of 40 tables, …, in …",
        "bqdump run, night-2: exported 40 of 40 tables, …, in …",
        "bqdump run, night-3: dummy_02 and dummy_03 changed: exported 3 of 40 tables, …, 37 unchanged (…), in …",
        "The dataset sales is deleted.",
        f"bqdump restore --into sales --verify: restored {RESTORED} compared value by value: equal, in …",
    ]
    names = ("--project", PROJECT, "--dataset", DATASET, "--bucket", TARGET, "--output", str(tmp_path / "own.toml"))
    subprocess.run([sys.executable, "-m", "bqdump", "init", *names], check=True, capture_output=True)
    assert (folder / "bqdump.toml").read_text() == (tmp_path / "own.toml").read_text()
    target = folder / "my-exports"
    drawn = re.findall(r"^(night-\d)/ +(\d+) tables$", IDEAS.read_text(), re.MULTILINE)
    assert drawn == [(night.name, str(len([*night.iterdir()]))) for night in sorted(target.glob("night-*"))]
    files, report = (Path(line.partition(":")[2].strip()) for line in lines[-3:-1])
    assert files.read_bytes().startswith(b"PAR1")
    assert "<html" in report.read_text()
    printed = lines[-1].removeprefix("Console:").strip()
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
