"""Ctrl-C at each import of a command, once and twice: exit code 130, and no stack trace."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import bqdump

SCRIPT = Path(__file__).with_name("interrupted.py")
LEAST = 40


@pytest.mark.parametrize("times", ["1", "2"])
@pytest.mark.parametrize("command", [("runs", "--to", "exports"), ("plan", "--to", "exports")])
def test_ctrl_c_is_clean_at_each_import(command: tuple[str, ...], times: str, tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, SCRIPT, times, *command],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    *unclean, last = [line for line in ran.stderr.splitlines() if not line.startswith("bqdump: ")]
    assert unclean == []
    assert last.endswith(" copies")
    assert int(last.split()[0]) > LEAST


def test_until_ctrl_c_is_dealt_with_next_to_nothing_is_imported() -> None:
    script = "import sys; before = set(sys.modules); import bqdump.cli.process; print(*set(sys.modules) - before)"
    source = Path(bqdump.__file__).parents[1]
    command = [sys.executable, "-S", "-c", script]
    ran = subprocess.run(command, env={"PYTHONPATH": str(source)}, capture_output=True, text=True, check=True)
    assert not {"collections", "enum", "re", "types", "typing"}.intersection(ran.stdout.split())
