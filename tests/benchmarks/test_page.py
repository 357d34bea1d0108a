"""The figures of benchmarks/README.md that do not depend on the machine are those that the scripts print."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import page

ROOT = Path(__file__).parent.parent.parent
# Each takes about a second.
QUICK = ("makespan", "few_tables")


def test_the_page_has_what_quick_scripts_print() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "BENCHMARK"}
    command = [sys.executable, "-m", "benchmarks.page", *QUICK]
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert (ran.stdout, ran.returncode) == ("", 0), ran.stderr


@pytest.mark.parametrize("script", page.FIGURES)
def test_every_figure_that_is_compared_is_in_the_page(script: str) -> None:
    rows = page.rows_of(page.PAGE.read_text(), script)
    missing = [figure for figure in page.FIGURES[script] if not re.fullmatch(page.N, rows[figure.row][figure.column])]
    assert (missing, bool(page.FIGURES[script])) == ([], True)


PRINTED = """bqdump, one task, exporting               16.80  1.12  (target 1.15)
bqdump, one task, with planning           28.08  1.87  (planning)
one job after the other                 5000.00  333.33
"""


def test_a_figure_that_the_script_no_longer_prints_is_named() -> None:
    text = page.PAGE.read_text()
    assert [*page.differences(text, "makespan", PRINTED)] == []
    (changed,) = page.differences(text, "makespan", PRINTED.replace("1.87", "1.91"))
    assert changed == "makespan, including planning: the page says 1.87, and the script prints 1.91"
    (gone,) = page.differences(text, "makespan", PRINTED.replace("one job after", "one after"))
    assert gone == "makespan, one job after another: the page says 333, and the script prints nothing"
