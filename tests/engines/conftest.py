"""Real schedulers, in environments of their own: `make engines`, every night.

They run what docs/engines.md shows.

Without its environment, a file has no tests: `pytest tests/engines` then fails, as it finds none. Nor has it any in
processes that share tests, since each test goes on from what the one before it did.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from bqdump_local.stack import Stack
from docs.samples import example
from docs.walk import ROOT
from integration.stage import Stage

ENGINES = ("airflow", "dagster", "prefect")
SHARED = "PYTEST_XDIST_WORKER" in os.environ
collect_ignore = [f"test_{name}.py" for name in ENGINES if SHARED or not (Path(sys.prefix) / f".{name}").exists()]
TABLES = ["orders", *(f"t_{number:02}" for number in range(39))]
PAGE = (ROOT / "docs/engines.md").read_text()


def page_example(title: str, stage: Stage) -> str:
    """An example of docs/engines.md for the stage's dataset. What it schedules has no time in the next year."""
    settings = {"project": stage.project, "dataset": stage.dataset, "bucket": stage.bucket}
    code, count = re.subn(r"^SALES = .*$", f"SALES = {settings}", example(PAGE, title, "python"), flags=re.MULTILINE)
    assert count == 1
    return re.sub(r'"0 \d \* \* \*"', '"0 0 29 2 *"', code)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A dataset of 40 tables on a stack of its own, with Cloud Run."""
    folder = tmp_path_factory.mktemp("engine")
    command = [sys.executable, "-m", "bqdump", "local", "--folder", str(folder / "stack")]
    printed = subprocess.run([*command, "up"], capture_output=True, text=True, check=True).stdout
    try:
        found = dict(line.removeprefix("export ").split("=", 1) for line in printed.splitlines())
        stack = Stack(
            found["STORAGE_EMULATOR_HOST"],
            found["BIGQUERY_EMULATOR_HOST"],
            storage_read=found["BIGQUERY_STORAGE_GRPC_ENDPOINT"],
            cloud_run=found["CLOUD_RUN_ADDRESS"],
        )
        made = Stage(stack, folder)
        for name in TABLES:
            made.table(name)
        yield made
        made.close()
    finally:
        subprocess.run([*command, "down"], capture_output=True, check=True)


def create_job(stage: Stage, prefix: str) -> str:
    """A job of Cloud Run that exports the dataset; returns its name."""
    parent = f"projects/{stage.project}/locations/europe-west1"
    variables = {
        "PROJECT_ID": stage.project,
        "SOURCE_DATASET": stage.dataset,
        "DESTINATION_BUCKET": stage.bucket,
        "BQDUMP_PREFIX": prefix,
    }
    env = [{"name": name, "value": value} for name, value in variables.items()]
    body: dict[str, Any] = {"containers": [{"image": "any", "args": ["run"], "env": env}], "maxRetries": 0}
    url = f"{stage.stack.cloud_run}/v2/{parent}/jobs?jobId=bqdump"
    requests.post(url, json={"template": {"template": body}}, timeout=60).raise_for_status()
    return f"{parent}/jobs/bqdump"
