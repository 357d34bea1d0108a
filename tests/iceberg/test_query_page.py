"""The examples of docs/query.md for readers that can be installed do what the page says."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pyarrow as pa
import pytest

from docs.walk import ROOT
from iceberg.conftest import PACKAGES
from iceberg.tables import Lake

PAGE = (ROOT / "docs/query.md").read_text()
TYPES = {"carrier": pa.string(), "month": pa.int64()}
FLIGHTS = [("UA", 1), ("UA", 1), ("B6", 2)]
PLACE = "gs://my-exports/_bqdump/iceberg/flights"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def flights(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with the metadata of a table like the page's, of two runs."""
    lake = Lake(tmp_path_factory.mktemp("lake"), ids=True)
    for run in ("monday", "tuesday"):
        lake.publish(run, [{"carrier": carrier, "month": month} for carrier, month in FLIGHTS], TYPES)
    return str(lake.place)


def run(program: str) -> str:
    """What a program prints that has the readers."""
    environment = os.environ | {"PYTHONPATH": str(PACKAGES), "POLARS_ICEBERG_PLANNER": "pyiceberg"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_python_examples_run(flights: str) -> None:
    pyiceberg, polars = (block.replace(PLACE, flights) for block in blocks("python"))
    assert run(f"{pyiceberg}\nprint(rows.num_rows, before.num_rows)") == "2 3\n"
    assert run(f"{polars}\nprint(busiest.rows())") == "[('B6', 1), ('UA', 2)]\n"


def test_duckdb_examples_run(flights: str) -> None:
    (block,) = (one for one in blocks("sql") if "iceberg" in one)
    load, *statements = [line for line in block.replace(PLACE, flights).splitlines() if line]
    assert load == "INSTALL iceberg; LOAD iceberg;"
    found = "\n".join(f"print(len(duck.execute({one!r}).fetchall()))" for one in statements)
    program = f"import sys\nsys.path.insert(0, {str(ROOT / 'tests')!r})\nfrom iceberg.scan import Duck\n"
    assert run(f"{program}duck = Duck()._duckdb\n{found}") == "1\n2\n"
