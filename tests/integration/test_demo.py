"""The demonstration: one command, without a cloud."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def demo(folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bqdump", "demo", "--folder", str(folder), *more]
    return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)


def test_the_demo_exports_its_tables_and_tells_where_they_are(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    done = demo(folder, "--tasks", "3")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Published. 38 tables, " in done.stdout
    target = folder / "demo-export"
    assert (target / "dummy_01/dummy_01_000000000000.csv").read_text().startswith("id,name,age\n")
    places = [line.split()[-1] for line in done.stdout.splitlines() if str(target) in line and "more" not in line]
    assert len(places) == 4
    assert all(Path(place).exists() for place in places)


def test_the_demo_does_not_touch_a_folder_that_is_not_its_own(tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("mine")
    done = demo(tmp_path)
    assert done.returncode == 2
    assert "it holds files that no demo has made" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["precious.txt"]
