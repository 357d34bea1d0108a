"""Several processes export or restore several datasets, one of them is killed, and the work is completed."""

from __future__ import annotations

import asyncio
import signal
import sys

from google.cloud import bigquery

from bqdump.core.documents.codec import decode
from bqdump.core.documents.manifest import Manifest
from bqdump.core.documents.sets import SetManifest
from bqdump_local.execute import Execution, execute
from bqdump_local.processes import Processes, TaskLine
from docs.walk import follow
from integration.stage import STATE, Ran, Stage, csv_rows, expected_rows, until

DATASETS = ("ops_eu", "sales")
TABLES = ("items", "orders")
EVERY = {"SOURCE_DATASET": "*", "BQDUMP_PREFIX": "x"}
RESTORE = (sys.executable, "-m", "bqdump", "restore", "--into", "{dataset}_copy")


def fill(stage: Stage) -> None:
    """Make two datasets in place of the stage's own one."""
    stage.big.delete_dataset(stage.dataset)
    for dataset in DATASETS:
        stage.big.create_dataset(dataset)
        config = bigquery.QueryJobConfig(default_dataset=f"{stage.project}.{dataset}")
        for table in TABLES:
            rows = f"SELECT id, CONCAT('{table}-', CAST(id AS STRING)) AS name FROM UNNEST([1, 2, 3]) AS id"
            stage.big.query_and_wait(f"CREATE TABLE `{table}` AS {rows}", job_config=config)


def test_the_plan_of_a_set_begins_with_its_cost_and_shows_the_tables(stage: Stage) -> None:
    fill(stage)
    free = stage.command("plan", "--exclude", "items", env=EVERY)
    first, second, *_ = free.out.splitlines()
    assert first.startswith("Free: 2 extract jobs, ")
    assert first.endswith(" One task is enough.")
    assert second.endswith(", 2 excluded by --include/--exclude.")
    exported = free.out.partition("\nExported:\n")[2]
    assert [line.split()[0] for line in exported.splitlines()[1:]] == ["ops_eu.orders", "sales.orders"]
    config = bigquery.QueryJobConfig(default_dataset=f"{stage.project}.sales")
    stage.big.query_and_wait(f"CREATE VIEW recent AS SELECT * FROM `{stage.project}.sales.orders`", job_config=config)
    billed = stage.command("plan", "--price-per-tib", "1000", env=EVERY).out
    assert "4 extract jobs, free; 1 query job, billed for 10.5 MB: less than $0.01 at $1000 per TiB." in billed
    assert "sales.recent  query" in billed.partition("Not exported by a free extract job:")[2]


def extracted(stage: Stage) -> list[tuple[str, str]]:
    """The tables of the extract jobs, each as often as it was extracted."""
    jobs = [job for job in stage.big.list_jobs(page_size=1000) if job.job_type == "extract"]
    return sorted((job.source.dataset_id, job.source.table_id.partition("@")[0]) for job in jobs)


async def one_killed(stage: Stage) -> Ran:
    """An execution of three tasks, of which one is killed while every job is in flight."""
    processes = Processes()
    running = asyncio.create_task(stage.processes(tasks=3, env=EVERY, execution="night", processes=processes))
    await asyncio.to_thread(until, lambda: len(extracted(stage)) == 4, "every job is in flight")
    # A task that has found every job started may have ended already.
    assert any(processes.kill(task, signal.SIGKILL) for task in processes.running)
    return await running


def test_a_set_is_completed_by_a_rerun_after_a_task_was_killed(stage: Stage) -> None:
    fill(stage)
    stage.stack.jobs(run_seconds=2.0)
    ran = asyncio.run(one_killed(stage))
    assert [task.attempts[-1].signal for task in ran.execution.tasks].count(signal.SIGKILL) == 1
    stage.stack.jobs(run_seconds=0.0)
    again = stage.execute("--run-id", "night", tasks=2, env=EVERY)
    assert again.codes == [0, 0], again.text
    project = decode(stage.read(f"x/{STATE}project.json"), SetManifest, "project.json")
    assert (project.run, project.status) == ("night", "complete")
    assert [(one.dataset, one.state) for one in project.datasets] == [(name, "published") for name in DATASETS]
    for entry in project.datasets:
        manifest = decode(stage.read(entry.manifest), Manifest, entry.manifest)
        assert (manifest.run, manifest.snapshot, manifest.dataset) == ("night", project.snapshot, entry.dataset)
        for table in TABLES:
            [file] = next(one.files for one in manifest.tables if one.table == table)
            assert csv_rows(stage.read(file.name)) == expected_rows(table, 3)
    # A job in flight is awaited by whoever takes its table over.
    assert extracted(stage) == [(dataset, table) for dataset in DATASETS for table in TABLES]


