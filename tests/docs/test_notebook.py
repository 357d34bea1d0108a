"""The page on Python is run as a notebook: in a kernel, cell by cell, with DuckDB, polars and pandas as they are."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from bqdump_local.seed import special
from bqdump_local.stack import running
from docs.walk import seed_few

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/python.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
# Their schedulers are not installed.
CELLS = [block for block in BLOCKS if not re.search(r"^(import|from) (airflow|dagster)", block, re.MULTILINE)]
# Behind everything else: this folder has a DuckDB of its own.
FIRST = f"import sys; sys.path.append({str(ROOT / '.venv/readers')!r})"
LAST = "runs_shown = backup.runs()\nruns_shown"


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Any]]:
    """The cells of the page, executed."""
    folder = tmp_path_factory.mktemp("notebook")
    with running(root=folder / "buckets") as stack, pytest.MonkeyPatch.context() as patch:
        seed_few(stack, next(special()))
        for name, value in {**stack.variables(), "IPYTHONDIR": str(folder), "JUPYTER_PLATFORM_DIRS": "1"}.items():
            patch.setenv(name, value)
        made: Any = nbformat.v4
        cells = [made.new_code_cell(text) for text in (FIRST, *CELLS, LAST)]
        client = NotebookClient(made.new_notebook(cells=cells), timeout=600, kernel_name="python3",
                                resources={"metadata": {"path": str(folder)}})  # fmt: skip
        yield client.execute().cells


def outputs(cell: Any, kind: str) -> list[str]:
    """What a cell has shown in this form."""
    return ["".join(one["data"][kind]) for one in cell["outputs"] if kind in one.get("data", {})]


def test_every_cell_ends_without_an_error_and_prints_what_the_page_says(executed: list[Any]) -> None:
    assert len(CELLS) == 5
    printed = "".join(one.get("text", "") for cell in executed for one in cell["outputs"])
    assert re.search(r"^5 tables, [0-9]+ rows, [0-9]+ bytes as of ", printed, re.MULTILINE)
    assert not [one for cell in executed for one in cell["outputs"] if one["output_type"] == "error"]


def test_a_result_is_a_short_line_and_a_table_of_at_most_eight_columns(executed: list[Any]) -> None:
    (text,), (table,) = outputs(executed[-1], "text/plain"), outputs(executed[-1], "text/html")
    assert text.startswith("Rows([RunLine(run=")
    assert len(text) < 300
    assert 4 <= table.count("<th>") <= 8
