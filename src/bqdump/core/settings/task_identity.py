"""The identity of this process: its task index, the number of tasks and the execution, from the engine's variables.

Sources: https://cloud.google.com/run/docs/container-contract#jobs-env-vars,
https://kubernetes.io/docs/tasks/job/indexed-parallel-processing-static/,
https://cloud.google.com/batch/docs/create-run-basic-job, https://docs.aws.amazon.com/batch/latest/userguide/array_jobs.html
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from bqdump.core.documents.document import RUN_ID
from bqdump.core.errors import UsageError


class Engine(Struct, frozen=True):
    """The variables of one engine. executions: variables with a name that all tasks share; the first one set."""

    name: str
    task: str
    tasks: tuple[str, ...]
    attempt: str = ""
    first_attempt: int = 0
    executions: tuple[str, ...] = ()


ENGINES = (
    Engine(
        "Cloud Run",
        task="CLOUD_RUN_TASK_INDEX",
        tasks=("CLOUD_RUN_TASK_COUNT",),
        attempt="CLOUD_RUN_TASK_ATTEMPT",
        executions=("CLOUD_RUN_EXECUTION",),
    ),
    Engine(
        "Google Batch",
        task="BATCH_TASK_INDEX",
        tasks=("BATCH_TASK_COUNT",),
        attempt="BATCH_TASK_RETRY_ATTEMPT",
        executions=("BATCH_JOB_UID",),
    ),
    Engine(
        "AWS Batch",
        task="AWS_BATCH_JOB_ARRAY_INDEX",
        tasks=("AWS_BATCH_JOB_ARRAY_SIZE",),
        attempt="AWS_BATCH_JOB_ATTEMPT",
        first_attempt=1,
        executions=("AWS_BATCH_JOB_ID",),
    ),
    Engine("Kubernetes", task="JOB_COMPLETION_INDEX", tasks=("JOB_COMPLETIONS", "BQDUMP_TASK_COUNT")),
)


class Identity(Struct, frozen=True):
    """This process: `task` (from 0) of `tasks`, the attempt (from 0), the execution ("" if the engine has no name)."""

    engine: str
    task: int
    tasks: int
    attempt: int
    execution: str


def engine_of(environ: Mapping[str, str]) -> Engine | None:
    """The engine that started this process as one of its tasks, by its variables."""
    return next((engine for engine in ENGINES if environ.get(engine.task)), None)


def identify(environ: Mapping[str, str]) -> Identity:
    """Read the task variables of the engine that set them; without any, this is the only task.

    Raises UsageError for invalid values.
    """

    def number(name: str, minimum: int) -> int:
        text = environ[name]
        if not text.isdecimal() or len(text) > 9 or int(text) < minimum:
            raise UsageError(
                "read the task variables", name, f"invalid value {text[:100]!r}: expected an integer from {minimum}"
            )
        return int(text)

    for engine in ENGINES:
        if not environ.get(engine.task):
            continue
        index = number(engine.task, 0)
        count_name = next((name for name in engine.tasks if environ.get(name)), "")
        if not count_name:
            cause = f"{engine.task} is set, the number of tasks is not"
            raise UsageError("read the task variables", engine.name, cause, f"Set {' or '.join(engine.tasks)}.")
        count = number(count_name, 1)
        if index >= count:
            cause = f"{index} is not less than {count_name}={count}"
            raise UsageError("read the task variables", engine.task, cause, "Tasks are numbered from 0.")
        attempt = max(0, number(engine.attempt, 0) - engine.first_attempt) if environ.get(engine.attempt) else 0
        name = next((name for name in engine.executions if environ.get(name)), "")
        # AWS names a child of an array <job>:<index>.
        execution = environ[name].split(":")[0] if name else ""
        if name and not RUN_ID.fullmatch(execution):
            cause = f"{execution[:110]!r} cannot be a run id: expected up to 100 letters, digits, - and _"
            hint = f"{engine.name} sets this variable; outside {engine.name}, unset it."
            raise UsageError("read the task variables", name, cause, hint)
        return Identity(engine.name, index, count, attempt, execution)
    return Identity("", 0, 1, 0, "")
