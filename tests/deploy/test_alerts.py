"""The alerts: valid for Google's APIs, the same from Terraform and for gcloud, and no alert that means nothing."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from bqdump.cli.render import render
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target
from bqdump.render.alerts import JOB_FAILED, SECTIONS, WORKFLOW_FAILED, Watched, alerts, metrics, policies
from bqdump.render.deployment import Deployment, check
from deploy import discovery
from deploy.terraform import load_module, resources

ROOT = Path(__file__).parents[2]
CHANNEL = "projects/my-data/notificationChannels/1"
FLAGS = ["--project", "my-data", "--dataset", "sales", "--bucket", "my-exports", "--region", "europe-west1"]
DEPLOYMENT = Deployment(
    settings=Settings(project="my-data", dataset="sales", target=Target("gs", "my-exports")), region="europe-west1"
)
# As below `bqdump`: a command keeps the names of its option for help.
NAMES: dict[str, Any] = {"help_option_names": ["-h", "--help"]}
ALL = Watched((CHANNEL,), ("sales", "it's"), drill="0 6 * * 0", verify="0 7 * * *")
GCLOUD = f"""#!{sys.executable}
import json, pathlib, sys
words, here = sys.argv[1:], pathlib.Path(__file__).parent
known = (here / "known").exists()
if "describe" in words:
    sys.exit(not known)
if "list" in words:
    sys.exit(print("projects/my-data/alertPolicies/7") if known else 0)
with (here / "log").open("a") as log:
    log.write(json.dumps([words, json.load(sys.stdin)]) + "\\n")
