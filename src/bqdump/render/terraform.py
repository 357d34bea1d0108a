"""A call to the Terraform module in deploy/terraform."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from bqdump.core.errors import UsageError
from bqdump.render.deployment import Deployment, container_environment

# Settings for which the module has its own input variables.
OWN_VARIABLES = (
    "PROJECT_ID",
    "SOURCE_DATASET",
    "DESTINATION_BUCKET",
    "BQDUMP_JOB_PROJECT",
    "BQDUMP_KMS_KEY",
)
UNICODE = {"b": "\\u0008", "f": "\\u000c"}


CHANNELS = """
variable "notification_channels" {
  description = "Notification channels of all alerts: projects/P/notificationChannels/N. [] for none."
  type        = list(string)
}
"""


def module_call(deployment: Deployment, source: str, channels: Sequence[str] = ()) -> str:
    """The module call, with every value of the deployment. Raises UsageError for what the module does not support.

    channels: of notifications; without, Terraform asks for them.
    """
    settings = deployment.settings
    if deployment.service_account:
        cause = "the Terraform module creates the job's service account"
        raise UsageError("render", f"--service-account {deployment.service_account}", cause, "Remove the option.")
    values: dict[str, Any] = {
        "source": source,
        "project": deployment.project,
        "region": deployment.region,
        "name": deployment.name,
        "image": deployment.image,
        "source_project": settings.project,
        "dataset": settings.dataset,
        "bucket": settings.target.bucket,
        "bucket_location": settings.location,
        "tasks": deployment.tasks,
        "cpu": deployment.cpu,
        "memory": deployment.memory,
        "timeout": f"{deployment.timeout_seconds}s",
        "max_retries": deployment.max_retries,
        "schedule": deployment.schedule,
        "time_zone": deployment.time_zone,
        "kms_key": settings.kms_key,
        "job_kms_key": deployment.job_kms_key,
        "read_route": deployment.reads,
        "append_only": deployment.append_only,
    }
    variables = {name: value for name, value in container_environment(settings).items() if name not in OWN_VARIABLES}
    width = max(map(len, values))
    lines = [f"  {name:<{width}} = {_value(value)}" for name, value in values.items() if value not in ("", {})]
    if variables:
        width = max(map(len, variables))
        inner = [f"    {name:<{width}} = {_value(value)}" for name, value in variables.items()]
        lines += ["", "  settings = {", *inner, "  }"]
    if deployment.secrets:
        inner = [
            f"    {secret.variable} = {{ secret = {_value(secret.name)}, version = {_value(secret.version)} }}"
            for secret in deployment.secrets
        ]
        lines += ["", "  secrets = {", *inner, "  }"]
    listed = _value(list(channels)) if channels else "var.notification_channels"
    lines += ["", f"  notification_channels = {listed}"]
    return "\n".join(['module "bqdump" {', *lines, "}"]) + "\n" + ("" if channels else CHANNELS)


def _value(value: Any) -> str:
    # HCL has no \b and \f: https://developer.hashicorp.com/terraform/language/expressions/strings#escape-sequences
    text = re.sub(r"\\(.)", lambda match: UNICODE.get(match[1], match[0]), json.dumps(value, ensure_ascii=False))
    return re.sub(r"([$%])\{", r"\1\1{", text) if isinstance(value, str) else text
