"""The Cloud Run job for `gcloud run jobs replace`, which creates the job or replaces its definition.

Source: https://cloud.google.com/run/docs/reference/rest/v1/namespaces.jobs

The workflow that exports a list of datasets: its source, the body that creates it, and its input.

The body of a Cloud Scheduler job that starts the Cloud Run job, or the workflow.

Source: https://cloud.google.com/scheduler/docs/reference/rest/v1/projects.locations.jobs

Writes plain data as YAML without a dependency.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Sequence
from importlib import resources
from typing import Any, NamedTuple

from bqdump.core.errors import UsageError
from bqdump.core.restore.drill import sample_of
from bqdump.core.restore.request import parse_into
from bqdump.core.retention.policy import policy_for
from bqdump.core.settings.settings import SETTINGS
from bqdump.core.settings.target import Target, parse_target
from bqdump.core.sizes import listed
from bqdump.render.commands import COPY, DRILL, PRUNE, RESTORE, VERIFY
from bqdump.render.deployment import (
    CLOUD_PLATFORM,
    NOT_DEPLOYED,
    Deployment,
    Secret,
    container_environment,
    copying,
    of_command,
)

# The share of the files that a check reads.
SHARE = "10%"


class Work(NamedTuple):
    """What was asked of the command of a job; "" and 0 for nothing.

    into: the target of a restore.
    dest, every, lock, lock_mode, limit: see Request of a copy.
    rules: its settings that choose runs.
    sample: the share of a drill or a check.
    tasks: their number.
    """

    into: str = ""
    dest: str = ""
    every: bool = False
    lock: str = ""
    lock_mode: str = ""
    limit: str = ""
    rules: Sequence[str] = ()
    sample: str = ""
    tasks: int = 0

    @property
    def copies(self) -> Target | None:
        """Where a copy writes to, None for another command. Raises UsageError."""
        return place_of_copies(self.dest) if self.dest else None


NOTHING_ASKED = Work()


class Container(NamedTuple):
    """What each task runs, and with which number of others.

    variables: further ones of its environment.
    """

    deployment: Deployment
    arguments: list[str]
    variables: dict[str, str]

    @property
    def environment(self) -> dict[str, str]:
        """Its variables, without secrets."""
        return container_environment(of_command(self.deployment)) | self.variables

    @property
    def tasks(self) -> int:
        """The number of tasks."""
        return 1 if self.deployment.row.alone else self.deployment.tasks

    @property
    def retries(self) -> int:
        """The restarts of a failed task."""
        return 0 if self.deployment.row.alone else self.deployment.max_retries


def container_of(deployment: Deployment, work: Work = NOTHING_ASKED) -> Container:
    """What the tasks of the job run. Raises UsageError for what the command does not take."""
    command, project = deployment.command, deployment.project
    if command == COPY and not work.dest:
        raise UsageError("render", "--dest", "--command copy needs it", "Name the place of the copies.")
    of_copies = {"--dest": work.dest, "--all": work.every, "--lock": work.lock, "--lock-mode": work.lock_mode}
    for flag, value, takes in (
        ("--into", work.into, (RESTORE,)),
        *((flag, value, (COPY,)) for flag, value in (of_copies | {"--limit": work.limit}).items()),
        ("--sample", work.sample, (DRILL, VERIFY)),
    ):
        if value and command not in takes:
            raise UsageError("render", flag, f"only valid with --command {listed(takes)}", "Remove it.")
    sample_of(None, work.sample)
    variables, arguments = dict[str, str](), list[str]()
    if work.into:
        target_project, dataset = parse_into(work.into, deployment.settings.project)
        arguments = [f"--into={target_project}.{dataset}"]
    elif command == DRILL:
        # Its project pays for the export as well.
        variables = {"BQDUMP_DRILL_PROJECT": project}
        arguments = [f"--sample={work.sample}"] if work.sample else []
    elif command == VERIFY:
        arguments = [f"--read={work.sample or SHARE}"]
    elif command == PRUNE:
        policy_for(deployment.settings, ())
        arguments = ["--yes"]
    elif command == COPY:
        deployment, arguments = copying(
            deployment,
            str(work.copies),
            work.rules,
            every=work.every,
            lock=work.lock,
            lock_mode=work.lock_mode,
            limit=work.limit,
            tasks=work.tasks,
        )
    return Container(deployment, [command, *arguments], variables)


def _secret(secret: Secret) -> dict[str, Any]:
    return {
        "name": secret.variable,
        "valueFrom": {"secretKeyRef": {"name": secret.name, "key": secret.version}},
    }


def job(made: Container) -> dict[str, Any]:
    """The job, in the v1 (Knative) form. It sets no parallelism, so that an execution can have fewer tasks."""
    deployment = made.deployment
    container = {
        "image": deployment.job_image,
        "args": made.arguments,
        "env": [{"name": name, "value": value} for name, value in made.environment.items()]
        + [_secret(secret) for secret in deployment.secrets],
        "resources": {"limits": {"cpu": deployment.cpu, "memory": deployment.job_memory}},
    }
    task = {
        "containers": [container],
        "maxRetries": made.retries,
        "serviceAccountName": deployment.job_account,
        "timeoutSeconds": str(deployment.timeout_seconds),
    }
    execution: dict[str, Any] = {"spec": {"taskCount": made.tasks, "template": {"spec": task}}}
    if deployment.job_kms_key:
        key = {"run.googleapis.com/encryption-key": deployment.job_kms_key}
        execution = {"metadata": {"annotations": key}} | execution
    return {
        "apiVersion": "run.googleapis.com/v1",
        "kind": "Job",
        "metadata": {
            "name": deployment.job,
            "labels": {"app": "bqdump", "cloud.googleapis.com/location": deployment.region},
        },
        "spec": {"template": execution},
    }


def workflow_source() -> str:
    """The workflow's source. It reads the job's name from the variable BQDUMP_JOB, and the exports from its input."""
    return resources.files("bqdump.render").joinpath("module/workflow.yaml").read_text(encoding="utf-8")


def workflow(deployment: Deployment) -> dict[str, Any]:
    """The body that creates or updates the workflow.

    Source: https://cloud.google.com/workflows/docs/reference/rest/v1/projects.locations.workflows
    """
    return {
        "name": f"{deployment.parent}/workflows/{deployment.name}",
        "description": f"Exports a list of datasets with the Cloud Run job {deployment.name}",
        "labels": {"app": "bqdump"},
        "serviceAccount": deployment.workflow_account,
        "sourceContents": workflow_source(),
        "callLogLevel": "LOG_ERRORS_ONLY",
        "userEnvVars": {"BQDUMP_JOB": deployment.name},
    }


def workflow_input(deployment: Deployment) -> dict[str, Any]:
    """An input that exports what the settings name: a list of one item, as a template for others."""
    values = container_environment(deployment.settings)
    item = {
        setting.name: values[setting.env]
        for setting in SETTINGS
        if setting.env in values and setting.name not in NOT_DEPLOYED
    }
    return {"exports": [item | {"tasks": deployment.tasks}]}


def scheduler_job(deployment: Deployment, target: str) -> dict[str, Any]:
    """The schedule of a target: "job" or "workflow"."""
    if target == "job":
        name, what = deployment.job, f"Cloud Run job {deployment.job}"
        uri = f"https://run.googleapis.com/v2/{deployment.parent}/jobs/{deployment.job}:run"
        body: dict[str, Any] = {}
    else:
        name, what = f"{deployment.name}-workflow", f"workflow {deployment.name}"
        uri = f"https://workflowexecutions.googleapis.com/v1/{deployment.parent}/workflows/{deployment.name}/executions"
        body = {"argument": json.dumps(workflow_input(deployment))}
    return {
        "name": f"{deployment.parent}/jobs/{name}",
        "description": f"Starts the {what}",
        "schedule": deployment.schedule,
        "timeZone": deployment.time_zone,
        "attemptDeadline": "180s",
        "retryConfig": {"retryCount": 3, "minBackoffDuration": "30s"},
        "httpTarget": {
            "uri": uri,
            "httpMethod": "POST",
            "headers": {"Content-Type": "application/json"},
            "body": base64.b64encode(json.dumps(body).encode()).decode(),
            "oauthToken": {"serviceAccountEmail": deployment.scheduler_account, "scope": CLOUD_PLATFORM},
        },
    }


# Strings that need no quotes. Words that YAML 1.1 reads as another type than a string are excluded.
_PLAIN = re.compile(r"(?!(?:y|n|yes|no|on|off|true|false|null)$)[a-z][a-z0-9./_-]*")
_CAMEL_CASE = re.compile(r"[a-z]+(?:[A-Z][a-z]+)+")
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t"}


def to_yaml(value: Any) -> str:
    """A document of dictionaries, lists, strings, numbers and booleans, in block style."""
    return "\n".join(_lines(value)) + "\n"


def _lines(value: Any) -> Iterator[str]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _entry(f"{key if _CAMEL_CASE.fullmatch(key) else _scalar(key)}:", inner, "  ")
    elif isinstance(value, list) and value:
        for inner in value:
            first, *rest = _lines(inner)
            yield f"- {first}"
            yield from (f"  {line}" for line in rest)
    else:
        yield _scalar(value)


def _entry(key: str, inner: Any, indent: str) -> Iterator[str]:
    if isinstance(inner, dict | list) and inner:
        yield key
        yield from ((indent if isinstance(inner, dict) else "") + line for line in _lines(inner))
    else:
        yield f"{key} {_scalar(inner)}"


def _scalar(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, dict | list):
        return "{}" if isinstance(value, dict) else "[]"
    if _PLAIN.fullmatch(value):
        return str(value)
    return '"' + "".join(map(_escaped, value)) + '"'


def _escaped(char: str) -> str:
    return _ESCAPES.get(char) or (char if " " <= char <= "~" else f"\\U{ord(char):08x}")


def place_of_copies(dest: str) -> Target:
    """A place of copies that tasks of a job can write. Raises UsageError."""
    try:
        target = parse_target(dest)
    except ValueError as error:
        raise UsageError("render", f"--dest {dest!r}", str(error)) from None
    if not target or target.folder:
        cause = "the tasks of a job share no folder"
        raise UsageError("render", f"--dest {dest!r}", cause, "Use gs://BUCKET/PREFIX or s3://BUCKET/PREFIX.")
    return target
