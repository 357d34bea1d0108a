"""The console's code for DuckDB and polars gives the rows that were exported, with their types."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import datetime, time
from pathlib import Path
from typing import Any

import duckdb
import pytest

from bqdump.core.documents.manifest import Manifest
from bqdump.core.settings.target import Target
from bqdump.ui.snippets import snippets
from bqdump.ui.snippets.source import source_of
from docs.walk import ROOT
from formats.exports import WAYS, Exports, Way
from formats.values import Kind, expected
from iceberg.conftest import PACKAGES

# Text in the form of the file, or a number of another form.
AS_IN_THE_FILE = ("BIGNUMERIC", "JSON", "GEOGRAPHY", "INTERVAL", "RANGE", "STRUCT", "ARRAY")
SOME = [
    way
    for way in WAYS
    if way.route != "query"
    and way.format != "avro"
    and way.codec in ("none", "gzip" if way.format != "parquet" else "")
]
AVRO = Way("extract", "avro", "snappy")


def code(exports: Exports, way: Way, manifest: Manifest, folder: Path) -> dict[str, str]:
    """The code for the table of values, whose files are in this folder."""
    (entry,) = [entry for entry in manifest.tables if entry.table.startswith(("values", "plain"))]
    for file in entry.files:
        (folder / file.name).parent.mkdir(parents=True, exist_ok=True)
        (folder / file.name).write_bytes(exports.stage.read(file.name))
    source = source_of(manifest, entry, Target("file", str(folder)))
    assert source
    return dict(snippets(source))


def from_duckdb(text: str) -> list[dict[str, Any]]:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        found = connection.execute(text)
        return [dict(zip([item[0] for item in found.description], row, strict=True)) for row in found.fetchall()]


def from_polars(text: str) -> list[dict[str, Any]]:
    names: dict[str, Any] = {}
    exec(text, names)
    return list(names["frame"].rows(named=True))


def plain(value: Any) -> Any:
    """Times without a zone, which is UTC; NaN as something that equals itself."""
    value = value.replace(tzinfo=None) if isinstance(value, datetime | time) else value
    return "NaN" if value != value else value


def wanted(way: Way, value: Any) -> Any:
    # Files that BigQuery writes do not distinguish these from NULL.
    return None if way.format == "csv" and way.route != "read" and value in ("", b"") else value


@pytest.mark.parametrize("way", SOME, ids=str)
def test_code_gives_the_exported_rows(exports: Exports, way: Way, tmp_path: Path) -> None:
    made = code(exports, way, exports.manifest(way), tmp_path)
    if way == Way("extract", "parquet", "none"):
        # It does not read the BIGNUMERIC of BigQuery's Parquet.
        assert list(made) == ["DuckDB"]
    rows = {"DuckDB": from_duckdb(made["DuckDB"])} | {
        tool: from_polars(made[tool]) for tool in ("polars",) if tool in made
    }
    for tool, found in rows.items():
        found.sort(key=lambda row: row["id"])
        for kind in way.kinds:
            if kind.type not in AS_IN_THE_FILE:
                values = [plain(wanted(way, value)) for value in expected(kind)]
                assert [plain(row[kind.name]) for row in found] == values, (tool, kind.name)


def simple(way: Way) -> list[Kind]:
    """Those that DuckDB decodes in Avro."""
    return [kind for kind in way.kinds if kind.type not in (*AS_IN_THE_FILE, "NUMERIC")]


def test_code_for_avro_gives_the_exported_rows(exports: Exports, tmp_path: Path) -> None:
    table = exports.table("plain_avro", simple(AVRO))
    exports.run(AVRO, "plain-avro", include=table)
    made = code(exports, AVRO, exports.published("plain-avro"), tmp_path)
    found = sorted(from_polars(made["polars"]), key=lambda row: row["id"])
    assert [row["i"] for row in found] == expected(next(kind for kind in simple(AVRO) if kind.name == "i"))
    text = made["DuckDB"].removeprefix("INSTALL avro;\nLOAD avro;\n")
    program = (
        f"import sys\nsys.path.insert(0, {str(ROOT / 'tests')!r})\nfrom iceberg.scan import Duck\n"
        f"rows = Duck()._duckdb.execute({text!r}).to_arrow_table().sort_by('id')\n"
        "print(rows.select(['i', 'dt', 's']).to_pylist()[:2])"
    )
    environment = os.environ | {"PYTHONPATH": str(PACKAGES)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert "datetime.datetime(1, 1, 1, 0, 0), 's': 'plain'}" in done.stdout, done.stderr


def test_a_tool_that_cannot_decode_a_type_is_left_out(exports: Exports, tmp_path: Path) -> None:
    way = Way("extract", "avro", "none")
    assert code(exports, way, exports.manifest(way), tmp_path) == {}
