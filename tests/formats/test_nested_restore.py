"""What load jobs cannot read comes back from members of STRUCTs and elements of ARRAYs, too."""

from __future__ import annotations

from typing import Any

import pytest

import bqdump
from formats.exports import Exports, Way


def restore(exports: Exports, prefix: str) -> str:
    """Restore an export by its prefix; returns the dataset."""
    stage, dataset = exports.stage, f"nested_{prefix.replace('-', '_')}"
    result = bqdump.restore(into=dataset, project=stage.project, bucket=stage.bucket, prefix=prefix)
    assert (result.state, result.failed) == ("restored", ())
    return dataset


class Nested:
    """A table whose columns are nested: a row with values, and one that has NULL in all of them."""

    def __init__(self, exports: Exports, name: str, **columns: tuple[str, str]) -> None:
        self.exports, self.name = exports, name
        ddl = ", ".join(f"{column} {type_}" for column, (type_, _) in columns.items())
        exports.stage.sql(f"CREATE TABLE {name} (id INT64, {ddl})")
        values = ", ".join(value for _, value in columns.values())
        exports.stage.sql(f"INSERT INTO {name} (id, {', '.join(columns)}) SELECT 1, {values}")
        exports.stage.sql(f"INSERT INTO {name} (id) VALUES (2)")

    def rows(self, dataset: str = "") -> list[tuple[Any, ...]]:
        """Its rows, here or in another dataset."""
        name = f"{dataset}.{self.name}" if dataset else self.name
        return self.exports.stage.sql(f"SELECT * FROM `{name}` ORDER BY id")

    def comes_back(self, way: Way, **flags: str) -> None:
        """Whether its rows are the same after export and restore."""
        folder = f"{self.name}-{way}"
        self.exports.run(way, folder, include=self.name, **flags)
        assert self.rows(restore(self.exports, folder)) == self.rows()


AT = "DATETIME '2024-02-29 10:00:00.5'"
LACKING = "STRUCT(CAST(NULL AS STRING) AS k, CAST(NULL AS DATETIME) AS d, CAST([] AS ARRAY<DATETIME>) AS l)"
RECORD = """STRUCT(
  9007199254740993 AS i, 0.1 AS f, NUMERIC '1.5' AS n, b'\\xff' AS b, TIMESTAMP '2024-02-29 10:00:00.5 UTC' AS t,
  DATE '2024-02-29' AS d, TRUE AS o, JSON '{"a":[1]}' AS j, 'x"y' AS s
)"""
WIDE = "CAST('99999999999999999999999999999999999999.5' AS BIGNUMERIC)"


def test_a_datetime_comes_back_from_avro_however_deep_it_is(exports: Exports) -> None:
    Nested(
        exports,
        "deep_datetime",
        a=("ARRAY<DATETIME>", f"[{AT}, DATETIME '0001-01-01 00:00:00']"),
        s=("STRUCT<x INT64, d DATETIME, n STRUCT<d DATETIME>>", f"STRUCT(1 AS x, {AT} AS d, STRUCT({AT} AS d) AS n)"),
        r=(
            "ARRAY<STRUCT<k STRING, d DATETIME, l ARRAY<DATETIME>>>",
            f"[STRUCT('a' AS k, {AT} AS d, [{AT}] AS l), {LACKING}]",
        ),
    ).comes_back(Way("extract", "avro", "none"))


@pytest.mark.parametrize("format_", ["json", "parquet"])
def test_what_the_read_route_writes_as_strings_comes_back_however_deep_it_is(exports: Exports, format_: str) -> None:
    Nested(
        exports,
        f"deep_read_{format_}",
        s=("STRUCT<j JSON, b BIGNUMERIC>", f"STRUCT(JSON '{{\"a\":[1,null]}}' AS j, {WIDE} AS b)"),
        a=("ARRAY<BIGNUMERIC>", f"[{WIDE}]"),
        r=("ARRAY<STRUCT<j JSON, l ARRAY<BIGNUMERIC>>>", f"[STRUCT(JSON '1.5' AS j, [{WIDE}] AS l)]"),
    ).comes_back(Way("read", format_, "none"))


def test_nested_columns_come_back_from_strings(exports: Exports) -> None:
    Nested(
        exports,
        "deep_strings",
        r=(
            "STRUCT<i INT64, f FLOAT64, n NUMERIC, b BYTES, t TIMESTAMP, d DATE, o BOOL, j JSON, s STRING>",
            RECORD,
        ),
        l=("ARRAY<STRUCT<k STRING, v ARRAY<INT64>>>", "[STRUCT('k' AS k, [1, 2] AS v)]"),
        p=("ARRAY<STRING>", "['a', '', 'null']"),
    ).comes_back(Way("query", "csv", "none"), on_unsupported="string")
