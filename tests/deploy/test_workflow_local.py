"""The workflow, the job and its tasks together on the local stack."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import urllib3
from google.api_core.client_options import ClientOptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery, storage

from bqdump.core.documents.codec import decode
from bqdump.core.documents.target import Latest
from bqdump.render.job import workflow_source
from bqdump_local import stack as local_stack
from bqdump_local.cloud_run.app import create_app
from bqdump_local.control import Control
from bqdump_local.operations import cloud_run_operation
from deploy.workflow_engine import ENVIRONMENT, EXECUTION, FailedError, operation_failed, refusal, run
from docs.samples import example
from docs.walk import ROOT
from local.storage_server import serving

PROJECT = "my-project"
PARENT = f"projects/{PROJECT}/locations/{ENVIRONMENT['GOOGLE_CLOUD_LOCATION']}"
# What the recipe exports; each item of the workflow of `bqdump render` has its own.
OWN = {"PROJECT_ID": PROJECT, "SOURCE_DATASET": "hr", "DESTINATION_BUCKET": "own-exports"}
ENV = [{"name": name, "value": value} for name, value in OWN.items()]
JOB = {
    "template": {
        "taskCount": 1,
        "template": {"maxRetries": 0, "containers": [{"image": "i", "args": ["run"], "env": ENV}]},
    }
}


class StackWithCloudRun:
    """A stack with Cloud Run, and a connector to it."""

    def __init__(self, stack: local_stack.Stack, address: str, root: Path) -> None:
        self.stack, self.address, self.root = stack, address, root

    def latest(self, bucket: str) -> Latest | None:
        """The published manifest of a bucket."""
        file = self.root / bucket / "_bqdump/latest.json"
        return decode(file.read_bytes(), Latest, file.name) if file.exists() else None

    def connector(self, method: str, url: str, body: Any) -> Any:
        """Run the job and wait for its execution, as the connector of Workflows does, or send a request to BigQuery."""
        if url.startswith("https://bigquery.googleapis.com"):
            answer = requests.get(url.replace("https://bigquery.googleapis.com", self.stack.bigquery), timeout=10)
            if not answer.ok:
                raise refusal(answer.status_code, answer.json()["error"]["message"])
            return answer.json()
        local = url.replace("https://run.googleapis.com", self.address)
        answer = requests.request(method, local, json=body, timeout=60)
        answer.raise_for_status()
        waited = requests.post(f"{self.address}/v2/{answer.json()['name']}:wait", json={"timeout": "60s"}, timeout=90)
        operation = waited.json()
        if "error" in operation:
            raise operation_failed(operation)
        return operation["response"]

    def executions(self) -> list[dict[str, Any]]:
        """Every execution of the job, oldest first."""
        listed = requests.get(f"{self.address}/v2/{PARENT}/jobs/bqdump/executions", timeout=10).json()["executions"]
        return [dict(one) for one in listed[::-1]]

    def jobs_started(self) -> int:
        """The number of BigQuery jobs that were started."""
        counted: Any = self.stack.requests()
        return int(counted["bigquery"]["requests"].get("bigquery.jobs.insert", 0))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackWithCloudRun]:
    root = tmp_path_factory.mktemp("buckets")
    with local_stack.running(root=root) as stack:
        _fill(stack)
        app = create_app(environ=stack.variables(), at_once=2)
        with serving(Control(app, service="cloud-run", name=cloud_run_operation)) as address:
            requests.post(f"{address}/v2/{PARENT}/jobs?jobId=bqdump", json=JOB, timeout=10).raise_for_status()
            yield StackWithCloudRun(stack, address, root)


def _fill(stack: local_stack.Stack) -> None:
    anonymous = AnonymousCredentials()
    big = bigquery.Client(PROJECT, anonymous, client_options=ClientOptions(api_endpoint=stack.bigquery))
    store = storage.Client(PROJECT, anonymous, client_options=ClientOptions(api_endpoint=stack.storage))
    for bucket in ("sales-exports", "hr-exports", "own-exports"):
        store.create_bucket(bucket)
    for dataset, tables in (("sales", 3), ("hr", 2)):
        big.create_dataset(dataset)
        for number in range(tables):
            big.query_and_wait(f"CREATE TABLE {dataset}.t{number} AS SELECT {number} AS n")
    big.close()
    store.close()


def item(dataset: str, bucket: str, **others: Any) -> dict[str, Any]:
    return {"project": PROJECT, "dataset": dataset, "bucket": bucket} | others


def test_two_datasets_go_to_two_buckets_and_a_failing_one_is_named(world: StackWithCloudRun) -> None:
    exports = [
        item("sales", "sales-exports", tasks=2),
        item("missing", "hr-exports", prefix="missing"),
        item("hr", "hr-exports", format="json"),
    ]
    with pytest.raises(FailedError) as caught:
        run(workflow_source(), {"exports": exports}, world.connector)
    assert caught.value.payload["message"].startswith(
        f"1 of 3 items failed; my-project.missing to gs://hr-exports/missing (run {EXECUTION}-1) "
    )
    sales, hr = world.latest("sales-exports"), world.latest("hr-exports")
    assert sales
    assert hr
    assert (sales.dataset, sales.run) == ("sales", f"{EXECUTION}-0")
    assert (hr.dataset, hr.run) == ("hr", f"{EXECUTION}-2")
    assert sorted(path.name for path in (world.root / "hr-exports").glob("t*/*")) == [
        "t0_000000000000.json", "t1_000000000000.json",
    ]  # fmt: skip
    # The failing one was attempted three times, as one run; the others once.
    counts = [one["taskCount"] for one in world.executions()]
    assert sorted(counts) == [1, 1, 1, 1, 2]


def test_a_repeated_workflow_exports_nothing_again(world: StackWithCloudRun) -> None:
    exports = [item("sales", "sales-exports", tasks=2)]
    run(workflow_source(), {"exports": exports, "resume": "again"}, world.connector)
    first = world.latest("sales-exports")
    before = world.jobs_started()
    run(workflow_source(), {"exports": exports, "resume": "again"}, world.connector)
    assert world.latest("sales-exports") == first
    assert world.jobs_started() == before > 0


def test_the_number_of_tasks_follows_the_number_of_tables(world: StackWithCloudRun) -> None:
    datasets = f"{world.stack.bigquery}/bigquery/v2/projects/{PROJECT}/datasets"
    schema = {"fields": [{"name": "n", "type": "INT64"}]}
    with urllib3.PoolManager() as http:
        http.request("POST", datasets, json={"datasetReference": {"datasetId": "many"}})
        for number in range(501):
            reference = {"projectId": PROJECT, "datasetId": "many", "tableId": f"t{number}"}
            table = {"tableReference": reference, "schema": schema}
            assert http.request("POST", f"{datasets}/many/tables", json=table).status == 200
    before = len(world.executions())
    exports = [item("many", "hr-exports", prefix="many", include="t0"), item("hr", "hr-exports", prefix="few")]
    run(workflow_source(), {"exports": exports, "resume": "counted"}, world.connector)
    assert sorted(one["taskCount"] for one in world.executions()[before:]) == [1, 2]
    assert (world.root / "hr-exports/many/t0/t0_000000000000.csv").exists()


def test_the_recipe_repeats_a_failed_execution_which_resumes_its_run(world: StackWithCloudRun) -> None:
    source = example((ROOT / "docs/engines.md").read_text(), "Cloud Workflows", "yaml")
    before = len(world.executions())
    world.stack.jobs(faults=[{"at": "run", "table": "^t1@", "reason": "invalid", "times": 1}])
    run(source, None, world.connector)
    assert [one.get("failedCount", 0) for one in world.executions()[before:]] == [1, 0]
    latest = world.latest("own-exports")
    assert latest
    assert (latest.dataset, latest.run) == ("hr", EXECUTION)
