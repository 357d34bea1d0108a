"""The alerts: valid for Google's APIs, the same from Terraform and for gcloud, and no alert that means nothing."""

from __future__ import annotations

import json
import re
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from bqdump.cli.setup.render import render
from bqdump.core.errors import UsageError
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target
from bqdump.render import commands
from bqdump.render.alerts import DUE, SINCE, metrics, policies
from bqdump.render.deployment import Deployment, check
from bqdump.render.scripts import alerts_script
from bqdump.render.watched import Exported, Watched
from deploy import discovery
from programs import python_program

ROOT = Path(__file__).parents[2]
CHANNEL = "projects/my-data/notificationChannels/1"
FLAGS = ["--project", "my-data", "--dataset", "sales", "--bucket", "my-exports", "--region", "europe-west1"]
DEPLOYMENT = Deployment(
    settings=Settings(project="my-data", dataset="sales", target=Target("gs", "my-exports")), region="europe-west1"
)
# As below `bqdump`: a command keeps the names of its option for help.
NAMES: dict[str, Any] = {"help_option_names": ["-h", "--help"]}
SALES = Exported("sales", "gs://my-exports/")
OPS = Exported("ops,crm_*", "gs://my-exports/it's/")
ALL = Watched((CHANNEL,), (SALES, OPS), billed=10**12)
GCLOUD = python_program("""import json, pathlib, sys
words, here = sys.argv[1:], pathlib.Path(__file__).parent
known = (here / "known").exists()
if "describe" in words:
    sys.exit(not known)
if "list" in words:
    sys.exit(print("projects/my-data/alertPolicies/7", 1000, sep="\\t") if known else 0)
with (here / "log").open("a") as log:
    log.write(json.dumps([words, json.load(sys.stdin)]) + "\\n")
""")


def by_title(watched: Watched, deployment: Deployment = DEPLOYMENT) -> dict[str, dict[str, Any]]:
    return {policy["displayName"]: policy for policy in policies(deployment, watched)}


def test_every_policy_and_metric_is_valid() -> None:
    assert policies(DEPLOYMENT, ALL)
    assert metrics(DEPLOYMENT)
    for policy in policies(DEPLOYMENT, ALL):
        assert discovery.check("monitoring.v3", "AlertPolicy", policy) == []
        assert policy["notificationChannels"] == [CHANNEL]
        (condition,) = policy["conditions"]
        rate = {"notificationRateLimit": {"period": "3600s"}} if "conditionMatchedLog" in condition else {}
        assert policy["alertStrategy"] == {"autoClose": "86400s"} | rate
    for metric in metrics(DEPLOYMENT):
        assert discovery.check("logging.v2", "LogMetric", metric) == []
        assert set(metric["labelExtractors"]) == {one["key"] for one in metric["metricDescriptor"]["labels"]}


def test_each_dataset_has_an_alert_of_its_own() -> None:
    assert set(by_title(ALL)) == {
        "bqdump: an export failed", "bqdump: no recent export of sales", "bqdump: no recent export of ops,crm_*",
        "bqdump: an execution takes too long", "bqdump: an execution was cancelled", "bqdump: a warning",
        "bqdump: not trusted", "bqdump: a large bill",
    }  # fmt: skip


def test_what_the_workflow_repeats_does_not_alert() -> None:
    watched = Watched((CHANNEL,), (SALES,), by_workflow=True)
    assert set(by_title(watched)) == {
        "bqdump: the workflow failed", "bqdump: no recent export of sales", "bqdump: an execution takes too long",
        "bqdump: an execution was cancelled", "bqdump: a warning", "bqdump: not trusted",
    }  # fmt: skip


def test_two_prefixes_of_a_dataset_have_an_alert_each() -> None:
    watched = Watched((CHANNEL,), (SALES, Exported("sales", "gs://my-exports/hourly/")))
    titles = [title for title in by_title(watched) if "recent" in title]
    assert titles == [
        "bqdump: no recent export of sales in gs://my-exports/",
        "bqdump: no recent export of sales in gs://my-exports/hourly/",
    ]


