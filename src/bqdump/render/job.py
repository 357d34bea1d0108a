"""The Cloud Run job for `gcloud run jobs replace`, which creates the job or replaces its definition.

Source: https://cloud.google.com/run/docs/reference/rest/v1/namespaces.jobs
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bqdump.render.deployment import Deployment, Secret, environment

DRILL, VERIFY = "drill", "verify"
# One task, which is not retried: it would fail again, and the comparison of a drill is billed each time.
ALONE = (DRILL, VERIFY)
# The share of the files that a check reads.
SHARE = "10%"


def _secret(secret: Secret) -> dict[str, Any]:
    return {
        "name": secret.variable,
        "valueFrom": {"secretKeyRef": {"name": secret.name, "key": secret.version}},
    }


def job(
    deployment: Deployment, command: str = "run", variables: Mapping[str, str] = {}, share: str = SHARE
) -> dict[str, Any]:
    """The job, in the v1 (Knative) form. It sets no parallelism, so that an execution can have fewer tasks.

    command: the command of bqdump that its tasks run. variables: further variables of their environment. share: of the
    files that a check reads.
    """
    environ = environment(deployment.settings) | dict(variables)
    container = {
        "image": deployment.job_image,
        "args": [command, f"--read={share}"] if command == VERIFY else [command],
        "env": [{"name": name, "value": value} for name, value in environ.items()]
        + [_secret(secret) for secret in deployment.secrets],
        "resources": {"limits": {"cpu": deployment.cpu, "memory": deployment.memory}},
    }
    task = {
        "containers": [container],
        "maxRetries": 0 if command in ALONE else deployment.max_retries,
        "serviceAccountName": deployment.job_account,
        "timeoutSeconds": str(deployment.timeout_seconds),
    }
    execution: dict[str, Any] = {
        "spec": {"taskCount": 1 if command in ALONE else deployment.tasks, "template": {"spec": task}}
    }
    if deployment.job_kms_key:
        key = {"run.googleapis.com/encryption-key": deployment.job_kms_key}
        execution = {"metadata": {"annotations": key}} | execution
    return {
        "apiVersion": "run.googleapis.com/v1",
        "kind": "Job",
        "metadata": {
            "name": deployment.name,
            "labels": {"app": "bqdump", "cloud.googleapis.com/location": deployment.region},
        },
        "spec": {"template": execution},
    }
