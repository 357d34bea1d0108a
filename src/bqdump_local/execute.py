"""Runs the tasks of a job as processes of this machine, under the contract of Cloud Run."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import string
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from bqdump.core.progress.events import TaskState

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

Engine = Literal["cloud-run", "kubernetes", "gcp-batch", "aws-batch"]
Stream = Literal["stdout", "stderr"]
GRACE_SECONDS: Final = 10.0
# What a process needs from this machine; everything else it gets from the caller alone.
INHERITED: Final = (
    "HOME",
    "LANG",
    "LC_ALL",
    "LD_LIBRARY_PATH",
    "PATH",
    "SYSTEMROOT",
    "TEMP",
    "TMP",
    "TMPDIR",
    "TZ",
    "USER",
)
# The variables by which engines tell a task its index, the number of tasks, and the attempt.
ENGINE_VARIABLES: Final[Mapping[Engine, tuple[str, str | None, str | None]]] = {
    "cloud-run": ("CLOUD_RUN_TASK_INDEX", "CLOUD_RUN_TASK_COUNT", "CLOUD_RUN_TASK_ATTEMPT"),
    "kubernetes": ("JOB_COMPLETION_INDEX", None, None),
    "gcp-batch": ("BATCH_TASK_INDEX", "BATCH_TASK_COUNT", "BATCH_TASK_RETRY_ATTEMPT"),
    "aws-batch": ("AWS_BATCH_JOB_ARRAY_INDEX", "AWS_BATCH_JOB_ARRAY_SIZE", "AWS_BATCH_JOB_ATTEMPT"),
}
_FIRST_ATTEMPT: Final[Mapping[Engine, int]] = {"aws-batch": 1}
# How long to wait for output of processes that have left the group of their task.
_PIPE_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class TaskLine:
    """One line that a task has written, without its line end."""

    task: int
    attempt: int
    stream: Stream
    text: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """How one process of a task ended: by an exit code or by a signal, and whether its time had run out."""

    number: int
    exit_code: int | None
    signal: int | None
    seconds: float
    timed_out: bool = False

    @property
    def succeeded(self) -> bool:
        """Exit code 0 within the time allowed."""
        return self.exit_code == 0 and not self.timed_out


@dataclass(frozen=True, slots=True)
class Task:
    """All attempts of one task, in order."""

    index: int
    attempts: tuple[Attempt, ...]

    @property
    def succeeded(self) -> bool:
        """Whether the last attempt did."""
        return bool(self.attempts) and self.attempts[-1].succeeded


@dataclass(frozen=True, slots=True)
class Execution:
    """A finished execution: its tasks by index."""

    name: str
    tasks: tuple[Task, ...]
    seconds: float

    @property
    def succeeded(self) -> int:
        """How many tasks succeeded."""
        return sum(task.succeeded for task in self.tasks)

    @property
    def failed(self) -> int:
        """How many tasks failed for good."""
        return len(self.tasks) - self.succeeded

    @property
    def ok(self) -> bool:
        """Whether every task succeeded."""
        return self.failed == 0


class Processes:
    """The processes of an execution while it runs; pass one to `execute` to be able to kill them."""

    def __init__(self) -> None:
        self._running: dict[int, int] = {}

    @property
    def running(self) -> dict[int, int]:
        """Process ids by task index."""
        return dict(self._running)

    def kill(self, task: int, number: int = signal.SIGKILL) -> bool:
        """Send a signal to a task's process and its children; False if the task has no process now."""
        pid = self._running.get(task)
        return pid is not None and _signal_group(pid, number)

    def _started(self, task: int, pid: int) -> None:
        self._running[task] = pid

    def _ended(self, task: int) -> None:
        self._running.pop(task, None)


