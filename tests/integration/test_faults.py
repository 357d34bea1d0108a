"""Jobs and requests that go wrong, and what a run makes of it."""

from __future__ import annotations

from collections import Counter

import pytest
import requests

from bqdump.core.errors import TablesFailedError
from bqdump.core.progress.log_events import LogEvent
from integration.stage import Stage, csv_rows, expected_rows, records


def test_a_job_that_failed_for_a_while_is_repeated_under_a_new_id(stage: Stage) -> None:
    stage.table("a")
    stage.table("b")
    stage.stack.jobs(faults=[{"at": "run", "table": "^a@", "reason": "backendError", "times": 2}])
    stage.run_tasks(1, execution="e")
    assert stage.faults_left() == 0
    tried = sorted(job for job in stage.extracts() if job.table == "a")
    assert [job.error for job in tried] == ["backendError", "backendError", ""]
    assert len({job.job for job in tried}) == 3
    assert stage.extracted()["b"] == 1
    manifest = stage.manifest()
    assert [list(table.jobs) for table in manifest.tables if table.table == "a"] == [[tried[-1].job]]
    assert csv_rows(stage.read("a/a_000000000000.csv")) == expected_rows("a", 3)


def test_a_job_that_is_there_already_may_be_found_a_moment_later_only(stage: Stage) -> None:
    stage.table("a")
    stage.stack.jobs(faults=[{"at": "accepted", "table": "^a@", "reason": "backendError", "times": 1}])
    rules = [{"operation": "jobs.get$", "status": 404, "times": 2}]
    requests.put(f"{stage.stack.bigquery}/_local/faults", json={"rules": rules}, timeout=10).raise_for_status()
    try:
        stage.run_tasks(1)
        left = requests.get(f"{stage.stack.bigquery}/_local/faults", timeout=10).json()["rules"]
    finally:
        requests.delete(f"{stage.stack.bigquery}/_local/faults", timeout=10).raise_for_status()
    assert [rule["times"] for rule in left] == [0]
    assert stage.extracted() == {"a": 1}
    assert [table.table for table in stage.manifest().tables] == ["a"]


@pytest.mark.parametrize("status", [503, "reset"])
def test_requests_that_fail_now_and_then_change_nothing(stage: Stage, status: int | str) -> None:
    names = [f"t_{number}" for number in range(4)]
    stage.empty_tables(names)
    for service, url in (("storage", stage.stack.storage), ("bigquery", stage.stack.bigquery)):
        requests.delete(f"{url}/_local/requests", timeout=10).raise_for_status()
        rules = [{"operation": f"^{service}", "status": status, "probability": 0.3, "times": 3}]
        requests.put(f"{url}/_local/faults", json={"rules": rules, "seed": 3}, timeout=10).raise_for_status()
    try:
        stage.run_tasks(2)
        counts = stage.stack.requests()
        assert all(counts[service]["injected"] for service in ("storage", "bigquery"))
    finally:
        for url in (stage.stack.storage, stage.stack.bigquery):
            requests.delete(f"{url}/_local/faults", timeout=10).raise_for_status()
    assert stage.extracted() == Counter(names)
    assert [table.table for table in stage.manifest().tables] == names
    assert stage.staged() == []


def test_an_exceeded_quota_is_reported_with_when_to_retry(stage: Stage) -> None:
    stage.table("a")
    stage.table("b")
    fault = {"at": "run", "table": "^a@", "reason": "quotaExceeded", "message": "Quota exceeded: export bytes per day"}
    stage.stack.jobs(faults=[fault])
    ran = stage.run(execution="e")
    assert ran.code == 6, ran.text
    last = list(records(ran.text))[-1]
    assert (last["severity"], last["event"]) == ("ERROR", LogEvent.COMMAND_FAILED)
    assert "Quota exceeded: export bytes per day" in last["message"]
    assert "in an hour" in last["message"].lower()
    assert stage.files() == []
    # The quota has been replenished.
    stage.stack.jobs(faults=[])
    ran = stage.run("--run-id", "e")
    assert ran.code == 0, ran.text
    assert stage.extracted()["b"] == 1
    assert [table.table for table in stage.manifest().tables] == ["a", "b"]


def test_a_job_that_takes_too_long_is_cancelled_and_fails_its_table_alone(stage: Stage) -> None:
    stage.table("a")
    stage.table("b")
    stage.stack.jobs(faults=[{"at": "run", "table": "^a@", "delay": 600, "times": 1}])
    with pytest.raises(TablesFailedError, match="timed out"):
        stage.run_tasks(1, job_timeout="1s")
    assert stage.extracted()["b"] == 1
    # Resumed, the table gets another job.
    stage.run_tasks(1, execution="again", run_id="many")
    assert {table.table for table in stage.manifest().tables} == {"a", "b"}
