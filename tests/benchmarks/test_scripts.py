"""Every benchmark runs and prints its table, at a size that measures nothing."""

from __future__ import annotations

import importlib
import os
import re
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import page

ROOT = Path(__file__).parent.parent.parent
# The output of each script, and its arguments.
SCRIPTS = {
    "a_year": (r"^\| without `--incremental` \| 20\.0 TB \| \$3,434 \| \$9 \|$", ""),
    "console": (r"verification: \d+\.\d\d s, again \d+\.\d\d s \(.* of the baseline\), \d+ KB$", ""),
    "copy": (r"^bqdump copy +\d+\.\d\d +\d+\.\d\d +\d+$", ""),
    "datasets": (r"^3 datasets of 4 tables +\d+\.\d +\d+\.\d\d +\d+ requests +\d+\.\d\d ", ""),
    "few_tables": (r"^2 tables, 10,000 tasks, 1 alive +\d+\.\d\d +1\.\d\d of one task", ""),
    "history": (r"^run +\d+ +\d\.\d\d +\d\.\d\d +[\d,]+ +\d+\.\d\d +\d+\.\d\d( +[\d,]+){3}$", ""),
    "iceberg": (r"^20 tables × 2 files +\d+\.\d\d +\d+ +\d+\.\d\d +\d+ +\d+\.\d{3} +\d+\.\d\d$", ""),
    "incremental": (r"^extract jobs +20 +1 +0\.050$", ""),
    "load_memory": (r"tasks 1× 2× 4×: memory 1\.00 \d+\.\d\d \d+\.\d\d$", ""),
    "load_processes": (r"4 tables × +2 tasks: .* MiB in the largest task, \d+ s$", ""),
    "makespan": (r"^bqdump, one task, with planning +\d+\.\d\d +\d+\.\d\d ", ""),
    "naive": (r"^bqdump, 2 tasks +\d+\.\d\d +\d+\.\d{3} +\d+\.\d\d +\d+\.\d{3} +2$", ""),
    "nights": (r"^all +\d+ +\d+ +1\.\d\d +\d\.\d\d$", ""),
    "partitions": (r"^export: time \d+\.\d\d and requests \d+\.\d\d of the ideal, memory \d+\.\d\d of 512 MiB$", ""),
    "planning": (r"^balance: .*largest first 1\.\d{3}, in turn \d+\.\d{3}", ""),
    "read_route": (r"^csv\.gz +\d+\.\d\d GB of Arrow within RLIMIT_DATA 512 MiB", "--rounds 1 --without-pandas"),
    "request_counts": (r"^bqdump, 10 tasks, first export", ""),
    "restore_makespan": (r"^bqdump restore, a folder for each run +\d+\.\d\d +\d+\.\d\d ", ""),
    "restore_tpch": (r"^read    parquet .* restore .* s +\d+\.\d\d  checksums equal$", ""),
    "start_up": (r"^bqdump run +\d+\.\d{3} +\d+\.\d{3} +1\.00 +1\.00$", "1"),
}
# These run in this process: what they start is a start of a test, and so a fork (see warm_start).
IN_THIS_PROCESS = {
    "a_year",
    "console", "datasets", "few_tables", "history", "iceberg", "incremental", "load_processes", "makespan", "naive",
    "nights", "partitions", "planning", "request_counts", "restore_makespan", "restore_tpch",
}  # fmt: skip


def test_every_script_is_tested() -> None:
    scripts = {path.stem for path in (ROOT / "benchmarks").glob("*.py") if "\ndef main(" in path.read_text()}
    assert scripts == set(SCRIPTS)


@pytest.mark.parametrize("script", sorted(set(SCRIPTS) - IN_THIS_PROCESS))
def test_a_script_runs_to_completion(script: str) -> None:
    table, arguments = SCRIPTS[script]
    command = [sys.executable, "-m", f"benchmarks.{script}", *arguments.split()]
    environment = {**os.environ, "BENCHMARK": "tiny"}
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert re.search(table, ran.stdout, re.MULTILINE), ran.stdout


def test_every_table_of_the_read_route_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCHMARK", "tiny")
    monkeypatch.syspath_prepend(ROOT)
    tables = importlib.import_module("benchmarks.read_route_tables")
    for name in tables.TABLES:
        made = tables.table(name, 50)
        assert (made.num_rows, made.column_names) == (50, list(tables.COLUMNS[name]))


@pytest.fixture
def own_environment() -> Iterator[None]:
    """Scripts lead Google's clients to their stack."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.mark.parametrize("script", sorted(IN_THIS_PROCESS))
@pytest.mark.usefixtures("own_environment")
def test_a_script_that_measures_no_process_runs_to_completion(
    script: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    table, arguments = SCRIPTS[script]
    monkeypatch.setenv("BENCHMARK", "tiny")
    monkeypatch.syspath_prepend(ROOT)
    monkeypatch.setattr("sys.argv", [script, *arguments.split()])
    # Another script may have imported something from it.
    monkeypatch.delitem(sys.modules, f"benchmarks.{script}", raising=False)
    runpy.run_module(f"benchmarks.{script}", run_name="__main__", alter_sys=True)
    shown = capsys.readouterr().out
    assert re.search(table, shown, re.MULTILINE), shown
    assert [figure.row for figure in page.FIGURES.get(script, ()) if not printed(figure, shown)] == []


def printed(figure: page.Figure, shown: str) -> bool:
    """Whether a script of any size prints a figure of the page where it is looked for."""
    before, after = figure.printed.split(page.N)
    sized = page.N.join(re.sub(r"\d[\d,]*", r"[\\d,]+", part) for part in (before, after))
    return re.search(sized, shown, re.MULTILINE) is not None