def task_variables(engine: Engine, *, index: int, count: int, attempt: int, execution: str, job: str) -> dict[str, str]:
    """What an engine sets in a task's environment; `attempt` counts from 0."""
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
    """Run a command as `tasks` tasks, at most `parallelism` at once, and wait for all of them.

    A task whose process ends with anything but 0 is started again, under the same index, up to `max_retries` times;
    the other tasks run on whatever happens to it. `on_state` hears of attempts and ends. A process that outlives
    `task_timeout` seconds gets SIGTERM, and SIGKILL `grace` seconds later. Tasks start in the given order, else in one
    shuffled by the seed, else by index.
    Cancelling this coroutine ends every process in the same way before it returns.
    """
    if tasks < 1 or (parallelism is not None and parallelism < 1):
        raise ValueError("tasks and parallelism must be at least 1")
    dice = random.Random(seed)
    name = execution or f"{job}-{''.join(dice.choices(string.ascii_lowercase + string.digits, k=5))}"
    queue = deque(_start_order(tasks, order, dice if seed is not None else None))
    runner = _Runner(command, env, task_timeout, grace, cwd, on_output, processes or Processes())
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
        # An exception, such as that of a command that cannot be started, stops the whole execution.
        await asyncio.wait(slots, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        for running in slots:
            running.cancel()
        outcomes = await asyncio.gather(*slots, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            raise outcome
    return Execution(name, tuple(finished[index] for index in range(tasks)), time.monotonic() - started)


@dataclass(frozen=True, slots=True)
class _Runner:
    """Runs single processes."""

    command: Sequence[str]
    env: Mapping[str, str]
    timeout: float
    grace: float
    cwd: Path | None
    on_output: Callable[[TaskLine], None] | None
    processes: Processes

    async def attempt(self, index: int, number: int, variables: Mapping[str, str]) -> Attempt:
        """Run one process to its end, or to the end of its time."""
        inherited = {key: os.environ[key] for key in INHERITED if key in os.environ}
        started = time.monotonic()
        transport, child = await asyncio.get_running_loop().subprocess_exec(
            lambda: _Child(
                started=lambda pid: self.processes._started(index, pid),
                emit=lambda stream, text: self._emit(TaskLine(index, number, stream, text)),
            ),
            *self.command,
            stdin=asyncio.subprocess.DEVNULL,
            env={**inherited, **self.env, **variables},
            cwd=self.cwd,
            process_group=0,
        )
        pid = transport.get_pid()
        timed_out = False
        try:
            async with asyncio.timeout(self.timeout):
                await child.exited.wait()
        except TimeoutError:
            timed_out = True
            await self._stop(pid, child)
        except asyncio.CancelledError:
            await self._stop(pid, child)
            raise
        finally:
            # Children that the process leaves behind end with it, as they do with a container.
            _signal_group(pid, signal.SIGKILL)
            self.processes._ended(index)
            try:
                async with asyncio.timeout(_PIPE_SECONDS):
                    await child.closed.wait()
            except TimeoutError:
                pass
            finally:
                transport.close()
        code = transport.get_returncode()
        ended_by = -code if code is not None and code < 0 else None
        return Attempt(number, None if ended_by else code, ended_by, time.monotonic() - started, timed_out)

    async def _stop(self, pid: int, child: _Child) -> None:
        """SIGTERM, and SIGKILL for a process that takes longer than the grace period."""
        _signal_group(pid, signal.SIGTERM)
        try:
            async with asyncio.timeout(self.grace):
                await child.exited.wait()
        except TimeoutError:
            _signal_group(pid, signal.SIGKILL)
            await child.exited.wait()

    def _emit(self, line: TaskLine) -> None:
        if self.on_output:
            self.on_output(line)


class _Child(asyncio.SubprocessProtocol):
    """Cuts a process's output into lines of any length, and tells its exit from the end of its output."""

    def __init__(self, started: Callable[[int], None], emit: Callable[[Stream, str], None]) -> None:
        self.exited = asyncio.Event()
        self.closed = asyncio.Event()
        self._started = started
        self._emit = emit
        self._rest = {1: b"", 2: b""}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note the process before any line of it is handed on."""
        if isinstance(transport, asyncio.SubprocessTransport):
            self._started(transport.get_pid())

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """Hand on what has become whole lines."""
        *lines, self._rest[fd] = (self._rest[fd] + data).split(b"\n")
        for line in lines:
            self._hand_on(fd, line)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        """Hand on a last line that has no end."""
        if self._rest.get(fd):
            self._hand_on(fd, self._rest[fd])
            self._rest[fd] = b""

    def process_exited(self) -> None:
        """Note that the process has ended; its children may still write."""
        self.exited.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that nobody can write any more."""
        self.closed.set()

    def _hand_on(self, fd: int, line: bytes) -> None:
        self._emit("stdout" if fd == 1 else "stderr", line.removesuffix(b"\r").decode(errors="replace"))


def _start_order(tasks: int, order: Sequence[int] | None, dice: random.Random | None) -> list[int]:
    indexes = list(range(tasks))
    if order is not None:
        if sorted(order) != indexes:
            raise ValueError(f"order must name every task from 0 to {tasks - 1} once")
        return list(order)
    if dice:
        dice.shuffle(indexes)
    return indexes


def _signal_group(pid: int, number: int) -> bool:
    """Signal a process that leads its group, and all others of the group; False if nothing is left of it."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)
        return True
    return False
