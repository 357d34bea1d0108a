"""`bqdump local up` with Cloud Run, used by Google's own client over REST: jobs run real tasks on the same stack."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import requests
from google.api_core.client_options import ClientOptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery, run_v2, storage

PROJECT, DATASET, BUCKET = "my-project", "sales", "my-exports"
PARENT = f"projects/{PROJECT}/locations/europe-west1"
JOB = f"{PARENT}/jobs/bqdump"
SECONDS = 300


def bqdump_local(folder: Path, *words: str) -> str:
    command = [sys.executable, "-m", "bqdump", "local", "--folder", str(folder), *words]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.fixture(scope="module")
def variables(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The variables that `local up` has printed, with a dataset of three tables and a bucket."""
    folder = tmp_path_factory.mktemp("up") / "stack"
    printed = bqdump_local(folder, "up")
    try:
        assert bqdump_local(folder, "up") == printed, "another terminal gets the same"
        found = dict(line.removeprefix("export ").split("=", 1) for line in printed.splitlines())
        _fill(found)
        yield found
    finally:
        bqdump_local(folder, "down")


def _fill(found: Mapping[str, str]) -> None:
    anonymous: Any = AnonymousCredentials
    big = bigquery.Client(PROJECT, anonymous(), client_options=ClientOptions(found["BIGQUERY_EMULATOR_HOST"]))
    store = storage.Client(PROJECT, anonymous(), client_options=ClientOptions(found["STORAGE_EMULATOR_HOST"]))
    store.create_bucket(BUCKET)
    big.create_dataset(DATASET)
    for name in ("a", "b", "c"):
        big.query_and_wait(f"CREATE TABLE {DATASET}.{name} AS SELECT 1 AS id")
    big.close()
    store.close()


def client_of(kind: Any, variables: Mapping[str, str]) -> Any:
    anonymous: Any = AnonymousCredentials
    options = ClientOptions(api_endpoint=variables["CLOUD_RUN_ADDRESS"])
    return kind(credentials=anonymous(), transport="rest", client_options=options)


@pytest.fixture(scope="module")
def jobs(variables: dict[str, str]) -> Iterator[Any]:
    client = client_of(run_v2.JobsClient, variables)
    settings = {"PROJECT_ID": PROJECT, "SOURCE_DATASET": DATASET, "DESTINATION_BUCKET": BUCKET}
    container = run_v2.Container(
        image="any", args=["run"], env=[run_v2.EnvVar(name=name, value=value) for name, value in settings.items()]
    )
    template = run_v2.TaskTemplate(containers=[container], max_retries=0)
    job = run_v2.Job(template=run_v2.ExecutionTemplate(task_count=1, template=template))
    made = client.create_job(parent=PARENT, job=job, job_id="bqdump").result(timeout=SECONDS)
    assert made.name == JOB
    yield client
    client.delete_job(name=JOB).result(timeout=SECONDS)
    client.transport.close()


@pytest.fixture(scope="module")
def executions(variables: dict[str, str]) -> Iterator[Any]:
    client = client_of(run_v2.ExecutionsClient, variables)
    yield client
    client.transport.close()


def request(task_count: int, **env: str) -> run_v2.RunJobRequest:
    overrides = run_v2.RunJobRequest.Overrides(
        task_count=task_count,
        container_overrides=[
            run_v2.RunJobRequest.Overrides.ContainerOverride(
                env=[run_v2.EnvVar(name=name, value=value) for name, value in env.items()]
            )
        ],
    )
    return run_v2.RunJobRequest(name=JOB, overrides=overrides)


def test_a_job_exports_with_the_settings_and_tasks_of_its_overrides(
    variables: dict[str, str], jobs: Any, executions: Any
) -> None:
    done = jobs.run_job(request(3, BQDUMP_PREFIX="over", BQDUMP_FORMAT="json")).result(timeout=SECONDS)
    assert (done.task_count, done.succeeded_count, done.failed_count) == (3, 3, 0)
    store = storage.Client(
        PROJECT, AnonymousCredentials(), client_options=ClientOptions(variables["STORAGE_EMULATOR_HOST"])
    )
    files = [blob.name for blob in store.list_blobs(BUCKET, prefix="over/") if "_bqdump/" not in blob.name]
    store.close()
    assert files == [f"over/{name}/{name}_000000000000.json" for name in "abc"]
    assert executions.get_execution(name=done.name).succeeded_count == 3
    assert done.name in [one.name for one in executions.list_executions(parent=JOB)]


def test_an_execution_that_fails_fails_its_operation(jobs: Any) -> None:
    with pytest.raises(Exception, match="1 of 1 tasks"):
        jobs.run_job(request(1, SOURCE_DATASET="nowhere")).result(timeout=SECONDS)


def test_an_execution_can_be_cancelled(variables: dict[str, str], jobs: Any, executions: Any) -> None:
    slow = {"rules": [{"operation": "bigquery", "seconds": 30}]}
    faults = f"{variables['BIGQUERY_EMULATOR_HOST']}/_local/faults"
    requests.put(faults, json=slow, timeout=10).raise_for_status()
    try:
        operation = jobs.run_job(request(1, BQDUMP_PREFIX="cancelled"))
        ended = executions.cancel_execution(name=operation.metadata.name).result(timeout=SECONDS)
    finally:
        requests.delete(faults, timeout=10)
    assert ended.cancelled_count == 1
    assert ended.succeeded_count == 0


@pytest.mark.parametrize("service", ["STORAGE_EMULATOR_HOST", "BIGQUERY_EMULATOR_HOST", "CLOUD_RUN_ADDRESS"])
def test_no_server_of_the_stack_answers_other_host_names(variables: Mapping[str, str], service: str) -> None:
    address = f"{variables[service]}/_local/health"
    assert requests.get(address, timeout=20).status_code == 200
    port = variables[service].rpartition(":")[2]
    for host in (f"evil.example:{port}", "evil.example", "127.0.0.1:1"):
        assert requests.get(address, headers={"Host": host}, timeout=20).status_code == 403, host


def test_the_storage_read_api_does_not_answer_web_pages(variables: Mapping[str, str]) -> None:
    """Browsers support HTTP/2 only with TLS, and this server only without TLS."""
    address, _, port = variables["BIGQUERY_STORAGE_GRPC_ENDPOINT"].partition(":")
    with socket.create_connection((address, int(port)), timeout=20) as connection:
        connection.sendall(f"POST /any HTTP/1.1\r\nHost: {address}:{port}\r\n\r\n".encode())
        assert not connection.recv(100).startswith(b"HTTP/")