def destinations(stage: Stage, kind: str) -> list[tuple[str, str]]:
    """The tables that jobs of this kind write to: load jobs to scratch tables, which copy jobs put in place."""
    jobs = [job for job in stage.big.list_jobs(page_size=1000) if job.job_type == kind]
    return sorted((job.destination.dataset_id, job.destination.table_id) for job in jobs)


async def restore(
    stage: Stage, *arguments: str, tasks: int = 1, processes: Processes | None = None
) -> tuple[Execution, str]:
    """An execution of `bqdump restore`, and what it has logged."""
    lines: list[TaskLine] = []
    variables = {**stage.variables, **EVERY}
    done = await execute(
        [*RESTORE, *arguments], tasks=tasks, env=variables, cwd=stage.folder, on_output=lines.append,
        processes=processes or Processes(), max_retries=0, task_timeout=300,
    )  # fmt: skip
    return done, "\n".join(line.text for line in lines)


async def restore_of_which_one_is_killed(stage: Stage) -> Execution:
    processes = Processes()
    running = asyncio.create_task(restore(stage, tasks=3, processes=processes))
    await asyncio.to_thread(until, lambda: len(destinations(stage, "load")) == 4, "every job is in flight")
    # A task that has found every job started may have ended already.
    assert any(processes.kill(task, signal.SIGKILL) for task in processes.running)
    return (await running)[0]


def test_a_set_is_restored_by_the_same_command_after_a_task_was_killed(stage: Stage) -> None:
    fill(stage)
    stage.big.query_and_wait(f"CREATE VIEW ops_eu.all_orders AS SELECT * FROM `{stage.project}.sales.orders`")
    assert stage.run(env=EVERY).code == 0
    stage.stack.jobs(run_seconds=2.0)
    ended = asyncio.run(restore_of_which_one_is_killed(stage))
    assert [task.attempts[-1].signal for task in ended.tasks].count(signal.SIGKILL) == 1
    stage.stack.jobs(run_seconds=0.0)
    again, _ = asyncio.run(restore(stage, tasks=2))
    assert [task.attempts[-1].exit_code for task in again.tasks] == [0, 0]
    assert len(destinations(stage, "load")) == 4
    assert destinations(stage, "copy") == [(f"{dataset}_copy", table) for dataset in DATASETS for table in TABLES]
    view = stage.big.get_table(f"{stage.project}.ops_eu_copy.all_orders")
    assert view.view_query == f"SELECT * FROM `{stage.project}.sales_copy.orders`"
    assert len(list(stage.big.query_and_wait(f"SELECT * FROM `{stage.project}.ops_eu_copy.all_orders`"))) == 3
    # Each table bills 10 MB in the target, and 10 MB in the source.
    limited, text = asyncio.run(restore(stage, "--verify", "--max-bytes-billed", "50MB"))
    assert limited.tasks[0].attempts[-1].exit_code == 3
    assert "in addition to" in text


def test_the_commands_of_the_page_about_sets_work(stage: Stage) -> None:
    fill(stage)
    stage.store.create_bucket("my-exports")
    output = follow("docs/sets.md", stage.folder, {**stage.stack.variables(), "PROJECT_ID": stage.project})
    assert "2 datasets with 4 tables, 12 rows" in output
    assert "into my-project.{dataset}_restored (US).\n" in output
    assert "restored 2 datasets: 4 tables, 12 rows" in output
    restored = [table.table_id for table in stage.big.list_tables("my-project.ops_eu_restored")]
    assert restored == list(TABLES)
