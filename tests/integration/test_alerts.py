"""The alerts' filters select the log lines that the program writes, and count them by labels that those have."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterable
from typing import Any

import pytest
from google.cloud import bigquery

from bqdump.core.progress.log_events import LogEvent
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target
from bqdump.render.alerts import WARNINGS, metrics, policies
from bqdump.render.deployment import Deployment
from bqdump.render.watched import Exported, Watched, exported
from bqdump_local.execute import task_variables
from deploy.log_query import Counter, Entry, entries, field, selects, summed
from integration.stage import Stage, until

DRILL = "0 6 * * 0"


def deployment(stage: Stage, dataset: str = "", prefix: str = "", **settings: Any) -> Deployment:
    target = Target("gs", stage.bucket, prefix)
    made = Settings(project=stage.project, dataset=dataset or stage.dataset, target=target, **settings)
    return Deployment(settings=made, region="europe-west1")


def watched(deployed: Deployment, *others: Exported, **options: Any) -> Watched:
    return Watched((), (exported(deployed.settings), *others), drill=DRILL, verify=DRILL, **options)


def overdue(deployed: Deployment, watched: Watched, stored: Iterable[Entry]) -> set[str]:
    """The titles of the alerts on something overdue that fire after these lines."""
    counters, stored = [Counter(one) for one in metrics(deployed, watched)], list(stored)
    queries = {
        policy["displayName"]: condition["conditionPrometheusQueryLanguage"]["query"]
        for policy in policies(deployed, watched)
        for condition in policy["conditions"]
        if "conditionPrometheusQueryLanguage" in condition
    }
    assert queries
    return {title for title, query in queries.items() if not summed(query, counters, stored)}


def alerted(deployed: Deployment, watched: Watched, stored: Iterable[Entry], title: str) -> list[Entry]:
    """The lines on which the alert of this title fires."""
    (policy,) = (one for one in policies(deployed, watched) if one["displayName"] == f"bqdump: {title}")
    condition = policy["conditions"][0]["conditionMatchedLog"]
    selected = [one for one in stored if selects(condition["filter"], one)]
    # A misspelt variable is found before it is known which dataset is exported.
    about_exports = [one for one in selected if field(one, "jsonPayload.event") != LogEvent.SETTING_UNKNOWN]
    for extractor in condition.get("labelExtractors", {}).values():
        nameless = [one for one in about_exports if not field(one, extractor[len("EXTRACT(") : -1])]
        assert nameless == [], extractor
    return selected


def run(stage: Stage, *arguments: str, **env: str) -> list[Entry]:
    return entries(stage.run(*arguments, env=env).text, "bqdump")


def drill(stage: Stage, **env: str) -> list[Entry]:
    # As Terraform deploys it: with the variables of the export.
    called = stage.command("drill", "--log-format", "json", env=env | {"BQDUMP_DRILL_PROJECT": stage.project})
    assert called.code == 0, called.text
    return entries(called.text, "bqdump-drill")


def test_what_is_published_and_proven_is_not_overdue(stage: Stage) -> None:
    stage.table("orders")
    lines = run(stage, "--prefix", "nightly")
    deployed = deployment(stage, prefix="nightly/")
    found = watched(deployed)
    assert overdue(deployed, found, lines) == {f"bqdump: no recent proof of {stage.dataset}"}
    lines += drill(stage, BQDUMP_PREFIX="nightly")
    assert overdue(deployed, found, lines) == set()
    assert alerted(deployed, found, lines, "a warning") == []


def test_another_prefix_of_the_dataset_does_not_keep_an_alert_quiet(stage: Stage) -> None:
    stage.table("orders")
    lines = [*run(stage, "--prefix", "hourly"), *drill(stage, BQDUMP_PREFIX="hourly")]
    deployed = deployment(stage, prefix="nightly/")
    hourly = exported(deployment(stage, prefix="hourly/").settings)
    place = f"{stage.dataset} in gs://{stage.bucket}/nightly/"
    assert overdue(deployed, watched(deployed, hourly), lines) == {
        f"bqdump: no recent export of {place}", f"bqdump: no recent proof of {place}",
    }  # fmt: skip


@pytest.mark.parametrize("locations", ["", "US=gs://{bucket}/us.1", "EU=gs://elsewhere"])
def test_a_set_is_published_and_proven_as_its_setting_names_it(stage: Stage, locations: str) -> None:
    places = locations.format(bucket=stage.bucket)
    for dataset in ("ops_eu", "ops_us"):
        stage.big.create_dataset(dataset)
        config = bigquery.QueryJobConfig(default_dataset=f"{stage.project}.{dataset}")
        stage.big.query_and_wait("CREATE TABLE orders AS SELECT 1 AS id", job_config=config)
    env = {"SOURCE_DATASET": "ops_eu, ops_u*", "BQDUMP_PREFIX": "x"} | ({"BQDUMP_LOCATIONS": places} if places else {})
    if "elsewhere" in places:
        stage.store.create_bucket("elsewhere")
    lines = run(stage, **env)
    by_location = dict([places.split("=")]) if places else {}
    deployed = deployment(stage, "ops_eu,ops_u*", "x/", locations=by_location)
    found = watched(deployed)
    assert overdue(deployed, found, lines) == {"bqdump: no recent proof of ops_eu,ops_u*"}
    lines += drill(stage, **env)
    assert overdue(deployed, found, lines) == set()


def test_warnings_that_need_attention_alert(stage: Stage) -> None:
    stage.table("orders")
    stage.table("broken")
    stage.stack.jobs(faults=[{"at": "run", "table": "^broken@", "reason": "invalid", "message": "Cannot read it"}])
    lines = run(stage, "--allow-partial", "--notify", "http://127.0.0.1:9/x", "--patience", "1s", BQDUMP_FORMT="csv")
    latest = stage.latest()
    stage.store.bucket(stage.bucket).blob(latest.manifest).delete()
    lines += run(stage)
    deployed = deployment(stage)
    found = watched(deployed)
    events = {field(one, "jsonPayload.event") for one in alerted(deployed, found, lines, "a warning")}
    assert events == {"table_missing", "notify_failed", "setting_unknown", "manifest_missing"}
    others = {field(one, "jsonPayload.event") for one in lines} - events
    assert others.isdisjoint(WARNINGS)


def test_a_stopped_execution_alerts(stage: Stage) -> None:
    stage.table("orders")
    stage.stack.jobs(run_seconds=3.0)
    in_a_job = task_variables("cloud-run", index=0, count=1, attempt=0, execution="stopped", job="bqdump")
    running = subprocess.Popen([sys.executable, "-m", "bqdump", "run"], env=stage.variables | in_a_job,
                               cwd=stage.folder, text=True, stderr=subprocess.PIPE)  # fmt: skip
    until(lambda: [job for job in stage.big.list_jobs() if job.job_type == "extract"], "it exports")
    running.send_signal(signal.SIGTERM)
    _, output = running.communicate(timeout=300)
    deployed = deployment(stage)
    stopped = alerted(deployed, watched(deployed), entries(output, "bqdump"), "an execution was cancelled")
    assert [field(one, "jsonPayload.event") for one in stopped] == [LogEvent.TASK_STOPPED]
    audit = {
        "resource": {"type": "cloud_run_job", "labels": {"job_name": "bqdump-drill"}},
        "protoPayload": {"methodName": "google.cloud.run.v2.Executions.CancelExecution"},
    }
    assert alerted(deployed, watched(deployed), [audit], "an execution was cancelled") == [audit]


def test_a_bill_above_the_limit_alerts(stage: Stage) -> None:
    stage.table("orders")
    lines = [*run(stage, "--route", "query", "--format", "csv"), *drill(stage)]
    deployed = deployment(stage)
    billed = alerted(deployed, watched(deployed, billed=1), lines, "a large bill")
    assert {"run_done", "drill_proven"} <= {field(one, "jsonPayload.event") for one in billed}
    assert alerted(deployed, watched(deployed, billed=10**12), lines, "a large bill") == []