def test_an_execution_that_takes_longer_than_an_attempt_alerts() -> None:
    def duration(seconds: int) -> str:
        deployment = Deployment(settings=DEPLOYMENT.settings, region="europe-west1", timeout_seconds=seconds)
        alert = by_title(ALL, deployment)["bqdump: an execution takes too long"]["conditions"][0]
        condition = alert["conditionThreshold"]
        names = '"bqdump", "bqdump-drill", "bqdump-verify", "bqdump-copy", "bqdump-prune", "bqdump-restore"'
        assert f"resource.labels.job_name = one_of({names})" in condition["filter"]
        return str(condition["duration"])

    assert [duration(seconds) for seconds in (14_400, 90, 604_800)] == ["14400s", "120s", "84600s"]


@pytest.mark.parametrize(
    ("schedule", "hours"), [("0 3 * * *", 26), ("0 3 * * 0", 170), ("*/30 * * * *", 3), ("0 3 * * 1-5", 74)]
)
def test_an_export_is_overdue_by_its_own_schedule(schedule: str, hours: int) -> None:
    deployment = check(Deployment(settings=DEPLOYMENT.settings, region="europe-west1", schedule=schedule))
    (condition,) = by_title(Watched((CHANNEL,), (SALES,)), deployment)["bqdump: no recent export of sales"][
        "conditions"
    ]
    query = condition["conditionPrometheusQueryLanguage"]["query"]
    labels = 'monitored_resource="cloud_run_job",dataset="sales",target="gs://my-exports/"'
    published = f"sum(increase(logging_googleapis_com:user_bqdump_published{{{labels}}}[{hours}h]))"
    assert query == f"({published} or vector(0)) < 0.5 and on() vector(time()) > {DUE}"


@pytest.mark.parametrize("command", ["run", "drill"])
@pytest.mark.parametrize(("rpo", "hours"), [("26h", 25), ("2d", 47), ("25h", 24)])
def test_an_export_and_its_proof_are_overdue_an_hour_before_the_recovery_point_objective(
    command: str, rpo: str, hours: int
) -> None:
    flags = [*FLAGS, "--command", command, "--rpo", rpo, "--notification-channel", CHANNEL]
    done = CliRunner().invoke(render, ["alerts", *flags], catch_exceptions=False, **NAMES)
    assert f"[{hours}h]))" in done.output
    assert f"It is due within {hours} hours." in done.output


def test_what_the_objective_is_not_about_is_overdue_by_its_schedule() -> None:
    flags = [
        *FLAGS,
        "--command",
        "verify",
        "--schedule",
        "0 6 * * 0",
        "--rpo",
        "26h",
        "--notification-channel",
        CHANNEL,
    ]
    assert "[170h]))" in CliRunner().invoke(render, ["alerts", *flags], catch_exceptions=False, **NAMES).output


@pytest.mark.parametrize(
    ("command", "schedule", "rpo", "why", "hint"),
    [
        ("run", "0 3 * * *", "24h", "24 hours between two runs", "Start runs more often, or set it to 25h at least."),
        ("drill", "0 6 * * 0", "26h", "168 hours between two drills", "Start drills more often, or set it to 169h"),
    ],
)
def test_an_objective_that_the_schedule_cannot_meet_is_refused(
    command: str, schedule: str, rpo: str, why: str, hint: str
) -> None:
    words = ["--command", command, "--schedule", schedule, "--rpo", rpo, "--notification-channel", CHANNEL]
    with pytest.raises(UsageError, match=why) as refused:
        CliRunner().invoke(render, ["alerts", *FLAGS, *words], catch_exceptions=False, **NAMES)
    assert refused.value.setting == "rpo"
    assert hint in refused.value.hint


