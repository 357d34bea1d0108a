"""An export in Cloud Run, and a drill of all tables. What they use is in the environment."""

from __future__ import annotations

import json
import os

from airflow.sdk import DAG, task

from bqdump_airflow import BqdumpRunOperator

SETTINGS = json.loads(os.environ["TEST_SETTINGS"])

with DAG("cloud_run", schedule=None):
    BqdumpRunOperator(
        task_id="export",
        settings=SETTINGS | {"prefix": "cloud"},
        job=os.environ["TEST_JOB"],
        tasks=2,
        endpoint=os.environ["TEST_CLOUD_RUN"],
        deferrable=True,
        poll_seconds=0.2,
        retries=1,
    )

with DAG("drill", schedule=None):

    @task
    def drill() -> None:
        """As docs/engines.md has it, of all tables."""
        import bqdump

        drilled = bqdump.drill(**SETTINGS)
        if not drilled.proves:
            raise ValueError("; ".join(drilled.problems))

    drill()
