"""Who this process is: which task of how many, of which execution, under any engine that runs arrays of tasks.

Sources: https://cloud.google.com/run/docs/container-contract#jobs-env-vars,
https://kubernetes.io/docs/tasks/job/indexed-parallel-processing-static/,
https://cloud.google.com/batch/docs/create-run-basic-job, https://docs.aws.amazon.com/batch/latest/userguide/array_jobs.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from bqdump.core.documents.layout import RUN_ID
from bqdump.core.errors import UsageError


class Engine(NamedTuple):
    """The variables of one engine; `executions` are tried in order for a name that all tasks of an execution share."""

    name: str
    task: str
    tasks: tuple[str, ...]
    attempt: str
    first_attempt: int
    executions: tuple[str, ...]


ENGINES = (
    Engine("Cloud Run", "CLOUD_RUN_TASK_INDEX", ("CLOUD_RUN_TASK_COUNT",), "CLOUD_RUN_TASK_ATTEMPT", 0,
           ("CLOUD_RUN_EXECUTION",)),
    Engine("Google Batch", "BATCH_TASK_INDEX", ("BATCH_TASK_COUNT",), "BATCH_TASK_RETRY_ATTEMPT", 0,
           ("BATCH_JOB_UID",)),
    Engine("AWS Batch", "AWS_BATCH_JOB_ARRAY_INDEX", ("AWS_BATCH_JOB_ARRAY_SIZE",), "AWS_BATCH_JOB_ATTEMPT", 1,
           ("AWS_BATCH_JOB_ID",)),
    Engine("Kubernetes", "JOB_COMPLETION_INDEX", ("JOB_COMPLETIONS", "BQDUMP_TASK_COUNT"), "", 0, ()),
)  # fmt: skip


class Identity(NamedTuple):
    """This process: `task` (from 0) of `tasks`, the attempt (from 0), its execution ("" when no engine names one)."""

    engine: str
    task: int
    tasks: int
    attempt: int
    execution: str


def identify(environ: Mapping[str, str]) -> Identity:
    """Read the task variables of whichever engine set them; none at all means one task alone.

    Raises UsageError for values that cannot be.
    """

    def number(name: str, minimum: int) -> int:
        text = environ[name]
        if not text.isdecimal() or len(text) > 9 or int(text) < minimum:
            raise UsageError("read the task variables", name, f"{text[:100]!r} is not a whole number from {minimum}")
        return int(text)

    for engine in ENGINES:
        if not environ.get(engine.task):
            continue
        index = number(engine.task, 0)
        count_name = next((name for name in engine.tasks if environ.get(name)), "")
        if not count_name:
            cause = f"{engine.task} is set, but the number of tasks is not"
            raise UsageError("read the task variables", engine.name, cause, f"Set {' or '.join(engine.tasks)}.")
        count = number(count_name, 1)
        if index >= count:
            cause = f"{index} is not below {count_name}={count}"
            raise UsageError("read the task variables", engine.task, cause)
        attempt = max(0, number(engine.attempt, 0) - engine.first_attempt) if environ.get(engine.attempt) else 0
        name = next((name for name in engine.executions if environ.get(name)), "")
        # AWS names an array's child <job>:<index>.
        execution = environ[name].split(":")[0] if name else ""
        if name and not RUN_ID.fullmatch(execution):
            cause = f"{execution[:110]!r} cannot name a run: it takes up to 100 letters, digits, - and _"
            hint = f"{engine.name} sets this variable; unset it outside of {engine.name}."
            raise UsageError("read the task variables", name, cause, hint)
        return Identity(engine.name, index, count, attempt, execution)
    return Identity("", 0, 1, 0, "")
