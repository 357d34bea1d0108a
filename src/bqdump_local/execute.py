"""Runs the tasks of a job as processes of this machine, in the way of Cloud Run."""

from __future__ import annotations

import asyncio
import random
import string
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from bqdump.core.progress.events import TaskState
from bqdump_local.processes import Attempt, Processes, Runner, TaskLine

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

Engine = Literal["cloud-run", "kubernetes", "gcp-batch", "aws-batch"]
GRACE_SECONDS: Final = 10.0
# The variables that engines set to a task's index, the number of tasks, and the attempt.
ENGINE_VARIABLES: Final[Mapping[Engine, tuple[str, str | None, str | None]]] = {
    "cloud-run": ("CLOUD_RUN_TASK_INDEX", "CLOUD_RUN_TASK_COUNT", "CLOUD_RUN_TASK_ATTEMPT"),
    "kubernetes": ("JOB_COMPLETION_INDEX", None, None),
    "gcp-batch": ("BATCH_TASK_INDEX", "BATCH_TASK_COUNT", "BATCH_TASK_RETRY_ATTEMPT"),
    "aws-batch": ("AWS_BATCH_JOB_ARRAY_INDEX", "AWS_BATCH_JOB_ARRAY_SIZE", "AWS_BATCH_JOB_ATTEMPT"),
}
_FIRST_ATTEMPT: Final[Mapping[Engine, int]] = {"aws-batch": 1}


@dataclass(frozen=True, slots=True)
class Task:
    """All attempts of one task, in order."""

    index: int
    attempts: tuple[Attempt, ...]

    @property
    def succeeded(self) -> bool:
        """Whether the last attempt succeeded."""
        return bool(self.attempts) and self.attempts[-1].succeeded


@dataclass(frozen=True, slots=True)
class Execution:
    """A finished execution: its tasks by index."""

    name: str
    tasks: tuple[Task, ...]
    seconds: float

    @property
    def succeeded(self) -> int:
        """The number of tasks that succeeded."""
        return sum(task.succeeded for task in self.tasks)

    @property
    def failed(self) -> int:
        """The number of tasks whose last attempt failed."""
        return len(self.tasks) - self.succeeded

    @property
    def ok(self) -> bool:
        """Whether every task succeeded."""
        return self.failed == 0


def task_variables(engine: Engine, *, index: int, count: int, attempt: int, execution: str, job: str) -> dict[str, str]:
    """The variables that an engine sets in a task's environment. attempt: counted from 0."""
    index_name, count_name, attempt_name = ENGINE_VARIABLES[engine]
    variables = {index_name: str(index)}
    if count_name:
        variables[count_name] = str(count)
    if attempt_name:
        variables[attempt_name] = str(attempt + _FIRST_ATTEMPT.get(engine, 0))
    if engine == "cloud-run":
        variables |= {"CLOUD_RUN_JOB": job, "CLOUD_RUN_EXECUTION": execution}
    return variables


async def execute(
    command: Sequence[str],
    *,
    tasks: int,
    env: Mapping[str, str],
    parallelism: int | None = None,
    max_retries: int = 3,
    task_timeout: float = 600,
    execution: str | None = None,
    job: str = "bqdump",
    order: Sequence[int] | None = None,
    seed: int | None = None,
    engine: Engine = "cloud-run",
    on_output: Callable[[TaskLine], None] | None = None,
    on_state: Callable[[TaskState], None] = lambda state: None,
    processes: Processes | None = None,
    grace: float = GRACE_SECONDS,
    cwd: Path | None = None,
) -> Execution:
    """Run a command as `tasks` tasks, at most `parallelism` at a time, and wait for all of them.

    A task whose process does not exit with 0 is restarted, with the same index, up to `max_retries` times; the other
    tasks continue. `on_state` is called at the start of every attempt and at the end of every task. A process that
    takes longer than `task_timeout` seconds receives SIGTERM, and SIGKILL `grace` seconds later. Tasks start in
    `order`, else in an order shuffled with `seed`, else by index.
    Cancelling this coroutine ends every process in the same way before it returns.
    """
    if tasks < 1 or (parallelism is not None and parallelism < 1):
        raise ValueError("tasks and parallelism must be at least 1")
    dice = random.Random(seed)
    name = execution or f"{job}-{''.join(dice.choices(string.ascii_lowercase + string.digits, k=5))}"
    queue = deque(_start_order(tasks, order, dice if seed is not None else None))
    runner = Runner(command, env, task_timeout, grace, cwd, on_output, processes or Processes())
    finished: dict[int, Task] = {}

    async def slot() -> None:
        while queue:
            index = queue.popleft()
            attempts: list[Attempt] = []
            while len(attempts) <= max_retries and not (attempts and attempts[-1].succeeded):
                number = len(attempts)
                on_state(TaskState(index, number, "running"))
                variables = task_variables(engine, index=index, count=tasks, attempt=number, execution=name, job=job)
                attempts.append(await runner.attempt(index, number, variables))
            finished[index] = Task(index, tuple(attempts))
            on_state(TaskState(index, len(attempts) - 1, "succeeded" if finished[index].succeeded else "failed"))

    started = time.monotonic()
    slots = [asyncio.create_task(slot()) for _ in range(min(parallelism or tasks, tasks))]
    try:
        # An exception, for example if the command cannot be started, stops the execution.
        await asyncio.wait(slots, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        for running in slots:
            running.cancel()
        outcomes = await asyncio.gather(*slots, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            raise outcome
    return Execution(name, tuple(finished[index] for index in range(tasks)), time.monotonic() - started)


def _start_order(tasks: int, order: Sequence[int] | None, dice: random.Random | None) -> list[int]:
    indexes = list(range(tasks))
    if order is not None:
        if sorted(order) != indexes:
            raise ValueError(f"order must contain every task from 0 to {tasks - 1} once")
        return list(order)
    if dice:
        dice.shuffle(indexes)
    return indexes
