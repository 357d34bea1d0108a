"""Jobs: ids, states, failures, lists and injected faults."""

from __future__ import annotations

import itertools
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from google.api_core.exceptions import BadRequest, Conflict, Forbidden, NotFound, ServiceUnavailable
from google.api_core.retry import Retry

from bqdump_local.bigquery.files.objects import ObjectStore
from bqdump_local.bigquery.jobs import jobs
from bqdump_local.bigquery.jobs.service import Service
from bqdump_local.bigquery.settings import JobSettings
from bqdump_local.bigquery.tables.catalog import Catalog
from bqdump_local.bigquery.tables.warehouse import Warehouse
from local.bigquery_server import PROJECT, Cloud, finish


@pytest.fixture(scope="module")
def table(world: Cloud) -> str:
    name = world.dataset()
    world.sql(f"CREATE TABLE {name}.t AS SELECT 1 AS a")
    return f"{name}.t"


@pytest.fixture(scope="module")
def bucket(world: Cloud) -> str:
    return world.bucket()


def new_id() -> str:
    return f"job-{uuid.uuid4().hex}"


def post(world: Cloud, table: str, bucket: str, **reference: str) -> requests.Response:
    """jobs.insert without the client's retries."""
    dataset, _, name = table.partition(".")
    source = {"projectId": PROJECT, "datasetId": dataset, "tableId": name}
    extract = {"sourceTable": source, "destinationUris": [f"gs://{bucket}/x"]}
    body = {"jobReference": {"projectId": PROJECT, **reference}, "configuration": {"extract": extract}}
    return requests.post(f"{world.address}/bigquery/v2/projects/{PROJECT}/jobs", json=body, timeout=10)


def test_a_job_id_is_accepted_once_among_concurrent_requests(world: Cloud, table: str, bucket: str) -> None:
    job_id = new_id()
    with ThreadPoolExecutor(50) as threads:
        answers = list(threads.map(lambda _: post(world, table, bucket, jobId=job_id), range(50)))
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 49
    refused = next(answer.json()["error"] for answer in answers if answer.status_code == 409)
    assert refused["errors"][0]["reason"] == "duplicate"
    assert refused["message"] == f"Already Exists: Job {PROJECT}:US.{job_id}"


def test_the_client_raises_conflict_for_a_duplicate_id_and_finds_the_job(world: Cloud, table: str, bucket: str) -> None:
    job_id = new_id()
    world.extract(table, f"gs://{bucket}/x", job_id=job_id)
    with pytest.raises(Conflict, match="Already Exists"):
        world.extract(table, f"gs://{bucket}/x", job_id=job_id)
    assert finish(world.client.get_job(job_id, location="US")).state == "DONE"


@pytest.mark.parametrize("job_id", ["a.b", "a b", "a" * 1025, "é"])
def test_an_invalid_job_id_is_refused(world: Cloud, table: str, bucket: str, job_id: str) -> None:
    answer = post(world, table, bucket, jobId=job_id)
    assert (answer.status_code, answer.json()["error"]["errors"][0]["reason"]) == (400, "invalid")


def test_a_job_goes_through_pending_and_running(world: Cloud, table: str, bucket: str) -> None:
    with world.settings(pending_seconds=0.1, run_seconds=0.1):
        job = world.extract(table, f"gs://{bucket}/x", wait=False)
        seen = [job.state]
        while job.state != "DONE":
            job.reload()
            seen.append(job.state)
    assert list(dict.fromkeys(seen)) == ["PENDING", "RUNNING", "DONE"]
    assert timedelta(seconds=0.19) < job.ended - job.created
    assert job.created < job.started < job.ended
    assert job.user_email


def test_the_number_of_concurrent_jobs_is_limited(world: Cloud, table: str, bucket: str) -> None:
    with world.settings(max_running=1, run_seconds=0.05):
        jobs = [world.extract(table, f"gs://{bucket}/x{i}", wait=False) for i in range(3)]
        spans = sorted((finish(job).started, job.ended) for job in jobs)
    assert len(spans) == 3
    assert [later for before, later in itertools.pairwise(spans) if later[0] < before[1]] == []


def test_a_failed_job_has_its_error(world: Cloud, table: str, bucket: str) -> None:
    job = world.extract(f"{table}_missing", f"gs://{bucket}/x", wait=False)
    with pytest.raises(NotFound, match="was not found in location US"):
        finish(job)
    assert job.error_result["reason"] == "notFound"
    assert job.errors == [job.error_result]


def test_a_job_in_the_wrong_location_does_not_find_its_dataset(world: Cloud, table: str, bucket: str) -> None:
    job = world.extract(table, f"gs://{bucket}/x", location="EU", wait=False)
    with pytest.raises(NotFound, match="was not found in location EU"):
        finish(job)


