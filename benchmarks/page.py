"""Compares the figures of README.md that do not depend on the machine with what their scripts print.

`python -m benchmarks.page [SCRIPT…]` runs these scripts (default: all that count or measure in virtual time), prints
each figure that differs, and exits with 1 if one does.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

PAGE = Path(__file__).with_name("README.md")


class Figure(NamedTuple):
    """A number of a page, and where the script prints it.

    row: the first cell of its row in the page.
    column: 1 for the cell after that one.
    printed: a pattern with one group, for a line of the output.
    """

    row: str
    column: int
    printed: str


N = r"(\d+(?:\.\d+)?)"
FIGURES = {
    "makespan": (
        Figure("exporting, from the plan to the last receipt", 1, rf"^bqdump, one task, exporting +\S+ +{N} "),
        Figure("including planning", 1, rf"^bqdump, one task, with planning +\S+ +{N} "),
        Figure("one job after another", 1, rf"^one job after the other +\S+ +{N}$"),
    ),
    "few_tables": (
        Figure("30 tables, 30 tasks", 1, rf"^30 tables, 30 tasks, 30 alive +\S+ +{N} of one task"),
        Figure("30 tables, 10,000 tasks, 30 of them alive", 1, rf"^30 tables, 10,000 tasks, 30 alive +\S+ +{N} of one"),
        Figure("4 tables, 10,000 tasks, 4 of them alive", 1, rf"^4 tables, 10,000 tasks, 4 alive +\S+ +{N} of one"),
        Figure("4 tables, 10,000 tasks, one of them alive", 1, rf"^4 tables, 10,000 tasks, 1 alive +\S+ +{N} of one"),
    ),
    "datasets": (
        Figure("50 datasets of 200 tables", 1, rf"^50 datasets of 200 tables +\S+ +{N} "),
        Figure("50 datasets of 200 tables", 2, rf"^50 datasets of 200 tables .* requests +{N} "),
    ),
    "incremental": (
        Figure("extract jobs, objects copied, bytes copied, requests for objects", 1, rf"^extract jobs .* {N}$"),
        Figure("requests to BigQuery", 1, rf"^BigQuery requests .* {N}$"),
        Figure("time", 1, rf"^seconds .* {N}$"),
    ),
    "nights": (
        Figure("daily (100 tables)", 1, rf"^daily +\S+ +\S+ +{N} +\S+$"),
        Figure("weekly (200)", 1, rf"^weekly +\S+ +\S+ +{N} +\S+$"),
        Figure("every 50 nights (200)", 1, rf"^rarely +\S+ +\S+ +{N} +\S+$"),
        Figure("all", 1, rf"^all +\S+ +\S+ +{N} +\S+$"),
        Figure("all", 2, rf"^all +\S+ +\S+ +\S+ +{N}$"),
    ),
    "restore_makespan": (
        Figure("an export with a folder for each run", 1, rf"^bqdump restore, a folder for each run +\S+ +{N} "),
        Figure("an export with files under stable names", 1, rf"^bqdump restore, .*stable names +\S+ +{N}$"),
        Figure("one job after another", 1, rf"^one job after another +\S+ +{N}$"),
    ),
    "history": tuple(
        Figure(command, column, rf"^{command} +\S+ +" + r"\S+ +" * before + rf"{N}\b")
        for command in ("plan", "status", "runs", "diff", "verify", "restore --plan", "prune", "copy", "run")
        for column, before in ((1, 0), (2, 1), (3, 3), (4, 4))
    ),
}


def rows_of(page: str, script: str) -> dict[str, list[str]]:
    """The cells of each row of a script's section, by the first one."""
    _, _, rest = page.partition(f"(`{script}`)\n")
    section = rest.partition("\n### ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line[:1] == "|"]
    return {row[0].strip("`"): row for row in rows}


def differences(page: str, script: str, printed: str) -> Iterator[str]:
    """Each figure of the page that is not what the script has printed, as a sentence."""
    rows = rows_of(page, script)
    for figure in FIGURES[script]:
        row, found = rows.get(figure.row), re.search(figure.printed, printed, re.MULTILINE)
        has = row[figure.column] if row and len(row) > figure.column else "nothing"
        now = found[1] if found else "nothing"
        digits = len(has.partition(".")[2])
        if not found or not re.fullmatch(N, has) or f"{float(now):.{digits}f}" != has:
            yield f"{script}, {figure.row}: the page says {has}, and the script prints {now}"


def compare_all() -> int:
    """Exit code 1 where a figure differs."""
    failed = 0
    for script in sys.argv[1:] or FIGURES:
        command = [sys.executable, "-m", f"benchmarks.{script}"]
        ran = subprocess.run(command, cwd=PAGE.parent.parent, capture_output=True, text=True, check=True)
        for difference in differences(PAGE.read_text(), script, ran.stdout):
            print(difference)
            failed = 1
    return failed


if __name__ == "__main__":
    raise SystemExit(compare_all())
