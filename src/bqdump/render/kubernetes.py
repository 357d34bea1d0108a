"""An export on Kubernetes: an Indexed Job, whose pods are the tasks, or a CronJob that starts one on schedule.

Sources: https://kubernetes.io/docs/concepts/workloads/controllers/job/,
https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/
"""

from __future__ import annotations

from typing import Any

from bqdump.core.errors import UsageError
from bqdump.render.deployment import Deployment, container_environment

# A week: finished Jobs stay that long, with their logs.
KEPT_SECONDS = 604_800
# The user of the image.
USER = 65_532
# A Job that could not start within this time is not started any more: the next one is.
LATE_SECONDS = 3600


def service_account(deployment: Deployment) -> dict[str, Any]:
    """The account of the pods, which acts as a Google service account through workload identity."""
    annotations = {"iam.gke.io/gcp-service-account": deployment.job_account}
    metadata = {"name": deployment.name, "annotations": annotations}
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}


def job(deployment: Deployment) -> dict[str, Any]:
    """One run. Each Job has a name of its own, which `kubectl create` chooses. Raises UsageError."""
    metadata = {"generateName": f"{deployment.name}-", "labels": {"app": "bqdump"}}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": _job_spec(deployment)}


def cron_job(deployment: Deployment) -> dict[str, Any]:
    """A run on the deployment's schedule. Two at the same time would be safe, and are not needed. Raises UsageError."""
    labels = {"app": "bqdump"}
    spec = {
        "schedule": deployment.schedule,
        "timeZone": deployment.time_zone,
        "concurrencyPolicy": "Forbid",
        "startingDeadlineSeconds": LATE_SECONDS,
        "successfulJobsHistoryLimit": 3,
        "failedJobsHistoryLimit": 3,
        "jobTemplate": {"metadata": {"labels": labels}, "spec": _job_spec(deployment)},
    }
    metadata = {"name": deployment.name, "labels": labels}
    return {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": metadata, "spec": spec}


def _job_spec(deployment: Deployment) -> dict[str, Any]:
    if deployment.secrets:
        cause = "it names a secret of Secret Manager, which Cloud Run reads"
        raise UsageError("render", "--secret", cause, "Add a secretKeyRef of a Kubernetes Secret to the manifest.")
    return {
        "completionMode": "Indexed",
        "completions": deployment.tasks,
        "parallelism": deployment.tasks,
        "backoffLimitPerIndex": deployment.max_retries,
        # A failed task does not stop the others, which finish their tables.
        "maxFailedIndexes": deployment.tasks,
        "ttlSecondsAfterFinished": KEPT_SECONDS,
        "template": {"metadata": {"labels": {"app": "bqdump"}}, "spec": _pod(deployment)},
    }


def _pod(deployment: Deployment) -> dict[str, Any]:
    return {
        "restartPolicy": "Never",
        # Of each attempt, as on Cloud Run. That of a Job would end its retries as well.
        "activeDeadlineSeconds": deployment.timeout_seconds,
        "serviceAccountName": deployment.name,
        "automountServiceAccountToken": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(deployment)],
        "volumes": [{"name": "tmp", "emptyDir": {"medium": "Memory", "sizeLimit": "64Mi"}}],
    }


def _container(deployment: Deployment) -> dict[str, Any]:
    # Kubernetes sets JOB_COMPLETION_INDEX, and not the number of tasks. The uid is the same for all pods of a Job.
    uid = {"fieldRef": {"fieldPath": "metadata.labels['batch.kubernetes.io/controller-uid']"}}
    variables: list[dict[str, Any]] = [
        *({"name": name, "value": value} for name, value in container_environment(deployment.settings).items()),
        {"name": "JOB_COMPLETIONS", "value": str(deployment.tasks)},
        {"name": "BQDUMP_RUN_ID", "valueFrom": uid},
    ]
    return {
        "name": "bqdump",
        "image": deployment.job_image,
        "args": ["run"],
        "env": variables,
        "resources": {
            "requests": {"cpu": "250m", "memory": deployment.memory},
            "limits": {"memory": deployment.memory},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108 (the pod's own)
    }
