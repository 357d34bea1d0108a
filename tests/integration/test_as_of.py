"""A time in place of a run, in every command that reads one, on exports of one dataset and of a set."""

from __future__ import annotations

import json

import bqdump
from bqdump.core.times import time_text
from integration.stage import Stage

KEEP = "{run}/{table}/{table}_*.{ext}"


def two_runs(stage: Stage) -> list[bqdump.RunLine]:
    """Two runs with folders of their own, the earlier one first: of 1 row and of 2."""
    for rows, run in enumerate(("r1", "r2"), 1):
        stage.table("t", rows)
        stage.run_tasks(1, execution=run, format="parquet", path=KEEP)
    return sorted(bqdump.runs(bucket=stage.bucket), key=lambda line: line.run)


def test_each_command_takes_the_newest_run_that_is_not_later(stage: Stage) -> None:
    first, second = two_runs(stage)
    then = time_text(first.snapshot_time)
    said = f"as of {then}: run r1, with snapshot time {then}"
    for command in (
        ["sql", "-c", "SELECT count(*) AS n FROM t", "--csv"],
        ["verify"],
        ["diff"],
        ["restore", "--into", f"{stage.project}.plan", "--plan"],
        ["restore", "--into", f"{stage.project}.back"],
        ["drill"],
    ):
        done = stage.command(*command, "--as-of", then)
        assert done.code == 0, (command, done.text)
        assert said in done.text, command
    counted = stage.sql(f"SELECT COUNT(*) FROM `{stage.project}.back.t`")
    assert [tuple(row) for row in counted] == [(1,)]
    with_time = stage.command("verify", "--as-of", "today", "--json")
    assert json.loads(with_time.out)["run"] == "r2"
    assert bqdump.verify(bucket=stage.bucket, as_of=first.snapshot_time or "").run == "r1"
    assert bqdump.sql("SELECT count(*) FROM t", bucket=stage.bucket, as_of=then).rows == [[1]]
    assert [one.table for one in bqdump.diff(bucket=stage.bucket, as_of=then)] == ["t"]
    plan = bqdump.restore(into=f"{stage.project}.other", as_of=then, plan=True, bucket=stage.bucket)
    assert (plan.run, second.published) == ("r1", True)


def test_of_a_set_the_run_of_all_datasets_is_chosen(stage: Stage) -> None:
    other = f"{stage.dataset}_2"
    stage.big.create_dataset(f"{stage.project}.{other}")
    for rows, run in enumerate(("r1", "r2"), 1):
        stage.table("t", rows)
        stage.sql(f"CREATE OR REPLACE TABLE `{stage.project}.{other}.t` AS SELECT {rows} AS n")
        done = stage.command("run", "--dataset", f"{stage.dataset}*", "--run-id", run, "--path", KEEP)
        assert done.code == 0, done.text
    whole = next(line for line in bqdump.runs(bucket=stage.bucket) if (line.run, line.dataset) == ("r1", "*"))
    then = time_text(whole.snapshot_time)
    for command in (["verify"], ["restore", "--into", stage.project + ".{dataset}_back"], ["drill"], ["diff"]):
        done = stage.command(*command, "--as-of", then)
        assert done.code == 0, (command, done.text)
        assert "run r1, with snapshot time" in done.text
    assert [tuple(row) for row in stage.sql(f"SELECT n FROM `{stage.project}.{other}_back.t`")] == [(1,)]
