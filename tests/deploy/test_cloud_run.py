"""The stand-in for the Cloud Run Admin API, used by Google's own client."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from googleapiclient.discovery import build_from_document
from googleapiclient.errors import HttpError
from googleapiclient.http import HttpRequest, build_http

from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target
from bqdump.render.deployment import Deployment
from bqdump.render.job import container_of
from bqdump.render.job import job as v1_job
from bqdump_local.cloud_run.app import create_app
from bqdump_local.cloud_run.template import read_template
from bqdump_local.control import Control
from bqdump_local.operations import cloud_run_operation
from deploy import discovery
from local.storage_server import serving

PARENT = "projects/my-project/locations/europe-west1"
JOB = f"{PARENT}/jobs/bqdump"
SCRIPT = """
import os, sys, time
print(os.environ["CLOUD_RUN_TASK_INDEX"], os.environ["CLOUD_RUN_TASK_COUNT"], *sys.argv[1:], os.environ.get("A", ""))
time.sleep(float(os.environ.get("SLEEP", "0")))
sys.exit(int(os.environ.get("EXIT", "0")))
"""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    app = create_app(command=[sys.executable, "-c", SCRIPT])
    with serving(Control(app, service="cloud-run", name=cloud_run_operation)) as url:
        yield url


@pytest.fixture(scope="module")
def api(address: str) -> Iterator[Any]:
    document = discovery.document("run.v2") | {"rootUrl": f"{address}/", "baseUrl": f"{address}/"}
    service = build_from_document(json.dumps(document), http=build_http())
    yield service.projects().locations()
    service.close()


def job(**changes: Any) -> dict[str, Any]:
    container = {"image": "i", "args": ["run"], "env": [{"name": "A", "value": "job"}]}
    body = {"template": {"taskCount": 2, "template": {"maxRetries": 0, "containers": [container]} | changes}}
    assert discovery.check("run.v2", "GoogleCloudRunV2Job", body) == []
    return body


@pytest.fixture(autouse=True)
def _job(api: Any) -> Iterator[None]:
    api.jobs().create(parent=PARENT, jobId="bqdump", body=job()).execute()
    yield
    api.jobs().delete(name=JOB).execute()


def run(api: Any, env: dict[str, str] | None = None, **overrides: Any) -> dict[str, Any]:
    changes = overrides | ({"containerOverrides": [{"env": [{"name": n, "value": v} for n, v in env.items()]}]}
                           if env else {})  # fmt: skip
    operation = api.jobs().run(name=JOB, body={"overrides": changes}).execute()
    assert isinstance(operation, dict)
    return operation


def finished(api: Any, operation: dict[str, Any]) -> dict[str, Any]:
    done = api.operations().wait(name=operation["name"], body={"timeout": "20s"}).execute()
    assert done["done"]
    assert discovery.check("run.v2", "GoogleLongrunningOperation", done) == []
    execution = {key: value for key, value in done["metadata"].items() if key != "@type"}
    assert discovery.check("run.v2", "GoogleCloudRunV2Execution", execution) == []
    assert isinstance(done, dict)
    return done


def log(address: str, operation: dict[str, Any]) -> list[str]:
    name = operation["metadata"]["name"].rpartition("/")[2]
    return sorted(requests.get(f"{address}/_local/logs/{name}", timeout=10).text.splitlines())


def test_a_job_runs_all_its_tasks_and_its_operation_ends_with_the_execution(api: Any, address: str) -> None:
    done = finished(api, run(api))
    assert done["response"]["succeededCount"] == 2
    assert done["response"]["conditions"][0]["state"] == "CONDITION_SUCCEEDED"
    assert log(address, done) == ["0: 0 2 run job", "1: 1 2 run job"]


def test_overrides_replace_arguments_and_merge_variables_for_one_execution(api: Any, address: str) -> None:
    change = {"args": ["plan", "--json"], "env": [{"name": "A", "value": "mine"}]}
    done = finished(api, run(api, taskCount=1, containerOverrides=[change]))
    assert log(address, done) == ["0: 0 1 plan --json mine"]
    assert log(address, finished(api, run(api))) == ["0: 0 2 run job", "1: 1 2 run job"]


def test_a_container_without_arguments_takes_those_of_the_image(api: Any, address: str) -> None:
    done = finished(api, run(api, taskCount=1, containerOverrides=[{"clearArgs": True}]))
    assert log(address, done) == ["0: 0 1 run job"]
    assert 'CMD ["run"]' in (Path(__file__).parents[2] / "Dockerfile").read_text()


def test_an_execution_whose_tasks_fail_fails_its_operation(api: Any) -> None:
    done = finished(api, run(api, {"EXIT": "3"}))
    assert "response" not in done
    assert "2 of 2 tasks" in done["error"]["message"]
    assert done["metadata"]["failedCount"] == 2


def test_a_failed_task_is_retried_as_often_as_the_job_allows(api: Any) -> None:
    api.jobs().patch(name=JOB, body=job(maxRetries=2)).execute()
    done = finished(api, run(api, {"EXIT": "1"}, taskCount=1))
    assert done["metadata"]["retriedCount"] == 2


def test_a_task_that_takes_too_long_fails(api: Any) -> None:
    done = finished(api, run(api, {"SLEEP": "20"}, taskCount=1, timeout="0.2s"))
    assert done["metadata"]["failedCount"] == 1


def test_a_running_execution_can_be_read_and_cancelled(api: Any) -> None:
    operation = run(api, {"SLEEP": "60"})
    name = operation["metadata"]["name"]
    until(lambda: execution(api, name).get("runningCount") == 2)
    assert not api.operations().get(name=operation["name"]).execute()["done"]
    api.jobs().executions().cancel(name=name, body={}).execute()
    done = finished(api, operation)
    assert done["error"]["code"] == 1
    assert execution(api, name)["cancelledCount"] == 2
    assert_refused(400, api.jobs().executions().cancel(name=name, body={}))


def execution(api: Any, name: str) -> dict[str, Any]:
    found = api.jobs().executions().get(name=name).execute()
    assert isinstance(found, dict)
    return found


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_executions_are_listed_newest_first_page_by_page(api: Any) -> None:
    names = [finished(api, run(api, taskCount=1))["metadata"]["name"] for _ in range(3)]
    first = api.jobs().executions().list(parent=JOB, pageSize=2).execute()
    rest = api.jobs().executions().list(parent=JOB, pageSize=2, pageToken=first["nextPageToken"]).execute()
    found = [one["name"] for one in [*first["executions"], *rest["executions"]]]
    assert found[:3] == names[::-1]


def test_concurrent_executions_are_independent(api: Any, address: str) -> None:
    operations = [run(api, {"A": f"x{number}", "SLEEP": "0.1"}, taskCount=1) for number in range(3)]
    assert [log(address, finished(api, one)) for one in operations] == [[f"0: 0 1 run x{n}"] for n in range(3)]


def assert_refused(status: int, request: HttpRequest) -> None:
    with pytest.raises(HttpError) as caught:
        request.execute()
    assert caught.value.resp.status == status


@pytest.mark.parametrize(
    "overrides",
    [{"parallelism": 1}, {"taskCount": 10_001}, {"timeout": "1h"}, {"timeout": "700000s"},
     {"containerOverrides": [{}, {}]}, {"containerOverrides": [{"image": "other"}]}],
)  # fmt: skip
def test_what_cannot_be_overridden_is_refused(address: str, overrides: Any) -> None:
    answer = requests.post(f"{address}/v2/{JOB}:run", json={"overrides": overrides}, timeout=10)
    assert answer.status_code == 400
    assert answer.json()["error"]["status"] == "INVALID_ARGUMENT"


def test_fewer_tasks_than_the_parallelism_are_refused(api: Any) -> None:
    body = job()
    body["template"]["parallelism"] = 2
    api.jobs().patch(name=JOB, body=body).execute()
    assert_refused(400, api.jobs().run(name=JOB, body={"overrides": {"taskCount": 1}}))


def test_missing_resources_are_not_found(api: Any) -> None:
    for request in (
        api.jobs().run(name=f"{PARENT}/jobs/other", body={}),
        api.jobs().get(name=f"{PARENT}/jobs/other"),
        api.jobs().executions().get(name=f"{JOB}/executions/other"),
        api.operations().get(name=f"{PARENT}/operations/other"),
    ):
        assert_refused(404, request)


def test_a_job_is_created_once_and_can_be_replaced_repeatedly(api: Any) -> None:
    assert_refused(409, api.jobs().create(parent=PARENT, jobId="bqdump", body=job()))
    assert api.jobs().patch(name=JOB, body=job(maxRetries=1)).execute()["response"]["generation"] == "2"
    assert api.jobs().get(name=JOB).execute()["template"]["template"]["maxRetries"] == 1
    assert [one["name"] for one in api.jobs().list(parent=PARENT).execute()["jobs"]] == [JOB]


def test_requests_are_counted_by_operation(api: Any, address: str) -> None:
    requests.delete(f"{address}/_local/requests", timeout=10)
    operation = run(api, taskCount=1)
    finished(api, operation)
    api.jobs().executions().list(parent=JOB).execute()
    counted = requests.get(f"{address}/_local/requests", timeout=10).json()["requests"]
    assert counted == {"run.executions.list": 1, "run.jobs.run": 1, "run.operations.wait": 1}


def test_the_rendered_job_can_be_run() -> None:
    settings = Settings(project="p1", dataset="d", target=Target("gs", "bbb"))
    made = container_of(Deployment(settings=settings, region="europe-west1", image="i:1"))
    task = v1_job(made)["spec"]["template"]["spec"]
    spec = task["template"]["spec"]
    body = {"template": {"taskCount": task["taskCount"], "template": {
        "containers": spec["containers"], "maxRetries": spec["maxRetries"], "timeout": f"{spec['timeoutSeconds']}s",
    }}}  # fmt: skip
    assert read_template(body).task_count == 10


def test_the_first_version_of_the_api_is_refused_by_name(address: str) -> None:
    place = "/apis/run.googleapis.com/v1/namespaces/p/jobs/bqdump:run"
    answer = requests.post(f"{address}{place}", json={}, timeout=10)
    said = f"This local stand-in serves the Cloud Run Admin API v2, not v1: {place}"
    assert (answer.status_code, answer.json()["error"]["message"]) == (501, said)