def test_a_job_runs_where_its_dataset_is_and_is_found_only_there(world: Cloud, bucket: str) -> None:
    name = world.dataset(location="asia-east1")
    world.sql(f"CREATE TABLE {name}.t AS SELECT 1 AS a")
    job = world.extract(f"{name}.t", f"gs://{bucket}/x")
    assert job.location == "asia-east1"
    assert world.client.get_job(job.job_id, location="asia-east1").state == "DONE"
    for location in ("US", None):
        url = f"{world.address}/bigquery/v2/projects/{PROJECT}/jobs/{job.job_id}"
        params = {"location": location} if location else {}
        assert requests.get(url, params=params, timeout=10).status_code == 404


def test_labels_are_kept(world: Cloud, table: str, bucket: str) -> None:
    job = world.extract(table, f"gs://{bucket}/x", labels={"run": "one"})
    assert world.client.get_job(job.job_id, location="US").labels == {"run": "one"}


def test_a_cancelled_job_ends_as_stopped(world: Cloud, table: str, bucket: str) -> None:
    with world.settings(run_seconds=30):
        job = world.extract(table, f"gs://{bucket}/cancelled", wait=False)
        job.cancel()
        with pytest.raises(Exception, match="cancelled"):
            finish(job)
    assert job.error_result["reason"] == "stopped"
    assert "cancelled" not in world.names(bucket)


def test_jobs_are_listed_newest_first_in_pages(world: Cloud, table: str, bucket: str) -> None:
    ids = [world.extract(table, f"gs://{bucket}/x").job_id for _ in range(5)]
    listed = [job.job_id for job in world.client.list_jobs(max_results=5)]
    assert listed == ids[::-1]
    pages = world.client.list_jobs(page_size=2).pages
    assert [job.job_id for _, page in zip(range(2), pages, strict=False) for job in page] == ids[:0:-1]


def test_jobs_are_filtered_by_state_and_creation_time(world: Cloud, table: str, bucket: str) -> None:
    done = world.extract(table, f"gs://{bucket}/x")
    with world.settings(run_seconds=0.3):
        job = world.extract(table, f"gs://{bucket}/x", wait=False)
        while job.state != "RUNNING":
            job.reload()
        running = [item.job_id for item in world.client.list_jobs(state_filter="running")]
        assert running == [job.job_id]
        finish(job)
    later = [item.job_id for item in world.client.list_jobs(min_creation_time=job.created)]
    assert job.job_id in later
    assert done.job_id not in later
    earlier = [item.job_id for item in world.client.list_jobs(max_creation_time=done.created)]
    assert done.job_id in earlier
    assert job.job_id not in earlier


def test_several_states_can_be_requested(world: Cloud, table: str, bucket: str) -> None:
    world.extract(table, f"gs://{bucket}/x")
    url = f"{world.address}/bigquery/v2/projects/{PROJECT}/jobs"
    found = requests.get(
        url, params=[("stateFilter", "pending"), ("stateFilter", "done"), ("maxResults", "1")], timeout=10
    ).json()
    assert found["jobs"][0]["state"] == "DONE"


def test_a_minimal_list_omits_the_configuration(world: Cloud, table: str, bucket: str) -> None:
    world.extract(table, f"gs://{bucket}/x")
    url = f"{world.address}/bigquery/v2/projects/{PROJECT}/jobs"
    for projection, present in (("minimal", False), ("full", True)):
        [item] = requests.get(url, params={"projection": projection, "maxResults": "1"}, timeout=10).json()["jobs"]
        assert ("configuration" in item) is present
        assert item["status"] == {"state": "DONE"}


@pytest.mark.parametrize(
    ("reason", "status"),
    [("rateLimitExceeded", 403), ("quotaExceeded", 403), ("accessDenied", 403), ("backendError", 503),
     ("internalError", 500)],
)  # fmt: skip
def test_a_fault_at_insert_refuses_the_job(world: Cloud, table: str, bucket: str, reason: str, status: int) -> None:
    job_id = new_id()
    with world.settings(faults=[{"at": "insert", "table": "^t$", "reason": reason}]):
        answer = post(world, table, bucket, jobId=job_id)
        assert (answer.status_code, answer.json()["error"]["errors"][0]["reason"]) == (status, reason)
        with pytest.raises(NotFound):
            world.client.get_job(job_id, location="US")
        assert post(world, table, bucket, jobId=job_id).status_code == 200


def test_an_accepted_job_can_be_answered_with_an_error(world: Cloud, table: str, bucket: str) -> None:
    job_id = new_id()
    with world.settings(faults=[{"at": "accepted", "reason": "backendError", "message": "Lost."}]):
        assert post(world, table, bucket, jobId=job_id).status_code == 503
    assert finish(world.client.get_job(job_id, location="US")).error_result is None


def test_the_client_meets_its_own_job_after_a_lost_answer(world: Cloud, table: str, bucket: str) -> None:
    with world.settings(faults=[{"at": "accepted"}]), pytest.raises(Conflict, match="Already Exists: Job"):
        world.extract(table, f"gs://{bucket}/x", job_id=new_id())


