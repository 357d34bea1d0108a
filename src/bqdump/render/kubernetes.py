"""A command on Kubernetes: an Indexed Job, whose pods are the tasks, or a CronJob that starts one on schedule.

Sources: https://kubernetes.io/docs/concepts/workloads/controllers/job/,
https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/
"""

from __future__ import annotations

from typing import Any

from bqdump.core.errors import UsageError
from bqdump.render.commands import RUN
from bqdump.render.job import Container

# A week: finished Jobs stay that long, with their logs.
KEPT_SECONDS = 604_800
# The user of the image.
USER = 65_532
# A Job that could not start within this time is not started any more: the next one is.
LATE_SECONDS = 3600


def service_account(made: Container) -> dict[str, Any]:
    """The account of the pods, which acts as a Google service account through workload identity."""
    email = made.deployment.job_account
    metadata = {"name": _account(made), "annotations": {"iam.gke.io/gcp-service-account": email}}
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}


def _account(made: Container) -> str:
    return made.deployment.job_account.partition("@")[0]


def job(made: Container) -> dict[str, Any]:
    """One execution. Each Job has a name of its own, which `kubectl create` chooses. Raises UsageError."""
    metadata = {"generateName": f"{made.deployment.job}-", "labels": {"app": "bqdump"}}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": _job_spec(made)}


def cron_job(made: Container) -> dict[str, Any]:
    """Executions on the deployment's schedule. Two at the same time would be safe, and are not needed.

    Raises UsageError.
    """
    deployment, labels = made.deployment, {"app": "bqdump"}
    spec = {
        "schedule": deployment.schedule,
        "timeZone": deployment.time_zone,
        "concurrencyPolicy": "Forbid",
        "startingDeadlineSeconds": LATE_SECONDS,
        "successfulJobsHistoryLimit": 3,
        "failedJobsHistoryLimit": 3,
        "jobTemplate": {"metadata": {"labels": labels}, "spec": _job_spec(made)},
    }
    metadata = {"name": deployment.job, "labels": labels}
    return {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": metadata, "spec": spec}


def _job_spec(made: Container) -> dict[str, Any]:
    if made.deployment.secrets:
        cause = "it names a secret of Secret Manager, which Cloud Run reads"
        raise UsageError("render", "--secret", cause, "Add a secretKeyRef of a Kubernetes Secret to the manifest.")
    return {
        "completionMode": "Indexed",
        "completions": made.tasks,
        "parallelism": made.tasks,
        "backoffLimitPerIndex": made.retries,
        # A failed task does not stop the others, which finish their tables.
        "maxFailedIndexes": made.tasks,
        "ttlSecondsAfterFinished": KEPT_SECONDS,
        "template": {"metadata": {"labels": {"app": "bqdump"}}, "spec": _pod(made)},
    }


def _pod(made: Container) -> dict[str, Any]:
    return {
        "restartPolicy": "Never",
        # Of each attempt, as on Cloud Run. That of a Job would end its retries as well.
        "activeDeadlineSeconds": made.deployment.timeout_seconds,
        "serviceAccountName": _account(made),
        "automountServiceAccountToken": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(made)],
        "volumes": [{"name": "tmp", "emptyDir": {"medium": "Memory", "sizeLimit": "64Mi"}}],
    }


def _container(made: Container) -> dict[str, Any]:
    # Kubernetes sets JOB_COMPLETION_INDEX, and not the number of tasks. The uid is the same for all pods of a Job.
    uid = {"fieldRef": {"fieldPath": "metadata.labels['batch.kubernetes.io/controller-uid']"}}
    variables: list[dict[str, Any]] = [
        *({"name": name, "value": value} for name, value in made.environment.items()),
        {"name": "JOB_COMPLETIONS", "value": str(made.tasks)},
        {"name": "BQDUMP_RUN_ID" if made.deployment.command == RUN else "BQDUMP_EXECUTION", "valueFrom": uid},
    ]
    return {
        "name": "bqdump",
        "image": made.deployment.job_image,
        "args": made.arguments,
        "env": variables,
        "resources": {
            "requests": {"cpu": "250m", "memory": made.deployment.job_memory},
            "limits": {"memory": made.deployment.job_memory},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108 (the pod's own)
    }
