"""What a run holds, as `ls` lists it and `restore --plan` would restore it."""

from __future__ import annotations

import json

import pytest

import bqdump
from integration.stage import Stage


def exported(stage: Stage, **settings: str) -> None:
    """A run with tables, a view, a function, a masked column, and something that is left out."""
    stage.table("orders_1", 3)
    stage.table("orders_2", 2)
    stage.sql("CREATE TABLE Customers AS SELECT 1 AS id, 'x' AS mail")
    stage.sql(f"CREATE VIEW v AS SELECT * FROM {stage.dataset}.orders_1")
    stage.sql(f"CREATE FUNCTION {stage.dataset}.f(x INT64) AS (x + 1)")
    stage.model("guess")
    done = stage.command("run", "--run-id", "r1", "--exclude", "orders_2", "--format", "parquet")
    assert done.code == 0, done.text


def test_tables_views_routines_and_what_was_left_out_are_listed(stage: Stage) -> None:
    exported(stage)
    done = stage.command("ls")
    assert done.code == 0, done.text
    lines = [line.split() for line in done.out.splitlines()]
    assert ["orders_1", "table", "3"] in [line[:3] for line in lines]
    assert ["v", "view"] in lines
    assert ["f", "scalar", "function"] in lines
    assert ["guess", "model", "models", "are", "not", "exported"] in lines
    assert f"Run r1 of {stage.dataset}" in done.out
    assert "3 tables and 2 other objects, 7 rows" in done.out
    listed = json.loads(stage.command("ls", "--json", "--include", "orders*,v").out)
    assert [(one["table"], one["rows"], one["route"]) for one in listed["tables"]] == [
        ("orders_1", 3, "extract"),
        ("v", 3, "query"),
    ]
    assert [one["name"] for one in listed["objects"]] == ["v"]
    assert listed["left_out"] == []
    same = bqdump.ls(bucket=stage.bucket, include=["orders*", "v"])
    assert [one.table for one in same.tables] == ["orders_1", "v"]
    assert same.to_dicts()[0]["files"] == 1


def test_a_pattern_that_differs_in_case_only_is_answered_with_the_name(stage: Stage) -> None:
    exported(stage)
    for command in (["ls"], ["restore", "--plan"], ["restore", "--into", f"{stage.project}.new"]):
        done = stage.command(*command, "--include", "customers")
        assert done.code == 2
        assert "did you mean 'Customers'? (case matters)" in done.err, command


def test_a_restore_is_planned_without_a_dataset_to_restore_into(stage: Stage) -> None:
    exported(stage)
    done = stage.command("restore", "--plan", "--include", "orders*,v")
    assert done.code == 0, done.text
    assert "1 table and 1 other object, 3 rows" in done.out
    assert "into a new dataset" in done.out
    plan = bqdump.restore(plan=True, bucket=stage.bucket, include="orders*")
    assert [one.table for one in plan.tables] == ["orders_1"]
    refused = stage.command("restore")
    assert refused.code == 2
    assert "--into" in refused.err


def test_an_export_in_a_folder_needs_no_project_to_be_planned(stage: Stage) -> None:
    stage.table("t", 2)
    folder = str(stage.folder / "exports")
    assert stage.command("run", "--to", folder, "--format", "parquet").code == 0
    plan = bqdump.restore(plan=True, to=folder)
    assert ([one.table for one in plan.tables], plan.rows) == (["t"], 2)
    assert [one.table for one in bqdump.ls(to=folder).tables] == ["t"]


def test_a_run_whose_files_were_replaced_says_so(stage: Stage) -> None:
    stage.table("t", 2)
    stage.run_tasks(1, execution="r1")
    stage.run_tasks(1, execution="r2")
    assert "Later runs have replaced its files: it cannot be restored." in stage.command("ls", "r1").out
    assert "replaced" not in stage.command("ls").out


def test_of_a_set_every_dataset_is_listed(stage: Stage) -> None:
    other = f"{stage.dataset}_2"
    stage.big.create_dataset(f"{stage.project}.{other}")
    stage.table("t", 1)
    stage.sql(f"CREATE TABLE `{stage.project}.{other}.u` AS SELECT 1 AS n")
    assert stage.command("run", "--dataset", f"{stage.dataset}*", "--run-id", "r1").code == 0
    listed = bqdump.ls(bucket=stage.bucket)
    assert [one.table for one in listed.tables] == [f"{stage.dataset}.t", f"{other}.u"]
    assert [(one.dataset, one.run, one.tables) for one in listed.datasets] == [
        (stage.dataset, "r1", 1),
        (other, "r1", 1),
    ]
    assert [one.table for one in bqdump.ls("r1", bucket=stage.bucket, include="u").tables] == [f"{other}.u"]
    with pytest.raises(bqdump.UsageError, match="matches no object"):
        bqdump.ls(bucket=stage.bucket, include="w")
    with pytest.raises(bqdump.NotFoundError, match="r9"):
        bqdump.ls("r9", bucket=stage.bucket)
    planned = stage.command("restore", "--plan")
    assert planned.code == 0, planned.text
    assert "2 datasets with 2 tables" in planned.out
