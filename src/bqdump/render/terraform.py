"""The Terraform module in deploy/terraform: a call to it, and its files."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bqdump.core.errors import UsageError
from bqdump.core.pages import page
from bqdump.render.commands import RUN
from bqdump.render.deployment import container_environment
from bqdump.render.job import Container, Work

# Settings for which the module has its own input variables.
OWN_VARIABLES = (
    "PROJECT_ID",
    "SOURCE_DATASET",
    "DESTINATION_BUCKET",
    "BQDUMP_JOB_PROJECT",
    "BQDUMP_KMS_KEY",
)
# The package has the module: a clone by a link to deploy/terraform.
MODULE = Path(__file__).with_name("module")
UNICODE = {"b": "\\u0008", "f": "\\u000c"}


CHANNELS = """
variable "notification_channels" {
  description = "Notification channels of all alerts: projects/P/notificationChannels/N. [] for none."
  type        = list(string)
}
"""


def module_call(made: Container, work: Work, source: str, channels: Sequence[str] = ()) -> str:
    """The module call, with every value of the deployment. Raises UsageError for what the module does not support.

    work: what was asked of the command of its job.
    channels: of notifications; without, Terraform asks for them.
    """
    deployment = made.deployment
    settings = deployment.settings
    if deployment.service_account:
        cause = "the Terraform module creates the job's service account"
        raise UsageError("render", f"--service-account {deployment.service_account}", cause, "Remove the option.")
    if work.lock:
        cause = "a vault is in a project of its own"
        raise UsageError("render", "--lock", cause, f"Use the module deploy/terraform/vault: {page('vault.md')}.")
    of_run = deployment.command == RUN
    values: dict[str, Any] = {
        "source": source,
        "project": deployment.project,
        "region": deployment.region,
        "name": deployment.name,
        "image": deployment.image if of_run else "",
        "source_project": settings.project,
        "dataset": settings.dataset,
        "bucket": settings.target.bucket,
        "bucket_location": settings.location,
        "tasks": deployment.tasks if of_run else "",
        "cpu": deployment.cpu,
        "memory": deployment.job_memory if of_run else "",
        "timeout": f"{deployment.timeout_seconds}s",
        "max_retries": deployment.max_retries,
        "schedule": deployment.schedule if of_run else "",
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
    if not of_run:
        entry = _entry(made, work)
        width = max(map(len, entry))
        inner = [f"      {name:<{width}} = {_value(value)}" for name, value in entry.items()]
        lines += ["", "  jobs = {", f"    {deployment.command} = {{", *inner, "    }", "  }"]
    listed = _value(list(channels)) if channels else "var.notification_channels"
    lines += ["", f"  notification_channels = {listed}"]
    return "\n".join(['module "bqdump" {', *lines, "}"]) + "\n" + ("" if channels else CHANNELS)


def module_files() -> dict[str, str]:
    """The module: the content of each file by its path. `example` needs a clone, and is left out."""
    files = sorted(path for path in MODULE.rglob("*") if path.suffix in (".tf", ".json", ".yaml"))
    named = {path.relative_to(MODULE).as_posix(): path.read_text(encoding="utf-8") for path in files}
    return {name: text for name, text in named.items() if not name.startswith("example/")}


def _entry(made: Container, work: Work) -> dict[str, str]:
    """The job of a command in the module's variable `jobs`: where and when it runs, and its flags."""
    deployment = made.deployment
    own = {"schedule": deployment.schedule, "image": deployment.image, "memory": deployment.memory}
    if work.tasks:
        own["tasks"] = str(work.tasks)
    if work.dest:
        own["dest"] = str(work.copies)
    flags = [flag.removeprefix("--").partition("=") for flag in made.arguments if flag.startswith("--")]
    given = {name: value or "true" for name, _, value in flags if name != "yes"}
    return {f'"{name}"' if "-" in name else name: value for name, value in (own | given).items() if value}


def _value(value: Any) -> str:
    # HCL has no \b and \f: https://developer.hashicorp.com/terraform/language/expressions/strings#escape-sequences
    text = re.sub(r"\\(.)", lambda match: UNICODE.get(match[1], match[0]), json.dumps(value, ensure_ascii=False))
    return re.sub(r"([$%])\{", r"\1\1{", text) if isinstance(value, str) else text
