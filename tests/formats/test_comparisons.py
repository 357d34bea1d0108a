"""What a comparison of values can see: it says the same with the source and without, and names what it cannot see."""

from __future__ import annotations

from typing import Any

import pytest

import bqdump
from formats.exports import Exports, Way

WAYS = [Way("extract", "json", "none"), Way("query", "json", "gzip"), Way("extract", "csv", "none"),
        Way("read", "csv", "none"), Way("read", "json", "none"), Way("extract", "parquet", "none")]  # fmt: skip
SIGN, NULLS, DOCUMENT = "-0.0 becomes 0.0 in score", '"" becomes NULL in note', "a JSON null becomes NULL in doc"
ALTERED = {"json": f"{SIGN}; {DOCUMENT}", "csv": NULLS}


@pytest.fixture(scope="module")
def table(exports: Exports) -> str:
    exports.stage.sql("CREATE TABLE seen (id INT64, score FLOAT64, doc JSON, note STRING)")
    exports.stage.sql(
        "INSERT INTO seen VALUES (1, CAST('-0.0' AS FLOAT64), JSON 'null', ''), (2, 0.0, NULL, NULL), "
        "(3, 1.5, JSON '[null]', 'x')"
    )
    return "seen"


def source(exports: Exports, folder: str) -> dict[str, Any]:
    return {"project": exports.stage.project, "bucket": exports.stage.bucket, "prefix": folder}


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_a_drill_says_the_same_with_the_source_and_without(exports: Exports, table: str, way: Way) -> None:
    folder = f"seen-{way}"
    exports.run(way, folder, include=table)
    found = [bqdump.drill(**source(exports, folder))]
    exports.stage.sql(f"CREATE TABLE kept AS SELECT * FROM {table}")
    exports.stage.sql(f"DROP TABLE {table}")
    try:
        found.append(bqdump.drill(**source(exports, folder)))
    finally:
        exports.stage.sql(f"CREATE TABLE {table} AS SELECT * FROM kept")
        exports.stage.sql("DROP TABLE kept")
    assert [(one.state, one.problems) for one in found] == [("proven", ())] * 2
    altered = ALTERED.get(way.format, "") if way.route != "read" else ""
    assert [one.altered for one in found] == [{table: altered} if altered else {}] * 2


@pytest.mark.parametrize(("value", "differs"), [("0.0", True), ("CAST('-0.0' AS FLOAT64)", False)])
def test_a_comparison_sees_the_sign_of_a_zero(exports: Exports, table: str, value: str, differs: bool) -> None:
    folder, into = f"signs-{differs}", f"signs_{differs}"
    exports.run(Way("extract", "parquet", "none"), folder, include=table)
    bqdump.restore(into=into, **source(exports, folder))
    # DuckDB leaves a value that is equal.
    for score in ("1", value):
        exports.stage.sql(f"UPDATE `{into}.{table}` SET score = {score} WHERE id = 1")
    verified = bqdump.restore(into=into, verify=True, **source(exports, folder))
    assert [one.reason for one in verified.failed] == (["values"] if differs else [])
