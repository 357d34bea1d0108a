"""Engines other than Cloud Run: the Kubernetes job, and the others in docs/internals/engines.md."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from bqdump.cli.setup.render import render
from bqdump.core.settings.resolve import environment, resolve
from bqdump.core.settings.task_identity import ENGINES, identify
from bqdump.services.process import run_id
from bqdump_local.execute import Engine, execute
from bqdump_local.processes import TaskLine
from deploy.dockerfile import read

ROOT = Path(__file__).parents[2]


KUBERNETES = ROOT / "deploy/kubernetes"
FLAGS = ["--project", "my-project", "--dataset", "sales", "--bucket", "my-project-exports", "--region", "europe-west1",
         "--image", "europe-west1-docker.pkg.dev/my-project/bqdump/bqdump:0.2.0"]  # fmt: skip
FILES = {"account": "service-account.yaml", "job": "job.yaml", "cronjob": "cronjob.yaml"}


def rendered(*words: str) -> Any:
    result = CliRunner().invoke(render, ["kubernetes", *FLAGS, *words], help_option_names=["-h", "--help"])
    assert result.exit_code == 0, result.output
    return yaml.safe_load(result.output)


@pytest.fixture(scope="module", params=["job", "cronjob"])
def job(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The Job, and that of the CronJob."""
    (found,) = yaml.safe_load_all((KUBERNETES / FILES[request.param]).read_text())
    assert isinstance(found, dict)
    return (
        {"metadata": {"generateName": "bqdump-"}} | found["spec"]["jobTemplate"]
        if request.param == "cronjob"
        else found
    )


@pytest.mark.parametrize("part", FILES)
def test_the_files_are_what_the_command_prints(part: str) -> None:
    (stored,) = yaml.safe_load_all((KUBERNETES / FILES[part]).read_text())
    assert rendered("--part", part) == stored


def test_a_cronjob_takes_the_deployments_schedule_tasks_and_settings() -> None:
    made = rendered("--schedule", "30 2 * * 1-5", "--time-zone", "Asia/Tokyo", "--tasks", "3", "--memory", "1Gi",
                    "--format", "parquet", "--name", "sales-nightly")  # fmt: skip
    spec = made["spec"]
    assert (spec["schedule"], spec["timeZone"], made["metadata"]["name"]) == (
        "30 2 * * 1-5",
        "Asia/Tokyo",
        "sales-nightly",
    )
    inner = spec["jobTemplate"]["spec"]
    assert (inner["completions"], inner["parallelism"], inner["maxFailedIndexes"]) == (3, 3, 3)
    values = {one["name"]: one.get("value") for one in container({"spec": inner})["env"]}
    assert (values["JOB_COMPLETIONS"], values["BQDUMP_FORMAT"]) == ("3", "parquet")
    assert container({"spec": inner})["resources"]["limits"] == {"memory": "1Gi"}


def test_a_secret_of_secret_manager_is_refused() -> None:
    words = ["kubernetes", *FLAGS, "--secret", "BQDUMP_NOTIFY=hook:1"]
    result = CliRunner().invoke(render, words, help_option_names=["-h", "--help"])
    assert "a secret of Secret Manager" in str(result.exception)


def container(job: dict[str, Any]) -> dict[str, Any]:
    [only] = job["spec"]["template"]["spec"]["containers"]
    assert isinstance(only, dict)
    return only


def pod_environment(job: dict[str, Any], index: int, uid: str) -> dict[str, str]:
    """The variables that Kubernetes sets in a pod of the job."""
    values = {"JOB_COMPLETION_INDEX": str(index)}
    for variable in container(job)["env"]:
        if "value" in variable:
            values[variable["name"]] = variable["value"]
        else:
            path = variable["valueFrom"]["fieldRef"]["fieldPath"]
            assert path == "metadata.labels['batch.kubernetes.io/controller-uid']"
            values[variable["name"]] = uid
    return values


def test_every_pod_has_its_task_index_and_the_run_id(job: dict[str, Any]) -> None:
    uid = "7c6d2f6e-0a51-4b1c-9a3e-2d6a5c0f0a11"
    count = job["spec"]["completions"]
    for index in range(count):
        environ = pod_environment(job, index, uid)
        identity = identify(environ)
        assert (identity.engine, identity.task, identity.tasks) == ("Kubernetes", index, count)
        assert run_id(resolve(environment(environ)), identity) == uid


def test_the_job_gives_each_task_as_many_attempts_as_cloud_run(job: dict[str, Any]) -> None:
    spec = job["spec"]
    assert spec["completionMode"] == "Indexed"
    assert spec["backoffLimitPerIndex"] == 3
    # A failed task does not stop the others, which finish their tables.
    assert spec["maxFailedIndexes"] == spec["completions"]
    assert spec["template"]["spec"]["restartPolicy"] == "Never"
    # A deadline of the Job would end its retries as well.
    assert spec["template"]["spec"]["activeDeadlineSeconds"] == 14400
    assert "activeDeadlineSeconds" not in spec


def test_two_jobs_never_have_the_same_name() -> None:
    # A CronJob names its Jobs by itself.
    assert rendered("--part", "job")["metadata"] == {"generateName": "bqdump-", "labels": {"app": "bqdump"}}


def test_the_pod_runs_as_the_user_of_the_image(job: dict[str, Any]) -> None:
    user, _, group = read((ROOT / "Dockerfile").read_text())[-1].last("USER").partition(":")
    security = job["spec"]["template"]["spec"]["securityContext"]
    assert (security["runAsUser"], security["runAsGroup"]) == (int(user), int(group))
    assert security["runAsNonRoot"] is True


@pytest.mark.parametrize(
    ("engine", "extra"),
    [("kubernetes", {"JOB_COMPLETIONS": "3"}), ("gcp-batch", {"BATCH_JOB_UID": "j-1"}),
     ("aws-batch", {"AWS_BATCH_JOB_ID": "j-1:2"})],
)  # fmt: skip
def test_the_variables_of_each_engine_give_each_task_its_index(engine: Engine, extra: dict[str, str]) -> None:
    code = (
        "import os; from bqdump.core.settings.task_identity import identify; i = identify(os.environ);"
        "print(i.task, i.tasks, i.attempt, i.execution)"
    )
    lines: list[TaskLine] = []
    asyncio.run(execute([sys.executable, "-c", code], tasks=3, env=extra, engine=engine, on_output=lines.append))
    execution = "" if engine == "kubernetes" else "j-1"
    assert sorted(line.text.strip() for line in lines) == [f"{index} 3 0 {execution}".strip() for index in range(3)]


def test_the_page_names_the_variables_that_are_read() -> None:
    page = (ROOT / "docs/internals/engines.md").read_text()
    names = {name for engine in ENGINES for name in (engine.task, *engine.tasks, engine.attempt, *engine.executions)}
    assert {name for name in names if name and f"`{name}`" not in page} == set()
    known = set(re.findall(r"`((?:BATCH|AWS_BATCH|CLOUD_RUN|JOB_COMPLETION)\w*)`", page))
    assert known <= names | {"CLOUD_RUN_JOB"}
