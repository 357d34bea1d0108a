"""A REQUIRED column holds no NULL, so what reads like NULL in a file can be one value only, and comes back as that."""

from __future__ import annotations

from typing import Any

import pytest

import bqdump
from bqdump import Restoration
from formats.exports import Exports, Way

SETTINGS = [
    (Way("extract", "csv", "none"), {}),
    (Way("extract", "csv", "gzip"), {"header": "false"}),
    (Way("query", "csv", "none"), {"delimiter": "tab"}),
    (Way("query", "csv", "gzip"), {}),
    (Way("read", "csv", "none"), {}),
    (Way("read", "csv", "gzip"), {"null_marker": "\\N", "header": "false"}),
    (Way("read", "csv", "none"), {"null_marker": "NULL"}),
]


def restored(exports: Exports, way: Way, table: str, folder: str, **flags: str) -> Restoration:
    """Export a table in one way, and restore it into a dataset that has the name of the folder."""
    exports.run(way, folder, include=table, **flags)
    stage = exports.stage
    return bqdump.restore(into=folder.replace("-", "_"), project=stage.project, bucket=stage.bucket, prefix=folder)


def rows(exports: Exports, table: str, dataset: str = "") -> list[tuple[Any, ...]]:
    """All rows, JSON as text."""
    where = f"{dataset.replace('-', '_')}.{table}" if dataset else table
    return sorted(map(tuple, exports.stage.sql(f"SELECT TO_JSON_STRING(t) FROM `{where}` AS t")))


@pytest.fixture(scope="module")
def texts(exports: Exports) -> str:
    """A table of REQUIRED columns, some of whose values are empty."""
    exports.stage.sql(
        "CREATE TABLE texts (id INT64 NOT NULL, s STRING NOT NULL, b BYTES NOT NULL, day DATE NOT NULL) "
        "PARTITION BY day"
    )
    exports.stage.sql(
        r"INSERT INTO texts VALUES (1, '', b'', DATE '2026-01-01'), (2, 'x', b'\x00', DATE '2026-01-02'), "
        r"(3, 'NULL', b'', DATE '2026-01-02'), (4, '', FROM_BASE64('NULL'), DATE '2026-01-03'), "
        r"(5, '\\N', b'a', DATE '2026-01-03'), (6, '\"\"', b'', DATE '2026-01-03')"
    )
    return "texts"


@pytest.mark.parametrize(("way", "flags"), SETTINGS, ids=lambda part: str(part) if isinstance(part, Way) else "")
def test_an_empty_value_of_a_required_column_comes_back_from_csv(
    exports: Exports, texts: str, way: Way, flags: dict[str, str]
) -> None:
    folder = "-".join(["required", str(way), *flags])
    result = restored(exports, way, texts, folder, **flags)
    assert (result.state, result.failed) == ("restored", ())
    assert rows(exports, texts, folder) == rows(exports, texts)
    made = exports.stage.big.get_table(f"{exports.stage.project}.{folder.replace('-', '_')}.{texts}")
    assert {field.mode for field in made.schema} == {"REQUIRED"}


def test_an_empty_value_comes_back_into_the_partition_that_it_was_in(exports: Exports) -> None:
    stage = exports.stage
    stage.sql("CREATE TABLE arrivals (s STRING NOT NULL) PARTITION BY _PARTITIONDATE")
    for day, value in (("2026-01-01", ""), ("2026-01-02", "x"), ("2026-01-03", "")):
        stage.sql(f"INSERT INTO arrivals (_PARTITIONTIME, s) VALUES (TIMESTAMP '{day}', '{value}')")
    flags = {"path": "{table}/{partition}/{table}_*", "partitions_min_bytes": "0", "allow": "pseudo-columns"}
    result = restored(exports, Way("extract", "csv", "none"), "arrivals", "required_arrivals", **flags)
    assert (result.state, result.failed) == ("restored", ())
    found = [stage.sql(f"SELECT s, _PARTITIONTIME AS at FROM `{name}` ORDER BY at") for name in
             ("arrivals", "required_arrivals.arrivals")]  # fmt: skip
    assert found[0] == found[1]


def test_an_empty_value_replaces_what_a_table_holds(exports: Exports, texts: str) -> None:
    folder, stage = "required-again", exports.stage
    restored(exports, Way("extract", "csv", "none"), texts, folder)
    stage.sql("UPDATE `required_again.texts` SET s = 'changed' WHERE TRUE")
    result = bqdump.restore(
        into="required_again", project=stage.project, bucket=stage.bucket, prefix=folder, replace=True
    )
    assert (result.state, result.failed) == ("restored", ())
    assert rows(exports, texts, folder) == rows(exports, texts)


@pytest.mark.parametrize("route", ["extract", "query"])
def test_a_json_null_of_a_required_column_comes_back_from_json(exports: Exports, route: str) -> None:
    table = f"documents_{route}"
    exports.stage.sql(
        f"CREATE TABLE {table} (id INT64 NOT NULL, j JSON NOT NULL, "
        "r STRUCT<j JSON NOT NULL, k STRUCT<j JSON NOT NULL>>, a ARRAY<JSON>, "
        "l ARRAY<STRUCT<n INT64, j JSON NOT NULL>>)"
    )
    exports.stage.sql(
        f"INSERT INTO {table} VALUES "
        "(1, JSON 'null', STRUCT(JSON 'null' AS j, STRUCT(JSON 'null' AS j) AS k), [JSON 'null', JSON '1'], "
        "[STRUCT(1 AS n, JSON 'null' AS j)]), "
        "(2, JSON '[null]', STRUCT(JSON '1' AS j, STRUCT(JSON '{}' AS j) AS k), [], "
        "[STRUCT(1 AS n, JSON '2' AS j), STRUCT(2 AS n, JSON 'null' AS j)]), "
        "(3, JSON '\"null\"', NULL, [JSON '\"null\"'], [])"
    )
    folder = f"required-json-{route}"
    result = restored(exports, Way(route, "json", "none"), table, folder)
    assert (result.state, result.failed) == ("restored", ())
    assert rows(exports, table, folder) == rows(exports, table)
