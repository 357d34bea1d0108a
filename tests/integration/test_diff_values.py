"""`bqdump diff` between exports whose tables have the same number of rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bqdump.core.documents.changes import SAME
from integration.command import call
from integration.stage import Stage
from integration.test_verify import NESTED, SCALARS

KEPT = "{run}/{table}/{table}_*"
MORE = """
  CREATE TABLE more AS
  SELECT id, IF(id = 2, '', 'x') AS text, CAST(id AS BIGNUMERIC) AS big, id / 7 AS ratio
  FROM UNNEST(GENERATE_ARRAY(1, 6)) AS id
"""


def diff(stage: Stage, capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, dict[str, Any]]:
    called = call(capsys, "diff", "r1", "r2", "--json", "--bucket", stage.bucket, *arguments)
    assert called.code == 0, called.err
    return {change["table"]: change for change in json.loads(called.out)}


def export(stage: Stage, run: str, **settings: Any) -> None:
    stage.now()
    (outcome,) = stage.run_tasks(1, execution=run, **settings)
    assert outcome.state == "published"


def test_only_the_same_bytes_are_reported_as_unchanged(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    stage.sql(SCALARS)
    export(stage, "r1")
    export(stage, "r2")
    called = call(capsys, "diff", "r1", "r2", "--bucket", stage.bucket)
    assert called.out == f"{SAME}\n"
    stage.sql("UPDATE scalars SET text = 'other' WHERE true")
    export(stage, "r3")
    called = call(capsys, "diff", "r2", "r3", "--bucket", stage.bucket)
    assert "Nothing differs" not in called.out
    assert "content changed" in called.out
    assert called.out.splitlines()[-1] == "1 table differs."


@pytest.mark.parametrize("format_", ["csv", "json", "parquet", "avro"])
def test_values_finds_the_columns_that_changed_and_no_others(
    stage: Stage, capsys: pytest.CaptureFixture[str], format_: str
) -> None:
    stage.sql(SCALARS)
    stage.sql(MORE)
    if format_ != "csv":
        stage.sql(NESTED)
    stage.empty_tables(["nothing"])
    export(stage, "r1", format=format_, path=KEPT)
    stage.sql("UPDATE scalars SET ratio = ratio + 1 WHERE id = 4")
    stage.sql("CREATE TABLE other AS SELECT * FROM more ORDER BY id DESC")
    stage.sql("DROP TABLE more")
    stage.sql("CREATE TABLE more AS SELECT * FROM other")
    stage.sql("DROP TABLE other")
    if format_ != "csv":
        stage.sql("UPDATE nested SET pair = STRUCT(id + 1 AS a, pair.b AS b) WHERE true")
    export(stage, "r2", format=format_, path=KEPT)
    found = diff(stage, capsys, "--values")
    assert found["scalars"]["values_changed"] == ["ratio"]
    assert found["scalars"]["content"] == "changed"
    if format_ != "csv":
        assert found["nested"]["values_changed"] == ["pair.a"]
    assert "nothing" not in found
    if format_ in ("csv", "json"):
        # Only the order of its rows is another.
        assert "more" not in found
        assert "more" in diff(stage, capsys)
    else:
        assert found["more"]["why"] == "not compared by value: big"
        assert found["more"]["change"] == "unclear"


@pytest.mark.parametrize("format_", ["csv", "json", "parquet", "avro"])
def test_large_numbers_are_distinguished(stage: Stage, capsys: pytest.CaptureFixture[str], format_: str) -> None:
    stage.sql("CREATE TABLE large AS SELECT 1e300 AS number, CAST(1.5 AS FLOAT64) AS same")
    export(stage, "r1", format=format_, path=KEPT)
    stage.sql("UPDATE large SET number = 2e300 WHERE true")
    export(stage, "r2", format=format_, path=KEPT)
    assert diff(stage, capsys, "--values")["large"]["values_changed"] == ["number"]


@pytest.mark.parametrize("other", ["json", "parquet"])
def test_values_are_the_same_in_files_of_another_format(
    stage: Stage, capsys: pytest.CaptureFixture[str], other: str
) -> None:
    stage.sql("CREATE TABLE words AS SELECT id, IF(id = 2, '', IF(id = 3, NULL, 'x')) AS text "
              "FROM UNNEST(GENERATE_ARRAY(1, 6)) AS id")  # fmt: skip
    export(stage, "r1", path=KEPT)
    export(stage, "r2", path=KEPT, format=other)
    without = diff(stage, capsys)["words"]
    assert without["change"] == "unclear"
    assert f"format csv, then {other}" in without["why"]
    assert diff(stage, capsys, "--values") == {}
    stage.sql("UPDATE words SET text = 'y' WHERE id = 4")
    export(stage, "r3", path=KEPT, format=other)
    called = call(capsys, "diff", "r1", "r3", "--values", "--json", "--bucket", stage.bucket)
    (found,) = json.loads(called.out)
    assert found["values_changed"] == ["text"]


def test_values_that_moved_to_other_rows_are_a_change(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    stage.sql("CREATE TABLE pairs AS SELECT id, id AS other FROM UNNEST(GENERATE_ARRAY(1, 6)) AS id")
    export(stage, "r1", path=KEPT)
    stage.sql("UPDATE pairs SET other = 7 - other WHERE true")
    export(stage, "r2", path=KEPT)
    found = diff(stage, capsys, "--values")["pairs"]
    assert (found["content"], found["values_changed"]) == ("changed", [])
    assert "moved to other rows" in found["why"]


def test_values_are_compared_in_a_copy_whose_files_have_other_generations(
    stage: Stage, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    stage.sql(SCALARS)
    export(stage, "r1", path=KEPT)
    stage.sql("UPDATE scalars SET text = 'other' WHERE id = 2")
    export(stage, "r2", path=KEPT)
    for name in stage.objects():
        file = tmp_path / "copy" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(stage.read(name))
    called = call(capsys, "diff", "r1", "r2", "--json", "--values", "--to", str(tmp_path / "copy"))
    assert called.code == 0, called.err
    (found,) = json.loads(called.out)
    assert found["values_changed"] == ["text"]
    (file,) = (tmp_path / "copy/r1/scalars").iterdir()
    file.write_bytes(file.read_bytes() + b"1\n")
    called = call(capsys, "diff", "r1", "r2", "--values", "--to", str(tmp_path / "copy"))
    assert called.code == 5
    assert f"run r1: it no longer has r1/scalars/{file.name} as exported" in called.errors[0]


def test_values_of_a_run_whose_files_were_replaced_cannot_be_compared(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    stage.sql(SCALARS)
    export(stage, "r1")
    stage.sql("UPDATE scalars SET text = 'other' WHERE true")
    export(stage, "r2")
    called = call(capsys, "diff", "r1", "r2", "--values", "--bucket", stage.bucket)
    assert called.code == 5
    (error,) = called.errors
    assert "cannot compare the values of run r1: a later export has replaced or removed" in error
    assert "{run}" in error
    assert diff(stage, capsys)["scalars"]["content"] == "changed"