def test_a_fault_at_run_fails_the_job(world: Cloud, table: str, bucket: str) -> None:
    fault = {"at": "run", "table": "^t$", "reason": "quotaExceeded", "message": "Too much."}
    with world.settings(faults=[fault]):
        job = world.extract(table, f"gs://{bucket}/x", wait=False)
        with pytest.raises(Forbidden, match="Too much"):
            finish(job)
        assert world.extract(table, f"gs://{bucket}/x").error_result is None


def test_unknown_settings_are_refused(world: Cloud) -> None:
    answer = requests.put(f"{world.address}/_local/jobs", json={"nope": 1}, timeout=10)
    assert answer.status_code == 400


@pytest.mark.parametrize(
    "configuration",
    [
        {},
        {"extract": {"destinationUris": ["gs://b/o"]}},
        {"extract": {"sourceTable": {"projectId": "p", "datasetId": "d", "tableId": "t"}}},
        {"query": {}},
        {"load": {"sourceUris": ["gs://b/o"]}},
    ],
)
def test_an_incomplete_request_is_refused(world: Cloud, configuration: dict[str, Any]) -> None:
    body = {"configuration": configuration}
    answer = requests.post(f"{world.address}/bigquery/v2/projects/{PROJECT}/jobs", json=body, timeout=10)
    assert answer.status_code == 400


def test_a_copy_job_copies_the_rows(world: Cloud, table: str) -> None:
    name = world.dataset()
    finish(world.client.copy_table(f"{PROJECT}.{table}", f"{PROJECT}.{name}.copy"))
    assert world.sql(f"SELECT a FROM {name}.copy") == [(1,)]


def test_an_unavailable_service_reaches_the_caller(world: Cloud, table: str, bucket: str) -> None:
    never = Retry(predicate=lambda _: False)
    with (
        world.settings(faults=[{"at": "insert", "times": 1}]),
        pytest.raises(ServiceUnavailable, match="An injected error"),
    ):
        world.client.extract_table(f"{PROJECT}.{table}", f"gs://{bucket}/x", retry=never)


def test_a_query_for_an_unknown_table_is_a_failed_job(world: Cloud) -> None:
    name = world.dataset()
    job = world.client.query(f"SELECT 1 FROM {name}.nope")
    with pytest.raises(NotFound, match="was not found in location US"):
        job.result()
    # The client may have learnt of it from the results, and still have the job as it was when it began.
    job.reload()
    assert job.error_result["reason"] == "notFound"


def test_a_wrong_query_is_a_failed_job(world: Cloud, table: str) -> None:
    with pytest.raises(BadRequest, match="Unrecognized name: nope") as caught:
        world.client.query(f"SELECT nope FROM {table}").result()
    assert caught.value.errors[0]["reason"] == "invalidQuery"


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("CREATE TABLE {d}.made AS SELECT 1 AS a", "made"),
        ("CREATE OR REPLACE TABLE {d}.made (a INT64) AS SELECT 1 AS a", "made"),
        ("INSERT INTO {d}.t (a) VALUES (2)", "t"),
        ("UPDATE {d}.t SET a = 2 WHERE TRUE", "t"),
        ("DELETE FROM {d}.t WHERE TRUE", "t"),
        ("MERGE {d}.t USING (SELECT 5 AS b) ON a = b WHEN NOT MATCHED THEN INSERT (a) VALUES (b)", "t"),
        ("CREATE TABLE {d}.made (a INT64)", None),
        ("CREATE VIEW {d}.made AS SELECT 1 AS a", None),
    ],
)
def test_the_job_of_a_statement_names_the_table_that_it_fills_or_changes(
    world: Cloud, statement: str, named: str | None
) -> None:
    name = world.dataset()
    world.sql(f"CREATE TABLE {name}.t AS SELECT 1 AS a")
    job = world.client.query(statement.format(d=name))
    job.result()
    found = world.client.get_job(job.job_id).destination
    assert (found and str(found)) == (named and f"{PROJECT}.{name}.{named}")


def test_the_oldest_jobs_are_forgotten_beyond_a_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "MOST_JOBS", 3)

    def begin() -> Service:
        settings = JobSettings()
        return Service(Catalog(Warehouse(tmp_path), settings), ObjectStore("http://127.0.0.1:1"), settings)

    def ids(service: Service) -> list[str]:
        return [job.job_id for job in service.jobs.newest_first("p")]

    service = begin()
    for number in range(5):
        body = {"configuration": {"query": {"query": f"SELECT {number}"}}, "jobReference": {"jobId": f"z{9 - number}"}}
        service.accept("p", body).ended.result()
    assert ids(service) == ["z5", "z6", "z7"]
    assert {job for _, _, job in service.catalog.results} == {"z5", "z6", "z7"}
    service.catalog.warehouse.close()
    again = begin()
    assert ids(again) == ["z5", "z6", "z7"]
    again.accept(
        "p", {"configuration": {"query": {"query": "SELECT 1"}}, "jobReference": {"jobId": "a"}}
    ).ended.result()
    assert ids(again) == ["a", "z5", "z6"]
    again.catalog.warehouse.close()
