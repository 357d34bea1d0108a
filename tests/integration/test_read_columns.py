"""The read route with columns left out or in another order: every format holds those that were asked for, as asked."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pyarrow.parquet as pq
import pytest

from integration.stage import Stage

TABLE = """CREATE TABLE t AS
SELECT 1 AS id, 'a' AS name, DATE '2026-01-31' AS day, BIGNUMERIC '1.5' AS big, STRUCT(1 AS x, ['y'] AS z) AS inner_"""
FLAT = "CREATE TABLE {} AS SELECT 1 AS id, 'a' AS name, DATE '2026-01-31' AS day, BIGNUMERIC '1.5' AS big"
EXPECTED: dict[str, Any] = {"id": "1", "name": "a", "day": "2026-01-31", "big": "1.5"}


def rows(stage: Stage, format_: str, table: str = "t") -> list[list[tuple[str, str]]]:
    """The rows of the one file, each value with its column's name, in their order."""
    [name] = [name for name in stage.files() if name.startswith(f"{table}/")]
    data = stage.read(name)
    if format_ == "csv":
        return [list(row.items()) for row in csv.DictReader(io.StringIO(data.decode()))]
    if format_ == "json":
        return [list(json.loads(line).items()) for line in data.splitlines()]
    return [[(key, str(value)) for key, value in row.items()] for row in pq.read_table(io.BytesIO(data)).to_pylist()]


SECTIONS: dict[str, tuple[dict[str, list[str]], list[str]]] = {
    "chosen": ({"columns": ["id", "day"]}, ["id", "day"]),
    "in another order": ({"columns": ["day", "big", "id"]}, ["day", "big", "id"]),
    "in another order, all": ({"columns": ["big", "day", "name", "id"]}, ["big", "day", "name", "id"]),
    "in another order, without text": ({"columns": ["day", "id"]}, ["day", "id"]),
    "left out": ({"exclude_columns": ["name"]}, ["id", "day", "big"]),
    "chosen and left out": ({"columns": ["name", "day", "id"], "exclude_columns": ["name"]}, ["day", "id"]),
    "in other case": ({"columns": ["DAY", "Id"]}, ["day", "id"]),
}


@pytest.mark.parametrize("format_", ["csv", "json", "parquet"])
def test_files_have_the_selected_columns_in_that_order(stage: Stage, format_: str) -> None:
    tables = {case.replace(",", "").replace(" ", "_"): case for case in SECTIONS}
    for table in tables:
        stage.sql(FLAT.format(table))
    sections = json.dumps({table: SECTIONS[case][0] for table, case in tables.items()})
    ran = stage.execute("--route", "read", "--format", format_, "--tables", sections, tasks=2)
    assert ran.codes == [0, 0], ran.text
    found = {case: rows(stage, format_, table) for table, case in tables.items()}
    assert found == {case: [[(name, EXPECTED[name]) for name in names]] for case, (_, names) in SECTIONS.items()}
    verified = stage.command("verify", "--read", "--source")
    assert verified.code == 0, verified.text


@pytest.mark.parametrize("format_", ["csv", "json", "parquet"])
def test_columns_that_a_format_cannot_hold_are_left_out_by_name(stage: Stage, format_: str) -> None:
    stage.sql(TABLE)
    ran = stage.run("--route", "read", "--format", format_, "--on-unsupported", "skip", "--file-size", "1MB")
    assert ran.code == 0, ran.text
    [row] = rows(stage, format_)
    assert [name for name, _ in row] == [*EXPECTED, *(["inner_"] if format_ != "csv" else [])]
    assert ("inner_" in ran.text) == (format_ == "csv")
    assert stage.command("verify", "--read", "--source").code == 0


def test_a_table_without_rows_has_the_selected_columns(stage: Stage) -> None:
    stage.sql("CREATE TABLE t (id INT64, name STRING, day DATE)")
    for format_, expected in (("csv", ["day", "id"]), ("parquet", ["day", "id"])):
        tables = json.dumps({"t": {"columns": expected}})
        assert stage.run("--route", "read", "--format", format_, "--tables", tables).code == 0
        [name] = stage.files()
        data = stage.read(name)
        found = data.decode().strip().split(",") if format_ == "csv" else pq.read_schema(io.BytesIO(data)).names
        assert found == expected
        assert stage.command("verify", "--read").code == 0


def test_the_same_columns_by_query_are_in_the_same_order(stage: Stage) -> None:
    stage.sql(FLAT.format("t"))
    found = []
    for route in ("query", "read"):
        tables = json.dumps({"t": {"columns": ["day", "name"]}})
        assert stage.run("--route", route, "--format", "csv", "--tables", tables).code == 0
        found.append(rows(stage, "csv"))
    assert found[0] == found[1]