"""


def by_title(watched: Watched, deployment: Deployment = DEPLOYMENT) -> dict[str, dict[str, Any]]:
    return {policy["displayName"]: policy for policy in policies(deployment, watched)}


def test_every_policy_and_metric_is_valid() -> None:
    for policy in policies(DEPLOYMENT, ALL):
        assert discovery.check("monitoring.v3", "AlertPolicy", policy) == []
        assert policy["notificationChannels"] == [CHANNEL]
        assert policy["alertStrategy"] == {"autoClose": "86400s"}
    for metric in metrics(DEPLOYMENT, ALL):
        assert discovery.check("logging.v2", "LogMetric", metric) == []
        assert set(metric["labelExtractors"]) == {one["key"] for one in metric["metricDescriptor"]["labels"]}


def test_each_dataset_has_an_alert_of_its_own() -> None:
    assert set(by_title(ALL)) == {
        "bqdump: an export failed", "bqdump: a drill failed", "bqdump: a check failed",
        "bqdump: no recent export of sales", "bqdump: no recent export of it's", "bqdump: no recent proof of sales",
    }  # fmt: skip


def test_what_the_workflow_repeats_does_not_alert() -> None:
    watched = Watched((CHANNEL,), ("sales",), by_workflow=True)
    assert set(by_title(watched)) == {"bqdump: the workflow failed", "bqdump: no recent export of sales"}


@pytest.mark.parametrize(("schedule", "hours"), [("0 3 * * *", 26), ("0 3 * * 0", 170), ("*/30 * * * *", 3)])
def test_an_export_is_overdue_by_its_own_schedule(schedule: str, hours: int) -> None:
    deployment = check(Deployment(settings=DEPLOYMENT.settings, region="europe-west1", schedule=schedule))
    (condition,) = by_title(Watched((CHANNEL,), ("sales",)), deployment)["bqdump: no recent export of sales"][
        "conditions"
    ]
    query = condition["conditionPrometheusQueryLanguage"]["query"]
    selector = 'logging_googleapis_com:user_bqdump_published{monitored_resource="cloud_run_job",dataset="sales"}'
    assert query == f"(sum(increase({selector}[{hours}h])) or vector(0)) < 0.5"


@pytest.mark.parametrize("known", [False, True])
def test_the_script_creates_or_updates_everything(tmp_path: Path, known: bool) -> None:
    (tmp_path / "gcloud").write_text(GCLOUD)
    (tmp_path / "gcloud").chmod(0o755)
    if known:
        (tmp_path / "known").touch()
    # As in `bqdump render alerts | sh`: the script is the standard input.
    script = alerts(DEPLOYMENT, ALL)
    subprocess.run(["sh"], input=script, text=True, check=True, env={"PATH": f"{tmp_path}:/usr/bin:/bin"})
    done = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [document for _, document in done] == [*metrics(DEPLOYMENT, ALL), *policies(DEPLOYMENT, ALL)]
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
    assert "day of the week" in refused("--notification-channel", CHANNEL, "--drill-schedule", "0 0 * * 9")
    assert "only valid with --workflow" in refused("--notification-channel", CHANNEL, "--datasets", "a,b")


def test_the_command_prints_the_script() -> None:
    result = CliRunner().invoke(render, ["alerts", *FLAGS, "--notification-channel", CHANNEL], **NAMES)
    assert result.output == alerts(DEPLOYMENT, Watched((CHANNEL,), ("sales",)))


# The same from Terraform


@pytest.fixture(scope="module")
def module() -> dict[str, Any]:
    return load_module(ROOT / "deploy/terraform")


def local(module: dict[str, Any], name: str) -> Any:
    (value,) = [block[name] for block in module["locals"] if name in block]
    return value


def resource(module: dict[str, Any], kind: str, name: str) -> dict[str, Any]:
    (body,) = [body for found, called, body in resources(module) if (found, called) == (kind, name)]
    return body


def camel(value: Any) -> Any:
    """An argument of Terraform as a field of the API."""
    if isinstance(value, dict):
        inner = {key: camel(item) for key, item in value.items() if not key.startswith("__")}
        return {re.sub(r"_(\w)", lambda found: found[1].upper(), key): item for key, item in inner.items()}
    if isinstance(value, list):
        return [camel(item) for item in value]
    return value.removeprefix('"').removesuffix('"').replace('\\"', '"') if isinstance(value, str) else value


def test_terraform_alerts_on_failures_alike(module: dict[str, Any]) -> None:
    body = resource(module, "google_monitoring_alert_policy", "failed")
    made = camel(body["conditions"][0]["condition_threshold"][0])
    expected = dict(by_title(ALL)["bqdump: an export failed"]["conditions"][0]["conditionThreshold"])
    assert made["trigger"] == [expected.pop("trigger")]
    assert {key: made[key] for key in expected if key != "filter"} == {
        key: value for key, value in expected.items() if key != "filter"
    }
    failures = local(module, "all_failures")
    filters = {kind: camel(found["failures"]).replace('\\"', '"') for kind, found in failures.items()}
    assert filters.pop("workflow") == WORKFLOW_FAILED
    assert set(filters.values()) == {JOB_FAILED}


def test_terraform_alerts_on_what_is_overdue_alike(module: dict[str, Any]) -> None:
    body = resource(module, "google_monitoring_alert_policy", "overdue")
    made = camel(body["conditions"][0]["condition_prometheus_query_language"][0])
    condition = by_title(ALL)["bqdump: no recent export of sales"]["conditions"][0]["conditionPrometheusQueryLanguage"]
    assert {key: made[key] for key in condition if key != "query"} == {
        key: value for key, value in condition.items() if key != "query"
    }
    dataset = 'dataset="${each.value.dataset}"'
    for part in ("(sum(increase(logging_googleapis_com:user_", ")) or vector(0)) < 0.5", dataset):
        assert part in made["query"]
    metric = resource(module, "google_logging_metric", "events")
    assert camel(metric["label_extractors"]) == next(metrics(DEPLOYMENT, ALL))["labelExtractors"]


def test_terraform_names_the_same_sections(module: dict[str, Any]) -> None:
    failures = {camel(found["title"]): camel(found["section"]) for found in local(module, "all_failures").values()}
    events = {camel(found["missing"]): camel(found["section"]) for found in local(module, "all_events").values()}
    assert failures | events == SECTIONS


def test_every_alert_names_a_section_of_the_runbook() -> None:
    runbook = (ROOT / "docs/operate.md").read_text()
    assert [name for name in SECTIONS.values() if f"### {name}\n" not in runbook] == []
