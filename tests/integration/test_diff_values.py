"""`bqdump diff` between exports whose tables have the same number of rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bqdump.core.documents.changes import SAME
from bqdump.core.formats.formats import FORMATS
from integration.every_format import NESTED, SCALARS, make
from integration.stage import Stage

KEPT = "{run}/{table}/{table}_*"
WAYS = [{"format": name} for name in FORMATS]
MORE = """
  CREATE TABLE more AS
  SELECT id, IF(id = 2, '', 'x') AS text, CAST(id AS BIGNUMERIC) AS big, id / 7 AS ratio
  FROM UNNEST(GENERATE_ARRAY(1, 6)) AS id
"""


def diff(stage: Stage, *arguments: str) -> dict[str, dict[str, Any]]:
    called = stage.command("diff", "r1", "r2", "--json", "--bucket", stage.bucket, *arguments)
    assert called.code == 0, called.err
    return {change["table"]: change for change in json.loads(called.out)}


def export(stage: Stage, run: str, **settings: Any) -> None:
    stage.now()
    (outcome,) = stage.run_tasks(1, execution=run, **settings)
    assert outcome.state == "published"


def test_only_the_same_bytes_are_reported_as_unchanged(stage: Stage) -> None:
    stage.sql(SCALARS)
    export(stage, "r1")
    export(stage, "r2")
    called = stage.command("diff", "r1", "r2", "--bucket", stage.bucket)
    assert called.out == f"{SAME}\n"
    stage.sql("UPDATE scalars SET text = 'other' WHERE true")
    export(stage, "r3")
    called = stage.command("diff", "r2", "r3", "--bucket", stage.bucket)
    assert "Nothing differs" not in called.out
    assert "content changed" in called.out
    assert called.out.splitlines()[-1] == "1 table differs."


def test_rows_that_moved_to_another_partition_of_arrival_differ(stage: Stage) -> None:
    settings = {"path": "{run}/{table}/d={partition}/{table}_*.{ext}", "partitions_min_bytes": 0, "format": "parquet"}
    insert = "INSERT INTO arrived (_PARTITIONTIME, x) VALUES (TIMESTAMP '2026-01-0{}', 1), (TIMESTAMP '2026-01-0{}', 2)"
    stage.sql("CREATE TABLE arrived (x INT64) PARTITION BY _PARTITIONDATE")
    stage.sql(insert.format(1, 2))
    export(stage, "r1", **settings)
    stage.sql("DELETE FROM arrived WHERE TRUE")
    stage.sql(insert.format(2, 1))
    export(stage, "r2", **settings)
    assert diff(stage)["arrived"]["content"] == "changed"
    assert diff(stage, "--values")["arrived"]["why"] == "rows have moved to other partitions"


def test_values_finds_the_columns_that_changed_and_no_others(stage: Stage) -> None:
    tables = make(stage, WAYS, SCALARS, MORE, NESTED)
    export(stage, "r1", tables=tables, path=KEPT)
    for format_ in FORMATS:
        stage.sql(f"UPDATE scalars_{format_} SET ratio = ratio + 1 WHERE id = 4")
        stage.sql(f"CREATE OR REPLACE TABLE other AS SELECT * FROM more_{format_} ORDER BY id DESC")
        stage.sql(f"DROP TABLE more_{format_}")
        stage.sql(f"CREATE TABLE more_{format_} AS SELECT * FROM other")
        if format_ != "csv":
            stage.sql(f"UPDATE nested_{format_} SET pair = STRUCT(id + 1 AS a, pair.b AS b) WHERE true")
    stage.sql("DROP TABLE other")
    export(stage, "r2", tables=tables, path=KEPT)
    found, by_bytes = diff(stage, "--values"), diff(stage)
    for format_ in FORMATS:
        assert found[f"scalars_{format_}"]["values_changed"] == ["ratio"]
        assert found[f"scalars_{format_}"]["content"] == "changed"
        if format_ != "csv":
            assert found[f"nested_{format_}"]["values_changed"] == ["pair.a"]
        assert f"nothing_{format_}" not in found
        more = f"more_{format_}"
        if format_ in ("csv", "json"):
            # Only the order of its rows is another.
            assert more not in found
            assert more in by_bytes
        else:
            assert found[more]["why"] == "not compared by value: big"
            assert found[more]["change"] == "unclear"


def test_large_numbers_are_distinguished(stage: Stage) -> None:
    tables = make(stage, WAYS, "CREATE TABLE large AS SELECT 1e300 AS number, CAST(1.5 AS FLOAT64) AS same")
    export(stage, "r1", tables=tables, path=KEPT)
    for format_ in FORMATS:
        stage.sql(f"UPDATE large_{format_} SET number = 2e300 WHERE true")
    export(stage, "r2", tables=tables, path=KEPT)
    changed = {name: change["values_changed"] for name, change in diff(stage, "--values").items()}
    assert changed == {f"large_{format_}": ["number"] for format_ in FORMATS}


def test_values_are_the_same_in_files_of_another_format(stage: Stage) -> None:
    others = ("json", "parquet")
    words = (
        "CREATE TABLE words AS SELECT id, IF(id = 2, '', IF(id = 3, NULL, 'x')) AS text "
        "FROM UNNEST(GENERATE_ARRAY(1, 6)) AS id"
    )
    tables = make(stage, [{"format": other} for other in others], words)
    export(stage, "r1", path=KEPT)
    export(stage, "r2", path=KEPT, tables=tables)
    without = diff(stage)
    for other in others:
        assert without[f"words_{other}"]["change"] == "unclear"
        assert f"format csv, then {other}" in without[f"words_{other}"]["why"]
    assert diff(stage, "--values") == {}
    for other in others:
        stage.sql(f"UPDATE words_{other} SET text = 'y' WHERE id = 4")
    export(stage, "r3", path=KEPT, tables=tables)
    called = stage.command("diff", "r1", "r3", "--values", "--json", "--bucket", stage.bucket)
    changed = {change["table"]: change["values_changed"] for change in json.loads(called.out)}
    assert changed == {f"words_{other}": ["text"] for other in others}


def test_values_that_moved_to_other_rows_are_a_change(stage: Stage) -> None:
    stage.sql("CREATE TABLE pairs AS SELECT id, id AS other FROM UNNEST(GENERATE_ARRAY(1, 6)) AS id")
    export(stage, "r1", path=KEPT)
    stage.sql("UPDATE pairs SET other = 7 - other WHERE true")
    export(stage, "r2", path=KEPT)
    found = diff(stage, "--values")["pairs"]
    assert (found["content"], found["values_changed"]) == ("changed", [])
    assert "moved to other rows" in found["why"]


def test_values_are_compared_in_a_copy_whose_files_have_other_generations(stage: Stage, tmp_path: Path) -> None:
    stage.sql(SCALARS)
    export(stage, "r1", path=KEPT)
    stage.sql("UPDATE scalars SET text = 'other' WHERE id = 2")
    export(stage, "r2", path=KEPT)
    for name in stage.objects():
        file = tmp_path / "copy" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(stage.read(name))
    called = stage.command("diff", "r1", "r2", "--json", "--values", "--to", str(tmp_path / "copy"))
    assert called.code == 0, called.err
    (found,) = json.loads(called.out)
    assert found["values_changed"] == ["text"]
    (file,) = (tmp_path / "copy/r1/scalars").iterdir()
    file.write_bytes(file.read_bytes() + b"1\n")
    called = stage.command("diff", "r1", "r2", "--values", "--to", str(tmp_path / "copy"))
    assert called.code == 4
    assert f"table scalars: the size of {file} is over" in called.errors[0]


def test_values_of_a_run_whose_files_were_replaced_cannot_be_compared(stage: Stage) -> None:
    stage.sql(SCALARS)
    export(stage, "r1")
    stage.sql("UPDATE scalars SET text = 'other' WHERE true")
    export(stage, "r2")
    called = stage.command("diff", "r1", "r2", "--values", "--bucket", stage.bucket)
    assert called.code == 4
    (error,) = called.errors
    assert "table scalars: generation" in error
    assert "A later run may have replaced it." in error
    assert diff(stage)["scalars"]["content"] == "changed"


@pytest.mark.parametrize("way", [("--format", "avro"), ("--compression", "gzip")], ids=["avro", "gzip"])
def test_unmodified_tables_are_unchanged_whatever_the_bytes_of_their_files(stage: Stage, way: tuple[str, str]) -> None:
    stage.table("still", 3)
    stage.table("none", 0)
    stage.table("moving", 3)
    assert stage.run("--run-id", "monday", *way).code == 0
    stage.sql("UPDATE moving SET name = 'other' WHERE id = 1")
    assert stage.run("--run-id", "tuesday", *way).code == 0
    changes = json.loads(stage.command("diff", "monday", "--json").out)
    assert [(change["table"], change["content"]) for change in changes] == [("moving", "changed")]
