"""The alerts' filters select the log lines that the program writes, and count them by labels that those have."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from google.cloud import bigquery

from bqdump.core.progress.log_events import LogEvent
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target
from bqdump.render.alerts import metrics, policies
from bqdump.render.commands import COMMANDS, WARNINGS
from bqdump.render.deployment import Deployment
from bqdump.render.watched import Exported, Watched, exported
from bqdump_local.execute import task_variables
from deploy.log_query import Counter, Entry, entries, field, selects, summed
from integration.stage import Stage, until


def deployment(stage: Stage, command: str = "run", dataset: str = "", prefix: str = "") -> Deployment:
    target = Target("gs", stage.bucket, prefix)
    made = Settings(project=stage.project, dataset=dataset or stage.dataset, target=target)
    return Deployment(settings=made, region="europe-west1", command=command)


def watched(deployed: Deployment, *others: Exported, **options: Any) -> Watched:
    return Watched((), (exported(deployed.settings), *others), **options)


def overdue(deployed: Deployment, watched: Watched, stored: Iterable[Entry]) -> set[str]:
    """The titles of the alerts on something overdue that fire after these lines."""
    counters, stored = [Counter(one) for one in metrics(deployed)], list(stored)
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


def as_job(stage: Stage, *words: str, env: Mapping[str, str] = {}, code: int = 0) -> list[Entry]:
    """The lines of a command as its job writes them, with the variables of the export."""
    called = stage.command(*words, "--log-format", "json", env=env)
    assert called.code == code, called.text
    # All that the job writes is in lines, with a severity.
    assert called.out == ""
    return entries(called.text, f"bqdump-{words[0]}")


def titles(kind: str, deployed: Deployment, about: str) -> set[str]:
    proof = COMMANDS[deployed.command].proof
    assert proof
    return {f"bqdump: {proof.missing.title} of {about}"} if kind == "overdue" else set()


def test_what_each_command_has_done_is_not_overdue(stage: Stage) -> None:
    stage.table("orders")
    keep = {"BQDUMP_PREFIX": "nightly", "BQDUMP_PATH": "{run}/{table}_*.{ext}", "BQDUMP_FORMAT": "parquet"}
    dest = f"gs://{stage.bucket}/copies/"
    lines = run(stage, **keep)
    done = {
        "run": lines,
        "drill": as_job(stage, "drill", env=keep | {"BQDUMP_DRILL_PROJECT": stage.project}),
        "verify": as_job(stage, "verify", "--read=100%", env=keep),
        "copy": as_job(stage, "copy", dest, env=keep),
        "prune": as_job(stage, "prune", "--yes", "--keep-last", "1", env=keep),
    }
    assert set(done) == {name for name, row in COMMANDS.items() if row.proof}
    for command, own in done.items():
        deployed = deployment(stage, command, prefix="nightly/")
        found = watched(deployed)
        if command == "copy":
            found = found._replace(exports=(Exported(stage.dataset, dest),))
        others = [line for other, some in done.items() if other != command for line in some]
        assert overdue(deployed, found, others) == titles("overdue", deployed, stage.dataset)
        assert overdue(deployed, found, own) == set()
        assert {one["severity"] for one in own} == {"INFO"}
        # What docs/events.md promises of every line.
        assert {field(one, "labels.dataset") for one in own} == {stage.dataset}
        assert "" not in {field(one, "labels.task") for one in own}
    every = [line for own in done.values() for line in own]
    deployed = deployment(stage, prefix="nightly/")
    for title in ("a warning", "not trusted"):
        assert alerted(deployed, watched(deployed), every, title) == []


def test_another_prefix_of_the_dataset_does_not_keep_an_alert_quiet(stage: Stage) -> None:
    stage.table("orders")
    lines = run(stage, "--prefix", "hourly")
    deployed = deployment(stage, prefix="nightly/")
    hourly = exported(deployment(stage, prefix="hourly/").settings)
    place = f"{stage.dataset} in gs://{stage.bucket}/nightly/"
    assert overdue(deployed, watched(deployed, hourly), lines) == {f"bqdump: no recent export of {place}"}


def test_what_each_command_has_done_to_a_set_is_counted_as_its_setting_names_it(stage: Stage) -> None:
    for dataset in ("ops_eu", "ops_us"):
        stage.big.create_dataset(dataset)
        config = bigquery.QueryJobConfig(default_dataset=f"{stage.project}.{dataset}")
        stage.big.query_and_wait("CREATE TABLE orders AS SELECT 1 AS id", job_config=config)
    env = {"SOURCE_DATASET": "ops_eu, ops_u*", "BQDUMP_PREFIX": "x", "BQDUMP_PATH": "{run}/{table}_*.{ext}"}
    dest = f"gs://{stage.bucket}/copies/"
    done = {
        "run": run(stage, **env),
        "drill": as_job(stage, "drill", env=env | {"BQDUMP_DRILL_PROJECT": stage.project}),
        "verify": as_job(stage, "verify", env=env),
        "copy": as_job(stage, "copy", dest, env=env),
        "prune": as_job(stage, "prune", "--yes", "--keep-last", "1", env=env),
    }
    for command, own in done.items():
        deployed = deployment(stage, command, "ops_eu,ops_u*", "x/")
        found = watched(deployed)
        if command == "copy":
            found = found._replace(exports=(Exported("ops_eu,ops_u*", dest),))
        assert overdue(deployed, found, []) == titles("overdue", deployed, "ops_eu,ops_u*")
        assert overdue(deployed, found, own) == set(), command


def test_what_is_not_trusted_or_differs_alerts_and_does_not_count(stage: Stage) -> None:
    stage.table("orders")
    keep = {"BQDUMP_PATH": "{run}/{table}_*.{ext}", "BQDUMP_PREFIX": "nightly"}
    assert stage.command("keys", "new", "own").code == 0
    run(stage, **keep)
    trust, dest = ("--trust", "own.pub"), f"gs://{stage.bucket}/copies/"
    deployed = deployment(stage, "verify", prefix="nightly/")
    untrusted = [
        *as_job(stage, "verify", *trust, code=4, env=keep),
        *as_job(stage, "copy", dest, *trust, code=4, env=keep),
    ]
    of_export = deployment(stage, prefix="nightly/")
    assert len(alerted(of_export, watched(of_export), untrusted, "not trusted")) == 2
    assert overdue(deployed, watched(deployed), untrusted) == titles("overdue", deployed, stage.dataset)
    file = next(blob for blob in stage.store.list_blobs(stage.bucket) if "orders_" in blob.name)
    stage.store.bucket(stage.bucket).blob(file.name).delete()
    different = as_job(stage, "verify", code=4, env=keep)
    failed = [one for one in different if field(one, "jsonPayload.event") == LogEvent.VERIFY_FAILED]
    assert {one["severity"] for one in failed} == {"ERROR"}
    assert {field(one, "labels.table") for one in failed} == {"orders", ""}
    assert overdue(deployed, watched(deployed), different) == titles("overdue", deployed, stage.dataset)
    assert [field(one, "jsonPayload.help") for one in failed] == ["docs/operate.md#a-check-failed"] * len(failed)


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
    assert events == {"table_missing", "notify_failed", "setting_unknown", "latest_unreadable", "manifest_missing"}
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
    lines = [*run(stage, "--route", "query", "--format", "csv")]
    lines += as_job(stage, "drill", env={"BQDUMP_DRILL_PROJECT": stage.project})
    deployed = deployment(stage)
    billed = alerted(deployed, watched(deployed, billed=1), lines, "a large bill")
    assert {"run_done", "drill_proven"} <= {field(one, "jsonPayload.event") for one in billed}
    assert alerted(deployed, watched(deployed, billed=10**12), lines, "a large bill") == []
