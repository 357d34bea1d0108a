"""Every benchmark runs and prints its table, at a size that measures nothing."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
# The output of each script, and its arguments.
SCRIPTS = {
    "console": (r"verification: \d+\.\d\d s, again \d+\.\d\d s \(.* of the baseline\), \d+ KB$", ""),
    "load_memory": (r"tasks 1× 2× 4×: memory 1\.00 \d+\.\d\d \d+\.\d\d$", ""),
    "load_processes": (r"4 tables × +2 tasks: .* MiB in the largest task, \d+ s$", ""),
    "makespan": (r"^bqdump, one task, with planning +\d+\.\d\d +\d+\.\d\d ", ""),
    "naive": (r"^bqdump, 2 tasks +\d+\.\d\d +\d\.\d{3} +\d+\.\d\d +\d\.\d{3} +30$", ""),
    "planning": (r"^balance: .*largest first 1\.\d{3}, in turn \d\.\d{3}", ""),
    "read_route": (r"^csv\.gz +\d\.\d\d GB of Arrow within RLIMIT_DATA 512 MiB", "--rounds 1 --without-pandas"),
    "request_counts": (r"^bqdump, 10 tasks, first export", ""),
    "restore_makespan": (r"^bqdump restore, one task +\d+\.\d\d +\d+\.\d\d ", ""),
    "restore_tpch": (r"^read    parquet .* restore .* s +\d+\.\d\d  checksums equal$", ""),
    "start_up": (r"^bqdump run +\d\.\d{3} +\d\.\d{3} +1\.00 +1\.00$", "1"),
}


def test_every_script_is_tested() -> None:
    scripts = {path.stem for path in (ROOT / "benchmarks").glob("*.py") if "\ndef main(" in path.read_text()}
    assert scripts == set(SCRIPTS)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_runs_to_completion(script: str) -> None:
    table, arguments = SCRIPTS[script]
    command = [sys.executable, "-m", f"benchmarks.{script}", *arguments.split()]
    environment = {**os.environ, "BENCHMARK": "tiny"}
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert re.search(table, ran.stdout, re.MULTILINE), ran.stdout
