"""A STRUCT that is NULL has no members, also none that are REQUIRED."""

from __future__ import annotations

import pytest
from google.cloud import bigquery

import bqdump
from formats.exports import Exports, Way

Field = bigquery.SchemaField
NUMBER = Field("n", "INTEGER", mode="REQUIRED")
COLUMNS = [
    Field("id", "INTEGER", mode="REQUIRED"),
    Field("s", "RECORD", fields=[NUMBER, Field("t", "RECORD", mode="REQUIRED", fields=[NUMBER])]),
    Field("r", "RECORD", mode="REQUIRED", fields=[NUMBER, Field("t", "RECORD", fields=[NUMBER])]),
    Field("a", "RECORD", mode="REPEATED", fields=[NUMBER, Field("t", "RECORD", fields=[NUMBER])]),
]
VALUES = "STRUCT(1 AS n, STRUCT(2 AS n) AS t)"
NULLS = "STRUCT(1 AS n, CAST(NULL AS STRUCT<n INT64>) AS t)"


@pytest.mark.parametrize("way", [Way("read", "parquet", "none"), Way("read", "parquet", "zstd"),
                                 Way("read", "json", "none"), Way("extract", "parquet", "none")], ids=str)  # fmt: skip
def test_a_null_struct_with_required_members_comes_back(exports: Exports, way: Way) -> None:
    stage, folder = exports.stage, f"null_structs_{way}".replace("-", "_")
    stage.big.create_table(bigquery.Table(f"{stage.project}.{stage.dataset}.{folder}", schema=COLUMNS))
    stage.sql(f"INSERT INTO {folder} (id, s, r, a) SELECT 1, NULL, {NULLS}, [{NULLS}, {VALUES}]")
    stage.sql(f"INSERT INTO {folder} (id, s, r, a) SELECT 2, {VALUES}, {VALUES}, []")
    exports.run(way, folder, include=folder)
    result = bqdump.restore(into=f"back_{folder}", project=stage.project, bucket=stage.bucket, prefix=folder)
    assert (result.state, result.failed) == ("restored", ())
    select = "SELECT TO_JSON_STRING(t) FROM `{}` AS t ORDER BY id"
    assert stage.sql(select.format(f"back_{folder}.{folder}")) == stage.sql(select.format(folder))
    made = stage.big.get_table(f"{stage.project}.back_{folder}.{folder}")
    assert made.schema == COLUMNS
