"""A restore by real processes: killed while its jobs run, shared among tasks, and compared with what was exported."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections import Counter
from typing import Any

from bqdump_local.execute import Execution, execute
from bqdump_local.processes import Processes
from integration.stage import Stage, until

COMMAND = (sys.executable, "-m", "bqdump", "restore")
TABLES = ("nested", "parts", "t_0", "t_1", "t_2")
INTO = "restored"


def fill(stage: Stage) -> None:
    for number in range(3):
        stage.table(f"t_{number}", rows=number + 1)
    stage.sql(
        "CREATE TABLE parts (day DATE, name STRING OPTIONS (description = 'who')) PARTITION BY day CLUSTER BY name "
        "OPTIONS (labels = [('team', 'a')], require_partition_filter = TRUE) "
        "AS SELECT DATE '2026-01-01' AS day, 'a' AS name UNION ALL SELECT DATE '2026-01-02', 'b'"
    )
    stage.sql("CREATE TABLE nested AS SELECT 1 AS id, STRUCT('x' AS a, [1, 2] AS b) AS s")
    stage.run_tasks(1, execution="r1", format="parquet")


def jobs(stage: Stage, kind: str) -> Counter[str]:
    """How often jobs have written to each table of the target, by BigQuery's own list of jobs."""
    listed = stage.big.list_jobs(page_size=1000)
    done = [job for job in listed if job.job_type == kind and job.state == "DONE" and not job.error_result]
    return Counter(job.destination.table_id for job in done if job.destination.dataset_id == INTO)


def loaded_once(stage: Stage) -> None:
    """Every table was loaded once, and put in place once."""
    assert sorted(jobs(stage, "load").values()) == [1] * len(TABLES)
    assert jobs(stage, "copy") == Counter(TABLES)


def restore(stage: Stage, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, "--into", f"{stage.project}.{INTO}", "--quiet", *arguments]
    return subprocess.run(
        command, env=stage.variables, cwd=stage.folder, text=True, capture_output=True, check=False
    )  # fmt: skip


async def killed_then_again(stage: Stage, tasks: int) -> Execution:
    """An execution of which a task is killed as soon as load jobs run, and which restarts it."""
    processes = Processes()
    running = asyncio.create_task(
        execute(
            [*COMMAND, "--into", f"{stage.project}.{INTO}"], tasks=tasks, env=stage.variables, cwd=stage.folder,
            processes=processes, max_retries=3, task_timeout=300,
        )
    )  # fmt: skip
    await asyncio.to_thread(until, lambda: any(job.job_type == "load" for job in stage.big.list_jobs()), "jobs run")
    assert processes.kill(sorted(processes.running)[0])
    return await running


def same(stage: Stage, table: str) -> None:
    """A restored table is like its source: definition and rows."""
    source, made = (stage.big.get_table(f"{stage.project}.{name}.{table}") for name in (stage.dataset, INTO))
    for part in ("schema", "time_partitioning", "clustering_fields", "labels", "num_rows", "require_partition_filter"):
        assert getattr(made, part) == getattr(source, part), part
    where = " WHERE day >= '2000-01-01'" if table == "parts" else ""
    rows: list[Any] = [
        sorted(map(repr, stage.sql(f"SELECT * FROM `{name}.{table}`{where}"))) for name in (stage.dataset, INTO)
    ]
    assert rows[0] == rows[1]


def test_tasks_of_which_one_is_killed_while_jobs_run_load_nothing_twice(stage: Stage) -> None:
    fill(stage)
    stage.stack.jobs(run_seconds=1.5)
    ended = asyncio.run(killed_then_again(stage, 2))
    assert ended.ok
    assert any(len(task.attempts) > 1 for task in ended.tasks)
    stage.stack.jobs(run_seconds=0.0)
    loaded_once(stage)
    for table in TABLES:
        same(stage, table)


def test_values_are_compared_with_the_files_and_a_second_call_has_nothing_to_do(stage: Stage) -> None:
    fill(stage)
    done = restore(stage, "--verify")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    again = restore(stage)
    assert again.returncode == 0, again.stdout
    loaded_once(stage)


def test_a_difference_in_a_restored_table_ends_with_code_4(stage: Stage) -> None:
    fill(stage)
    assert restore(stage).returncode == 0
    stage.sql(f"UPDATE {INTO}.t_1 SET name = 'other' WHERE id = 1")
    done = restore(stage, "--verify", "--json")
    assert done.returncode == 4, done.stderr
    assert '"values"' in done.stdout
    assert "t_1" in done.stdout


def test_a_restore_by_an_account_that_can_only_read_names_the_way_to_write_elsewhere(stage: Stage) -> None:
    stage.table("t_0")
    stage.run_tasks(1, execution="r1")
    stage.deny("storage.objects.create")
    refused = stage.command("restore", "--into", f"{stage.project}.{INTO}", "--quiet")
    assert refused.code == 5
    assert "storage.objects.create" in refused.text
    assert "add --via gs://BUCKET, which it can write" in refused.text
    stage.deny()
