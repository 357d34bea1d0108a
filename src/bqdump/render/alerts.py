"""Alerts on failed and on overdue exports, drills and checks, as a shell script for gcloud.

deploy/terraform/alerts.tf makes the same ones. Sources:
https://cloud.google.com/monitoring/api/ref_v3/rest/v3/projects.alertPolicies,
https://cloud.google.com/logging/docs/reference/v2/rest/v2/projects.metrics
"""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Iterator
from typing import Any, NamedTuple

from bqdump.core.progress.log_events import LogEvent
from bqdump.render.cron import longest_pause
from bqdump.render.deployment import Deployment

RUNBOOK = "docs/operate.md"
JOB_FAILED = 'metric.type = "run.googleapis.com/job/completed_execution_count" AND metric.labels.result = "failed"'
WORKFLOW_FAILED = (
    'metric.type = "workflows.googleapis.com/finished_execution_count" AND metric.labels.status = "FAILED"'
)
# For the run itself, in addition to the time between two starts.
SLACK_HOURS = 2
# The time after which an open incident without data is closed.
AUTO_CLOSE = "86400s"
FUNCTIONS = """\
# Creates or updates a log-based metric: its name; its definition is the input.
metric() {
  action=create
  gcloud logging metrics describe "$1" --project="$project" >/dev/null 2>&1 </dev/null && action=update
  gcloud logging metrics "$action" "$1" --project="$project" --config-from-file=/dev/stdin --quiet
}
# Creates or updates an alert: its display name; its definition is the input.
policy() {
  found=$(gcloud monitoring policies list --project="$project" --filter="displayName=\\"$1\\"" --limit=1 \\
    --format='value(name)' </dev/null)
  if [ -n "$found" ]; then
    gcloud monitoring policies update "$found" --project="$project" --policy-from-file=/dev/stdin --quiet
  else
    gcloud monitoring policies create --project="$project" --policy-from-file=/dev/stdin --quiet
  fi
}
"""


class Watched(NamedTuple):
    """What alerts are about. channels: of notifications. by_workflow: a workflow starts the exports, and repeats them.

    datasets: that are exported. drill, verify: the schedules of the jobs of these names, "" without such a job.
    """

    channels: tuple[str, ...]
    datasets: tuple[str, ...]
    by_workflow: bool = False
    drill: str = ""
    verify: str = ""


def alerts(deployment: Deployment, watched: Watched) -> str:
    """The script. Raises ValueError for a schedule that is not one."""
    lines = ["#!/bin/sh", "# Alerts of bqdump. Can be run again at any time.", "set -eu"]
    lines += [f"project={shlex.quote(deployment.project)}", "", FUNCTIONS.rstrip()]
    for metric in metrics(deployment, watched):
        lines += ["", f"metric {shlex.quote(metric['name'])} <<'END'", _text(metric), "END"]
    for policy in policies(deployment, watched):
        lines += ["", f"policy {shlex.quote(policy['displayName'])} <<'END'", _text(policy), "END"]
    return "\n".join(lines) + "\n"


def metrics(deployment: Deployment, watched: Watched) -> Iterator[dict[str, Any]]:
    """The log-based metrics that count, by dataset, what went well."""
    name = deployment.name
    counts = f"Exports published by the Cloud Run job {name}, by dataset"
    yield _metric(deployment, "published", name, LogEvent.RUN_PUBLISHED, counts)
    if watched.drill:
        counts = f"Drills of the Cloud Run job {name}-drill that proved the export restorable, by dataset"
        yield _metric(deployment, "proven", f"{name}-drill", LogEvent.DRILL_PROVEN, counts)


def policies(deployment: Deployment, watched: Watched) -> Iterator[dict[str, Any]]:
    """The alert policies. An execution that the workflow repeats does not alert; the workflow does, in the end."""
    name = deployment.name
    if watched.by_workflow:
        workflow = f'resource.type = "workflows.googleapis.com/Workflow" AND resource.labels.workflow_id = "{name}"'
        advice = "Its exports were repeated, and some failed each time."
        yield _failed(deployment, watched, "the workflow failed", f"{workflow} AND {WORKFLOW_FAILED}", advice)
    else:
        advice = (
            "The last published export is unchanged, unless the run stopped while it replaced files: `bqdump status` "
            "says so."
        )
        yield _failed(deployment, watched, "an export failed", _job_failed(name), advice)
    if watched.drill:
        advice = "The export may not be restorable."
        yield _failed(deployment, watched, "a drill failed", _job_failed(f"{name}-drill"), advice)
    if watched.verify:
        advice = "A check of the published files failed."
        yield _failed(deployment, watched, "a check failed", _job_failed(f"{name}-verify"), advice)
    hours = hours_between(deployment.schedule)
    for dataset in watched.datasets:
        title, advice = "no recent export", "The published export is getting old."
        yield _overdue(deployment, watched, title, "published", dataset, hours, advice)
    if watched.drill:
        title, advice = "no recent proof", "Nothing shows that the export can be restored."
        dataset = deployment.settings.dataset
        yield _overdue(deployment, watched, title, "proven", dataset, hours_between(watched.drill), advice)


