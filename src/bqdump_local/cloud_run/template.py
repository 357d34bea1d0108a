"""The template of an execution: the job's template with the overrides of a request.

Source: https://cloud.google.com/run/docs/reference/rest/v2/projects.locations.jobs/run
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from bqdump_local.cloud_run.errors import invalid

MOST_TASKS: Final = 10_000
LONGEST_SECONDS: Final = 168 * 3600


class Variable(msgspec.Struct, frozen=True):
    """A variable of a container."""

    name: str
    value: str = ""


class Container(msgspec.Struct, frozen=True):
    """A container. Its image is ignored."""

    args: tuple[str, ...] = ()
    env: tuple[Variable, ...] = ()


class TaskTemplate(msgspec.Struct, frozen=True, rename="camel"):
    """The template of each task."""

    containers: tuple[Container, ...]
    max_retries: int = 3
    timeout: str = "600s"


class ExecutionTemplate(msgspec.Struct, frozen=True, rename="camel"):
    """The template of each execution."""

    template: TaskTemplate
    task_count: int = 1
    parallelism: int = 0


class ContainerOverride(msgspec.Struct, frozen=True, rename="camel"):
    """A request's overrides of the container: arguments are replaced, variables are merged."""

    name: str = ""
    args: tuple[str, ...] = ()
    env: tuple[Variable, ...] = ()
    clear_args: bool = False


class Overrides(msgspec.Struct, frozen=True, rename="camel"):
    """A request's overrides of one execution. Nothing else can be overridden."""

    container_overrides: tuple[ContainerOverride, ...] = ()
    task_count: int = 0
    timeout: str = ""


class RunRequest(msgspec.Struct, frozen=True, rename="camel"):
    """The body of `jobs.run`."""

    overrides: Overrides = Overrides()
    validate_only: bool = False


def read_template(job: dict[str, Any]) -> ExecutionTemplate:
    """The template in the body of a job. Raises CloudRunError."""
    try:
        template = msgspec.convert(job.get("template"), ExecutionTemplate)
    except msgspec.ValidationError as error:
        raise invalid(f"job.template: {error}") from None
    if len(template.template.containers) != 1:
        raise invalid("job.template.template.containers: this stand-in supports only jobs with one container.")
    return _checked(template)


def read_request(body: dict[str, Any]) -> RunRequest:
    """The body of `jobs.run`. Raises CloudRunError."""
    try:
        return msgspec.convert(body, RunRequest)
    except msgspec.ValidationError as error:
        raise invalid(f"Invalid JSON payload received. {error}") from None


def override(template: ExecutionTemplate, overrides: Overrides) -> ExecutionTemplate:
    """The template of one execution. Raises CloudRunError."""
    if len(overrides.container_overrides) > 1:
        raise invalid("overrides.container_overrides: the job has one container.")
    task = template.template
    for change in overrides.container_overrides:
        [container] = task.containers
        env = {variable.name: variable for variable in (*container.env, *change.env)}
        args = change.args or (() if change.clear_args else container.args)
        task = msgspec.structs.replace(task, containers=(Container(args, tuple(env.values())),))
    if overrides.timeout:
        task = msgspec.structs.replace(task, timeout=overrides.timeout)
    count = overrides.task_count or template.task_count
    return _checked(msgspec.structs.replace(template, template=task, task_count=count))


def _checked(template: ExecutionTemplate) -> ExecutionTemplate:
    if not 1 <= template.task_count <= MOST_TASKS:
        raise invalid(f"task_count: must be from 1 to {MOST_TASKS}.")
    if template.parallelism > template.task_count:
        raise invalid("task_count: must be greater than or equal to parallelism.")
    if not 0 <= template.template.max_retries <= 10:
        raise invalid("max_retries: must be from 0 to 10.")
    if not 0 < seconds(template.template.timeout) <= LONGEST_SECONDS:
        raise invalid(f"timeout: must be from 1s to {LONGEST_SECONDS}s.")
    return template


def seconds(duration: str) -> float:
    """The seconds of a duration in the API's format, such as "3.5s". Raises CloudRunError."""
    if not re.fullmatch(r"[0-9]+(\.[0-9]{1,9})?s", duration):
        raise invalid(f"Illegal duration format; duration must end with 's': {duration!r}")
    return float(duration[:-1])