@pytest.mark.parametrize("known", [False, True])
def test_the_script_creates_or_updates_everything(tmp_path: Path, known: bool) -> None:
    (tmp_path / "gcloud").write_text(GCLOUD)
    (tmp_path / "gcloud").chmod(0o755)
    if known:
        (tmp_path / "known").touch()
    # As in `bqdump render alerts | sh`: the script is the standard input.
    script, now = alerts_script(DEPLOYMENT, ALL), int(time.time())
    subprocess.run(["sh"], input=script, text=True, check=True, env={"PATH": f"{tmp_path}:/usr/bin:/bin"})
    done = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    for (_, document), made in zip(done, [*metrics(DEPLOYMENT), *policies(DEPLOYMENT, ALL)], strict=True):
        text = json.dumps(made)
        if SINCE in text:
            since = int(document["userLabels"]["since"])
            assert since == 1000 if known else since >= now
            text = text.replace(SINCE, str(since)).replace(DUE, str(since + 3600 * 26))
        assert document == json.loads(text)
    action = "update" if known else "create"
    assert {words[words.index("--project=my-data") - (1 if "policies" in words and not known else 2)]
            for words, _ in done} == {action}  # fmt: skip


def test_the_command_refuses_what_is_no_channel_and_no_schedule() -> None:
    def refused(*words: str) -> str:
        result = CliRunner().invoke(render, ["alerts", *FLAGS, *words], **NAMES)
        assert result.exit_code
        return f"{result.output}{result.exception}"

    assert "--notification-channel" in refused()
    assert "invalid value '7'" in refused("--notification-channel", "7")
    assert "day of the week" in refused("--notification-channel", CHANNEL, "--schedule", "0 0 * * 9")
    assert "--dest" in refused("--notification-channel", CHANNEL, "--command", "copy")
    assert "only valid with --command run" in refused("--notification-channel", CHANNEL, "--command", "drill",
                                                      "--billed", "1TB")  # fmt: skip
    assert "only valid with --workflow" in refused("--notification-channel", CHANNEL, "--exports", __file__)
    no_input = refused("--notification-channel", CHANNEL, "--workflow", "--exports", __file__)
    assert "not an input" in no_input
    assert "`bqdump render workflow --region europe-west1 --part input` prints one." in no_input
    assert "invalid value '1XB'" in refused("--notification-channel", CHANNEL, "--billed", "1XB")


def test_the_command_prints_the_script() -> None:
    result = CliRunner().invoke(render, ["alerts", *FLAGS, "--notification-channel", CHANNEL], **NAMES)
    assert result.output == alerts_script(DEPLOYMENT, Watched((CHANNEL,), (SALES,)))


def test_the_exports_of_the_workflow_are_watched_with_the_settings_that_each_item_omits(tmp_path: Path) -> None:
    items = [
        {"project": "my-data", "dataset": "sales", "bucket": "my-exports", "tasks": 10},
        {"project": "my-data", "dataset": "ops, crm_*", "bucket": "other", "prefix": "own", "timeout": "3600s"},
    ]
    path = tmp_path / "exports.json"
    path.write_text(json.dumps({"exports": items, "resume": "1"}))
    words = ["alerts", *FLAGS, "--prefix", "nightly", "--workflow", "--exports", str(path)]
    result = CliRunner().invoke(render, [*words, "--notification-channel", CHANNEL], **NAMES)
    assert result.exit_code == 0, result.output
    for dataset, target in (("sales", "my-exports/nightly/"), ("ops,crm_*", "other/own/")):
        assert f'dataset=\\"{dataset}\\",target=\\"gs://{target}\\"' in result.output
    path.write_text(json.dumps({"exports": [{"dataset": "a/b"}]}))
    refused = CliRunner().invoke(render, [*words, "--notification-channel", CHANNEL], **NAMES)
    assert f"{path}: dataset" in f"{refused.output}{refused.exception}"


def test_every_alert_names_a_section_of_the_page_for_operators() -> None:
    page = (ROOT / "docs/operate.md").read_text()
    alerts = [alert for alert in vars(commands).values() if isinstance(alert, commands.Alert)]
    for row in commands.COMMANDS.values():
        alerts += [row.failed, *([row.proof.missing] if row.proof else [])]
    assert len(alerts) > 15
    assert [alert.section for alert in alerts if f"### {alert.section}\n" not in page] == []
    assert {alert.help for alert in alerts} == {f"docs/operate.md#{anchor}" for anchor in anchors(alerts)}


