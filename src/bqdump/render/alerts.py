"""Alerts on failed, overdue, hanging and cancelled executions, on warnings and on bills.

deploy/terraform/alerts.tf makes the same ones. Sources:
https://cloud.google.com/monitoring/api/ref_v3/rest/v3/projects.alertPolicies,
https://cloud.google.com/logging/docs/reference/v2/rest/v2/projects.metrics,
https://cloud.google.com/logging/docs/view/logging-query-language
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bqdump.core.progress.log_events import LogEvent
from bqdump.render.deployment import Deployment, longest_pause
from bqdump.render.watched import Exported, Watched, exported

RUNBOOK = "docs/operate.md"
JOB_FAILED = 'metric.type = "run.googleapis.com/job/completed_execution_count" AND metric.labels.result = "failed"'
JOB_RUNS = 'metric.type = "run.googleapis.com/job/running_executions"'
WORKFLOW_FAILED = (
    'metric.type = "workflows.googleapis.com/finished_execution_count" AND metric.labels.status = "FAILED"'
)
# Audit log of Cloud Run. A task that receives SIGTERM logs that as well, whatever has stopped it.
CANCELLED = f'(jsonPayload.event="{LogEvent.TASK_STOPPED}" OR protoPayload.methodName=~"\\.CancelExecution$")'
# Warnings that ask an operator to do something. Other warnings are of passing faults, or of what the settings allow.
WARNINGS = (
    LogEvent.TABLE_MISSING,
    LogEvent.TABLE_GIVEN_UP,
    LogEvent.DATASET_SKIPPED,
    LogEvent.RUN_SUPERSEDED,
    LogEvent.NOTHING_EXPORTED,
    LogEvent.MANIFEST_MISSING,
    LogEvent.LATEST_UNREADABLE,
    LogEvent.OBJECT_HIDDEN,
    LogEvent.ICEBERG_METADATA_LOST,
    LogEvent.PRUNE_FAILED,
    LogEvent.CLEANUP_FAILED,
    LogEvent.DRILL_DATASET_LEFT,
    LogEvent.NOTIFY_FAILED,
    LogEvent.SETTING_UNKNOWN,
)
# For the run itself, in addition to the time between two starts.
SLACK_HOURS = 2
# Monitoring accepts no longer duration of a condition.
LONGEST_SECONDS = 84_600
# The time after which an open incident without data is closed, and between two notifications about log lines.
AUTO_CLOSE, RATE = "86400s", "3600s"
# Filled by scripts.py: the time from which something is overdue, so that a new deployment is not.
DUE, SINCE = "@due@", "@since@"

# By title: the section of the runbook.
SECTIONS = {
    "an export failed": "An execution failed",
    "the workflow failed": "The workflow failed",
    "a drill failed": "A drill failed",
    "a check failed": "A check failed",
    "no recent export": "Nothing was published",
    "no recent proof": "No drill proved the export",
    "an execution takes too long": "An execution takes too long",
    "an execution was cancelled": "An execution was cancelled",
    "a warning": "A run logged a warning",
    "a large bill": "A run billed too much",
}
LABELS = {
    "dataset": ("EXTRACT(labels.dataset)", "The exported dataset"),
    "target": ("EXTRACT(labels.target)", "Where it is exported to"),
}


def metrics(deployment: Deployment, watched: Watched) -> Iterator[dict[str, Any]]:
    """The log-based metrics that count, by dataset and target, what went well."""
    name = deployment.name
    counts = f"Exports published by the Cloud Run job {name}, by dataset and target"
    yield _metric(deployment, "published", name, LogEvent.RUN_PUBLISHED, counts)
    if watched.drill:
        counts = f"Drills of the Cloud Run job {name}-drill that proved the export restorable, by dataset and target"
        yield _metric(deployment, "proven", f"{name}-drill", LogEvent.DRILL_PROVEN, counts)


def policies(deployment: Deployment, watched: Watched) -> Iterator[dict[str, Any]]:
    """The alert policies. An execution that the workflow repeats does not alert; the workflow does, in the end."""
    yield from _failures(deployment, watched)
    hours = hours_between(deployment.schedule)
    for export in watched.exports:
        advice = "The published export is getting old."
        yield _overdue(deployment, watched, "no recent export", "published", export, hours, advice)
    if watched.drill:
        # The job of drills has the settings of the job of exports, whatever the workflow exports as well.
        export, hours = exported(deployment.settings), hours_between(watched.drill)
        advice = "Nothing shows that the export can be restored."
        yield _overdue(deployment, watched, "no recent proof", "proven", export, hours, advice)
    yield _hanging(deployment, watched)
    jobs = _log_of(watched.jobs(deployment))
    advice = "What it was doing is not done."
    yield _logged(deployment, watched, "an execution was cancelled", f"{jobs} AND {CANCELLED}", {}, advice)
    events = " OR ".join(f'"{event}"' for event in WARNINGS)
    labels = {"event": "EXTRACT(jsonPayload.event)", "dataset": LABELS["dataset"][0]}
    advice = "The export is published or proven, and something needs attention."
    yield _logged(deployment, watched, "a warning", f"{jobs} AND jsonPayload.event=({events})", labels, advice)
    if watched.billed:
        filter_ = f"{jobs} AND jsonPayload.bytes_billed>{watched.billed}"
        advice = f"More than {watched.billed} bytes were billed."
        yield _logged(deployment, watched, "a large bill", filter_, labels, advice)


def hours_between(schedule: str) -> int:
    """The hours after which something that a schedule starts is overdue. Raises ValueError."""
    return math.ceil(longest_pause(schedule) / 60) + SLACK_HOURS


def _failures(deployment: Deployment, watched: Watched) -> Iterator[dict[str, Any]]:
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


def _metric(deployment: Deployment, kind: str, job: str, event: LogEvent, description: str) -> dict[str, Any]:
    return {
        "name": _metric_name(deployment, kind),
        "description": description,
        "filter": f'{_log_of([job])} AND jsonPayload.event="{event}"',
        "labelExtractors": {name: extractor for name, (extractor, _) in LABELS.items()},
        "metricDescriptor": {
            "metricKind": "DELTA",
            "valueType": "INT64",
            "unit": "1",
            "labels": [
                {"key": name, "valueType": "STRING", "description": words} for name, (_, words) in LABELS.items()
            ],
        },
    }


def _metric_name(deployment: Deployment, kind: str) -> str:
    return f"{deployment.name.replace('-', '_')}_{kind}"


def _log_of(jobs: Sequence[str]) -> str:
    quoted = " OR ".join(f'"{job}"' for job in jobs)
    named = quoted if len(jobs) == 1 else f"({quoted})"
    return f'resource.type="cloud_run_job" AND resource.labels.job_name={named}'


def _job_failed(job: str) -> str:
    return f'resource.type = "cloud_run_job" AND resource.labels.job_name = "{job}" AND {JOB_FAILED}'


def _failed(deployment: Deployment, watched: Watched, title: str, filter_: str, advice: str) -> dict[str, Any]:
    """Alert if something has failed. A shorter duration would not allow missing data to count as inactive."""
    aggregation = {"alignmentPeriod": "300s", "perSeriesAligner": "ALIGN_DELTA", "crossSeriesReducer": "REDUCE_SUM"}
    condition = _threshold(filter_, "60s", aggregation)
    return _policy(deployment, watched, title, "ERROR", title, condition, advice)


def _hanging(deployment: Deployment, watched: Watched) -> dict[str, Any]:
    """Alert on an execution that takes longer than one attempt of a task may: an attempt has ended without result."""
    names = ", ".join(f'"{job}"' for job in watched.jobs(deployment))
    filter_ = f'resource.type = "cloud_run_job" AND resource.labels.job_name = one_of({names}) AND {JOB_RUNS}'
    aggregation = {
        "alignmentPeriod": "60s",
        "perSeriesAligner": "ALIGN_MAX",
        "crossSeriesReducer": "REDUCE_SUM",
        "groupByFields": ["resource.labels.job_name"],
    }
    seconds = min(60 * math.ceil(deployment.timeout_seconds / 60), LONGEST_SECONDS)
    title, advice = "an execution takes too long", f"Executions have run for {seconds // 60} minutes without a break."
    return _policy(
        deployment, watched, title, "WARNING", title, _threshold(filter_, f"{seconds}s", aggregation), advice
    )


def _threshold(filter_: str, duration: str, aggregation: Mapping[str, Any]) -> dict[str, Any]:
    condition = {
        "filter": filter_,
        "comparison": "COMPARISON_GT",
        "thresholdValue": 0,
        "duration": duration,
        "evaluationMissingData": "EVALUATION_MISSING_DATA_INACTIVE",
        "aggregations": [aggregation],
        "trigger": {"count": 1},
    }
    return {"conditionThreshold": condition}


def _overdue(
    deployment: Deployment, watched: Watched, title: str, kind: str, export: Exported, hours: int, advice: str
) -> dict[str, Any]:
    """Alert if nothing went well within hours. A log-based metric has no zeros, so without the vector it would not."""
    series = f"logging_googleapis_com:user_{_metric_name(deployment, kind)}"
    selector = f'{series}{{monitored_resource="cloud_run_job",dataset="{export.dataset}",{_target(export.targets)}}}'
    condition = {
        "query": f"(sum(increase({selector}[{hours}h])) or vector(0)) < 0.5 and on() vector(time()) > {DUE}",
        "duration": "600s",
        "evaluationInterval": "300s",
        "disableMetricValidation": True,
    }
    about = {"conditionPrometheusQueryLanguage": condition}
    advice = f"{advice} It is due within {hours} hours."
    policy = _policy(deployment, watched, title, "WARNING", f"{title} of {watched.titled(export)}", about, advice)
    return policy | {"userLabels": policy["userLabels"] | {"since": SINCE, "hours": str(hours)}}


def _target(targets: Sequence[str]) -> str:
    """The part of a selector for these targets."""
    operator, value = "=", targets[0]
    if len(targets) > 1:
        operator, value = "=~", "|".join(re.sub(r"[\\.+()|^$]", r"\\\g<0>", target) for target in targets)
    # In a string of PromQL, a backslash is written twice.
    value = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'target{operator}"{value}"'


def _logged(
    deployment: Deployment, watched: Watched, title: str, filter_: str, labels: Mapping[str, str], advice: str
) -> dict[str, Any]:
    """Alert on a log line, once an hour for each combination of labels."""
    condition = {"filter": filter_, **({"labelExtractors": dict(labels)} if labels else {})}
    policy = _policy(deployment, watched, title, "WARNING", title, {"conditionMatchedLog": condition}, advice)
    return policy | {"alertStrategy": policy["alertStrategy"] | {"notificationRateLimit": {"period": RATE}}}


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