# By title: the section of the runbook.
SECTIONS = {
    "an export failed": "An execution failed",
    "the workflow failed": "The workflow failed",
    "a drill failed": "A drill failed",
    "a check failed": "A check failed",
    "no recent export": "Nothing was published",
    "no recent proof": "No drill proved the export",
}


def hours_between(schedule: str) -> int:
    """The hours after which something that a schedule starts is overdue. Raises ValueError."""
    return math.ceil(longest_pause(schedule) / 60) + SLACK_HOURS


def _metric(deployment: Deployment, kind: str, job: str, event: LogEvent, description: str) -> dict[str, Any]:
    filters = ('resource.type="cloud_run_job"', f'resource.labels.job_name="{job}"', f'jsonPayload.event="{event}"')
    return {
        "name": _metric_name(deployment, kind),
        "description": description,
        "filter": " AND ".join(filters),
        "labelExtractors": {"dataset": "EXTRACT(labels.dataset)"},
        "metricDescriptor": {
            "metricKind": "DELTA",
            "valueType": "INT64",
            "unit": "1",
            "labels": [{"key": "dataset", "valueType": "STRING", "description": "The exported dataset"}],
        },
    }


def _metric_name(deployment: Deployment, kind: str) -> str:
    return f"{deployment.name.replace('-', '_')}_{kind}"


def _job_failed(job: str) -> str:
    return f'resource.type = "cloud_run_job" AND resource.labels.job_name = "{job}" AND {JOB_FAILED}'


def _failed(deployment: Deployment, watched: Watched, title: str, filter_: str, advice: str) -> dict[str, Any]:
    """Alert if something has failed. A shorter duration would not allow missing data to count as inactive."""
    aggregation = {"alignmentPeriod": "300s", "perSeriesAligner": "ALIGN_DELTA", "crossSeriesReducer": "REDUCE_SUM"}
    condition = {
        "filter": filter_,
        "comparison": "COMPARISON_GT",
        "thresholdValue": 0,
        "duration": "60s",
        "evaluationMissingData": "EVALUATION_MISSING_DATA_INACTIVE",
        "aggregations": [aggregation],
        "trigger": {"count": 1},
    }
    return _policy(deployment, watched, title, "ERROR", title, {"conditionThreshold": condition}, advice)


def _overdue(
    deployment: Deployment, watched: Watched, title: str, kind: str, dataset: str, hours: int, advice: str
) -> dict[str, Any]:
    """Alert if nothing went well within hours. A log-based metric has no zeros, so without the vector it would not."""
    series = f'logging_googleapis_com:user_{_metric_name(deployment, kind)}{{monitored_resource="cloud_run_job"'
    condition = {
        "query": f'(sum(increase({series},dataset="{dataset}"}}[{hours}h])) or vector(0)) < 0.5',
        "duration": "600s",
        "evaluationInterval": "300s",
        "disableMetricValidation": True,
    }
    about = {"conditionPrometheusQueryLanguage": condition}
    advice = f"{advice} It is due within {hours} hours."
    return _policy(deployment, watched, title, "WARNING", f"{title} of {dataset}", about, advice)


def _policy(
    deployment: Deployment,
    watched: Watched,
    title: str,
    severity: str,
    about: str,
    condition: dict[str, Any],
    advice: str,
) -> dict[str, Any]:
    shown = f"{deployment.name}: {about}"
    content = f'{advice} What to do: {RUNBOOK}, "{SECTIONS[title]}".'
    return {
        "displayName": shown,
        "combiner": "OR",
        "severity": severity,
        "notificationChannels": list(watched.channels),
        "userLabels": {"app": "bqdump"},
        "conditions": [{"displayName": shown, **condition}],
        "alertStrategy": {"autoClose": AUTO_CLOSE},
        "documentation": {"subject": shown, "mimeType": "text/markdown", "content": content},
    }


def _text(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=2)
