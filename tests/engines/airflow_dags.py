"""DAGs for the tests, in Airflow's folder of DAGs. What they use is in the environment."""

from __future__ import annotations

import json
import os
from datetime import timedelta

from airflow.sdk import DAG, task

from bqdump_airflow import BqdumpPublishedSensor, BqdumpRunOperator, exported_table

SETTINGS = json.loads(os.environ["TEST_SETTINGS"])
IN_CLOUD_RUN = SETTINGS | {"prefix": "cloud"}

with DAG("worker", schedule=None):
    BqdumpRunOperator(task_id="export", settings=SETTINGS, retries=2, retry_delay=timedelta(seconds=1))

with DAG("cloud_run", schedule=None):
    BqdumpRunOperator(
        task_id="export",
        settings=IN_CLOUD_RUN,
        job=os.environ["TEST_JOB"],
        tasks=2,
        endpoint=os.environ["TEST_CLOUD_RUN"],
        deferrable=True,
        poll_seconds=0.2,
        retries=1,
        retry_delay=timedelta(seconds=1),
    )

with DAG("waiting", schedule=None):
    BqdumpPublishedSensor(
        task_id="published",
        settings=SETTINGS,
        since="{{ dag_run.run_after.isoformat() }}",
        deferrable=True,
        poke_interval=0.5,
        timeout=300,
    )

with DAG("reader", schedule=exported_table("t_07", SETTINGS)):

    @task
    def read() -> None:
        """Run when this table was exported."""

    read()

with DAG("drill", schedule=None):

    @task
    def drill() -> None:
        """As docs/engines.md has it."""
        import bqdump

        drilled = bqdump.drill(**SETTINGS)
        if not drilled.proves:
            raise ValueError("; ".join(drilled.problems))

    drill()