def anchors(alerts: list[commands.Alert]) -> set[str]:
    """As code hosts and the site make them of headings."""
    return {alert.section.lower().replace(" ", "-") for alert in alerts}


def test_every_command_that_does_its_work_every_night_has_an_alert_on_that() -> None:
    for name, row in commands.COMMANDS.items():
        deployment = check(Deployment(settings=DEPLOYMENT.settings, region="europe-west1", command=name))
        titles = set(by_title(Watched((CHANNEL,), (SALES,)), deployment))
        expected = {f"bqdump: {row.failed.title}"}
        if row.proof:
            expected.add(f"bqdump: {row.proof.missing.title} of sales")
        assert titles >= expected
        # A restore is started by hand.
        assert (row.proof is None) == (name == "restore")


# Why these ask nothing of an operator who sees no alert.
NO_ALERT = {
    LogEvent.TASK_STOPPED: "it has an alert of its own",
    LogEvent.RUNS_PASSED_OVER: "it has an alert of its own",
    LogEvent.MANIFEST_PASSED_OVER: "it has an alert of its own",
    LogEvent.OBJECT_HIDDEN: "it has an alert of its own",
    LogEvent.RUN_COPIED: "the next copy completes what names the set, and a late one is overdue",
    LogEvent.TELEMETRY_MISSING: "whoever collects telemetry sees that it is missing",
    LogEvent.TELEMETRY_FAILED: "whoever collects telemetry sees that it is missing",
    LogEvent.REPORT_FAILED: "`bqdump report` writes it at any time",
    LogEvent.RESULT_NOT_PRINTED: "a job prints no result",
    LogEvent.TABLE_NOT_ICEBERG: "the plan names it, each night",
    LogEvent.FILES_WITHOUT_IDS: "readers find columns by name",
    LogEvent.TABLE_CARRIED_OVER: "the next run decides about the table",
    LogEvent.JOB_RETRIED: "a new job follows",
    LogEvent.READ_RETRIED: "it is read again",
    LogEvent.REQUEST_RETRIED: "it is repeated",
    LogEvent.SERVICE_SILENT: "it is repeated, and the command fails in the end",
    LogEvent.CHECKSUM_DIFFERS: "the file is read again, and the command fails in the end",
    LogEvent.COST_NOTED: "whoever restores reads the log",
    LogEvent.RESTORE_NOT_RESUMED: "whoever restores reads the log",
    LogEvent.NOT_RESTORABLE: "whoever restores reads the log, and a drill fails",
    LogEvent.OTHER_RUN: "whoever restores reads the log",
    LogEvent.VALUES_NOT_COMPARED: "whoever restores reads the log, and a drill fails",
    LogEvent.PARTITIONS_WITHOUT_ROWS: "whoever restores reads the log",
    LogEvent.PROPERTY_NOT_RESTORED: "whoever restores reads the log",
    LogEvent.CHECK_SCRATCH_LEFT: "`check-service` is no job",
    LogEvent.COLUMNS_CHANGED: "the next export has the new columns",
    LogEvent.NOT_BY_PARTITION: "the plan names it, each night",
    LogEvent.PARTITION_CHANGED: "a query reads it, and the bill has an alert of its own",
    LogEvent.PARTITIONS_REMOVED: "partitions expire every night where a table says so",
    LogEvent.PATTERN_UNMATCHED: "the plan names it, each night",
    LogEvent.RISK_ALLOWED: "a setting allows it",
    LogEvent.LINK_SKIPPED: "a job writes to no folder",
}


def test_every_warning_has_an_alert_or_a_reason_to_have_none() -> None:
    page = (ROOT / "docs/events.md").read_text()
    warnings = set(re.findall(r"^\| `([a-z_]+)` \| [A-Z, ]*WARNING", page, re.MULTILINE))
    assert len(warnings) > 40
    alerted = {*commands.WARNINGS}
    assert alerted <= warnings
    assert alerted.isdisjoint(NO_ALERT)
    assert {event.value for event in (*alerted, *NO_ALERT)} == warnings
