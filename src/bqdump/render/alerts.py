"""Alerts on failed, overdue, hanging and cancelled executions, on warnings and on bills.

deploy/terraform/alerts.tf makes the same ones. Sources:
https://cloud.google.com/monitoring/api/ref_v3/rest/v3/projects.alertPolicies,
https://cloud.google.com/logging/docs/reference/v2/rest/v2/projects.metrics,
https://cloud.google.com/logging/docs/view/logging-query-language
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bqdump.core.progress.log_events import LogEvent
from bqdump.core.sizes import counted
from bqdump.render.commands import (
    BILLED,
    CANCELLED,
    HANGING,
    NOT_TRUSTED,
    OF_THE_OBJECTIVE,
    RUN,
    UNTRUSTED_EVENTS,
    WARNED,
    WARNINGS,
    WORKFLOW_FAILED,
    Alert,
    Proof,
    job_names,
)
from bqdump.render.deployment import Deployment, longest_pause
from bqdump.render.watched import Exported, Watched

JOB_FAILED = 'metric.type = "run.googleapis.com/job/completed_execution_count" AND metric.labels.result = "failed"'
JOB_RUNS = 'metric.type = "run.googleapis.com/job/running_executions"'
WORKFLOW_FAILURES = (
    'metric.type = "workflows.googleapis.com/finished_execution_count" AND metric.labels.status = "FAILED"'
)
# Audit log of Cloud Run. A task that receives SIGTERM logs that as well, whatever has stopped it.
CANCELLATIONS = f'(jsonPayload.event="{LogEvent.TASK_STOPPED}" OR protoPayload.methodName=~"\\.CancelExecution$")'
# For the run itself, in addition to the time between two starts.
SLACK_HOURS = 2
# Monitoring accepts no longer duration of a condition.
LONGEST_SECONDS = 84_600
# The time after which an open incident without data is closed, and between two notifications about log lines.
AUTO_CLOSE, RATE = "86400s", "3600s"
# Filled by scripts.py: the time from which something is overdue, so that a new deployment is not.
DUE, SINCE = "@due@", "@since@"

LABELS = {
    "dataset": ("EXTRACT(labels.dataset)", "The exported dataset"),
    "target": ("EXTRACT(labels.target)", "Where it is exported to"),
}


def metrics(deployment: Deployment) -> Iterator[dict[str, Any]]:
    """The log-based metric that counts, by dataset and target, how often the command has done its work."""
    if proof := deployment.row.proof:
        counts = f"{proof.counts}, by dataset and target, of the Cloud Run job {deployment.job}"
        yield _metric(deployment, proof, counts)


def policies(deployment: Deployment, watched: Watched) -> Iterator[dict[str, Any]]:
    """The alert policies of the command's job; and, with those of exports, the ones that all jobs share.

    An execution that the workflow repeats does not alert; the workflow does, in the end.
    """
    row = deployment.row
    if watched.by_workflow:
        workflow = 'resource.type = "workflows.googleapis.com/Workflow"'
        workflow = f'{workflow} AND resource.labels.workflow_id = "{deployment.name}"'
        yield _failed(deployment, watched, WORKFLOW_FAILED, f"{workflow} AND {WORKFLOW_FAILURES}")
    else:
        yield _failed(deployment, watched, row.failed, _job_failed(deployment.job))
    if row.proof and watched.scheduled:
        hours = overdue_hours(deployment)
        for export in watched.exports:
            yield _overdue(deployment, watched, row.proof, export, hours)
    if deployment.command == RUN:
        yield from _shared(deployment, watched)


def _shared(deployment: Deployment, watched: Watched) -> Iterator[dict[str, Any]]:
    yield _hanging(deployment, watched)
    lines = logs_of(deployment)
    yield _logged(deployment, watched, CANCELLED, f"{lines} AND {CANCELLATIONS}", {})
    labels = {"event": "EXTRACT(jsonPayload.event)", "dataset": LABELS["dataset"][0]}
    for alert, events in ((WARNED, WARNINGS), (NOT_TRUSTED, UNTRUSTED_EVENTS)):
        yield _logged(deployment, watched, alert, f"{lines} AND {of_events(events)}", labels)
    if watched.billed:
        filter_ = f"{lines} AND jsonPayload.bytes_billed>{watched.billed}"
        alert = BILLED._replace(advice=f"More than {watched.billed} bytes were billed.")
        yield _logged(deployment, watched, alert, filter_, labels)


def logs_of(deployment: Deployment) -> str:
    """The filter of the lines of every job of the deployment, whether it is there or not."""
    return f'resource.type="cloud_run_job" AND resource.labels.job_name=({_either(job_names(deployment.name))})'


def of_events(events: Sequence[str]) -> str:
    """The filter of lines with one of these events."""
    return f"jsonPayload.event=({_either(events)})"


def _either(names: Sequence[str]) -> str:
    return " OR ".join(f'"{name}"' for name in names)


def overdue_hours(deployment: Deployment) -> int:
    """The hours after which the work of a deployment is overdue. Exports and drills follow `rpo`, if it is set.

    The hour before is for the run itself, as its age counts from its snapshot time, and for the alert.
    """
    if deployment.command in OF_THE_OBJECTIVE and deployment.settings.rpo:
        return max(1, deployment.settings.rpo // 3600 - 1)
    return hours_between(deployment.schedule)


def hours_between(schedule: str) -> int:
    """The hours after which something that a schedule starts is overdue. Raises ValueError."""
    return math.ceil(longest_pause(schedule) / 60) + SLACK_HOURS


def _metric(deployment: Deployment, proof: Proof, description: str) -> dict[str, Any]:
    lines = f'resource.type="cloud_run_job" AND resource.labels.job_name="{deployment.job}"'
    return {
        "name": _metric_name(deployment, proof),
        "description": description,
        "filter": f'{lines} AND jsonPayload.event="{proof.event}"',
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


def _metric_name(deployment: Deployment, proof: Proof) -> str:
    return f"{deployment.name.replace('-', '_')}_{proof.metric}"


def _job_failed(job: str) -> str:
    return f'resource.type = "cloud_run_job" AND resource.labels.job_name = "{job}" AND {JOB_FAILED}'


def _failed(deployment: Deployment, watched: Watched, alert: Alert, filter_: str) -> dict[str, Any]:
    """Alert if something has failed. A shorter duration would not allow missing data to count as inactive."""
    aggregation = {"alignmentPeriod": "300s", "perSeriesAligner": "ALIGN_DELTA", "crossSeriesReducer": "REDUCE_SUM"}
    return _policy(deployment, watched, alert, "ERROR", _threshold(filter_, "60s", aggregation))


def _hanging(deployment: Deployment, watched: Watched) -> dict[str, Any]:
    """Alert on an execution that takes longer than one attempt of a task may: an attempt has ended without result."""
    names = ", ".join(f'"{job}"' for job in job_names(deployment.name))
    filter_ = f'resource.type = "cloud_run_job" AND resource.labels.job_name = one_of({names}) AND {JOB_RUNS}'
    aggregation = {
        "alignmentPeriod": "60s",
        "perSeriesAligner": "ALIGN_MAX",
        "crossSeriesReducer": "REDUCE_SUM",
        "groupByFields": ["resource.labels.job_name"],
    }
    seconds = min(60 * math.ceil(deployment.timeout_seconds / 60), LONGEST_SECONDS)
    alert = HANGING._replace(advice=f"Executions have run for {counted(seconds // 60, 'minute', '')} without a break.")
    return _policy(deployment, watched, alert, "WARNING", _threshold(filter_, f"{seconds}s", aggregation))


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


def _overdue(deployment: Deployment, watched: Watched, proof: Proof, export: Exported, hours: int) -> dict[str, Any]:
    """Alert if nothing went well within hours. A log-based metric has no zeros, so without the vector it would not."""
    series = f"logging_googleapis_com:user_{_metric_name(deployment, proof)}"
    selector = (
        f'{series}{{monitored_resource="cloud_run_job",dataset="{export.dataset}",target={_quoted(export.target)}}}'
    )
    condition = {
        "query": f"(sum(increase({selector}[{hours}h])) or vector(0)) < 0.5 and on() vector(time()) > {DUE}",
        "duration": "600s",
        "evaluationInterval": "300s",
        "disableMetricValidation": True,
    }
    alert = proof.missing._replace(
        title=f"{proof.missing.title} of {watched.titled(export)}",
        advice=f"{proof.missing.advice} It is due within {counted(hours, 'hour', '')}.",
    )
    policy = _policy(deployment, watched, alert, "WARNING", {"conditionPrometheusQueryLanguage": condition})
    return policy | {"userLabels": policy["userLabels"] | {"since": SINCE, "hours": str(hours)}}


def _quoted(value: str) -> str:
    """A string of PromQL."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _logged(
    deployment: Deployment, watched: Watched, alert: Alert, filter_: str, labels: Mapping[str, str]
) -> dict[str, Any]:
    """Alert on a log line, once an hour for each combination of labels."""
    condition = {"filter": filter_, **({"labelExtractors": dict(labels)} if labels else {})}
    policy = _policy(deployment, watched, alert, "WARNING", {"conditionMatchedLog": condition})
    return policy | {"alertStrategy": policy["alertStrategy"] | {"notificationRateLimit": {"period": RATE}}}


def _policy(
    deployment: Deployment, watched: Watched, alert: Alert, severity: str, condition: dict[str, Any]
) -> dict[str, Any]:
    shown = f"{deployment.name}: {alert.title}"
    return {
        "displayName": shown,
        "combiner": "OR",
        "severity": severity,
        "notificationChannels": list(watched.channels),
        "userLabels": {"app": "bqdump"},
        "conditions": [{"displayName": shown, **condition}],
        "alertStrategy": {"autoClose": AUTO_CLOSE},
        "documentation": {
            "subject": shown,
            "mimeType": "text/markdown",
            "content": f"{alert.advice} What to do: {alert.help}",
        },
    }
