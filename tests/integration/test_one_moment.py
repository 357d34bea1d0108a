"""Every table is read as it was at one moment, taken from BigQuery's clock while planning."""

from __future__ import annotations

from collections.abc import Callable

from bqdump.core.progress.log_events import LogEvent
from bqdump.core.times import rfc3339
from bqdump.export.run import obtain_plan
from bqdump.export.task import Task
from integration.stage import Stage, csv_rows, expected_rows, records


def planned(stage: Stage, execution: str = "run-1") -> int:
    """Let a first task plan and get no further; returns the run's moment, which has passed on return."""

    async def plan(task: Callable[[int], Task]) -> int:
        return (await obtain_plan(task(0))).snapshot

    moment: int = stage.perform(plan, execution=execution)
    assert stage.now() > moment
    return moment


def test_rows_written_after_planning_are_not_exported(stage: Stage) -> None:
    stage.table("a", 3)
    stage.table("b", 2)
    planned(stage)
    stage.sql("INSERT INTO a (id, name) VALUES (99, 'late')")
    stage.sql("DELETE FROM b WHERE id = 1")
    ran = stage.run(execution="run-1")
    assert ran.code == 0, ran.text
    assert csv_rows(stage.read("a/a_000000000000.csv")) == expected_rows("a", 3)
    assert csv_rows(stage.read("b/b_000000000000.csv")) == expected_rows("b", 2)


def test_a_table_created_after_the_moment_is_not_in_the_export(stage: Stage) -> None:
    stage.table("a")
    planned(stage)
    stage.table("late")
    assert stage.run(execution="run-1").code == 0
    assert [table.table for table in stage.manifest().tables] == ["a"]


def test_an_earlier_snapshot_time_can_be_set(stage: Stage) -> None:
    stage.table("a", 2)
    moment = stage.now()
    stage.now()
    stage.sql("INSERT INTO a (id, name) VALUES (99, 'late')")
    stage.table("late")
    ran = stage.run("--snapshot-time", rfc3339(moment), "--allow", "created-later")
    assert ran.code == 0, ran.text
    manifest = stage.manifest()
    assert manifest.snapshot == moment
    assert csv_rows(stage.read("a/a_000000000000.csv")) == expected_rows("a", 2)
    assert [item.table for item in manifest.skipped] == ["late"]
    assert "created after" in manifest.skipped[0].reason


def test_a_table_dropped_after_the_moment_is_left_out_by_name_and_the_others_are_published(stage: Stage) -> None:
    stage.table("a")
    stage.table("gone")
    planned(stage)
    stage.sql("DROP TABLE gone")
    ran = stage.run(execution="run-1")
    assert ran.code == 0, ran.text
    [dropped] = [line for line in records(ran.text) if line.get("event") == LogEvent.TABLE_DROPPED]
    assert (dropped["severity"], dropped["logging.googleapis.com/labels"]["table"]) == ("WARNING", "gone")
    assert [table.table for table in stage.manifest().tables] == ["a"]
    assert [item.table for item in stage.manifest().skipped] == ["gone"]
