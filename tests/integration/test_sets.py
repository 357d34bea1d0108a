"""Several processes export several datasets, one of them is killed, and the run is completed."""

from __future__ import annotations

import asyncio
import signal

from google.cloud import bigquery

from bqdump.core.documents.codec import decode
from bqdump.core.documents.manifest import Manifest
from bqdump.core.documents.project import Project
from bqdump_local.processes import Processes
from integration.stage import STATE, Ran, Stage, csv_rows, expected_rows, until

DATASETS = ("ops", "sales")
TABLES = ("items", "orders")


def fill(stage: Stage) -> None:
    """Make two datasets in place of the stage's own one."""
    stage.big.delete_dataset(stage.dataset)
    for dataset in DATASETS:
        stage.big.create_dataset(dataset)
        config = bigquery.QueryJobConfig(default_dataset=f"{stage.project}.{dataset}")
        for table in TABLES:
            rows = f"SELECT id, CONCAT('{table}-', CAST(id AS STRING)) AS name FROM UNNEST([1, 2, 3]) AS id"
            stage.big.query_and_wait(f"CREATE TABLE `{table}` AS {rows}", job_config=config)


def extracted(stage: Stage) -> list[tuple[str, str]]:
    """The tables of the extract jobs, each as often as it was extracted."""
    jobs = [job for job in stage.big.list_jobs(page_size=1000) if job.job_type == "extract"]
    return sorted((job.source.dataset_id, job.source.table_id.partition("@")[0]) for job in jobs)


async def one_killed(stage: Stage, every: dict[str, str]) -> Ran:
    """An execution of three tasks, of which one is killed while every job is in flight."""
    processes = Processes()
    running = asyncio.create_task(stage.processes(tasks=3, env=every, execution="night", processes=processes))
    await asyncio.to_thread(until, lambda: len(extracted(stage)) == 4, "every job is in flight")
    assert processes.kill(1, signal.SIGKILL)
    return await running


def test_a_set_is_completed_by_a_rerun_after_a_task_was_killed(stage: Stage) -> None:
    fill(stage)
    stage.stack.jobs(run_seconds=2.0)
    every = {"SOURCE_DATASET": "*", "BQDUMP_PREFIX": "x"}
    ran = asyncio.run(one_killed(stage, every))
    assert [task.attempts[-1].signal for task in ran.execution.tasks].count(signal.SIGKILL) == 1
    stage.stack.jobs(run_seconds=0.0)
    again = stage.execute("--run-id", "night", tasks=2, env=every)
    assert again.codes == [0, 0], again.text
    project = decode(stage.read(f"x/{STATE}project.json"), Project, "project.json")
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
