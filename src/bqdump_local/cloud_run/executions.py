"""Executions: each runs the job's command as processes, and can be read and cancelled."""

from __future__ import annotations

import asyncio
import random
import string
import threading
import uuid
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

import msgspec

from bqdump_local import clock
from bqdump_local.cloud_run.errors import invalid
from bqdump_local.cloud_run.template import ExecutionTemplate, seconds
from bqdump_local.execute import Execution, execute
from bqdump_local.processes import Processes, TaskLine

TYPE = "type.googleapis.com/google.cloud.run.v2."
# The arguments in the image, for a container that has none.
DEFAULT = ("run",)


class Machine:
    """A thread with asyncio's own event loop, since others do not start processes the way `execute` needs."""

    def __init__(self) -> None:
        self._loop = asyncio.SelectorEventLoop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def start(self, work: Coroutine[Any, Any, None], ended: Callable[[], None]) -> asyncio.Task[None]:
        """Start some work. `ended` is called after it has ended, successfully or not."""

        async def begin() -> asyncio.Task[None]:
            task = asyncio.create_task(work)
            task.add_done_callback(lambda _: ended())
            return task

        return asyncio.run_coroutine_threadsafe(begin(), self._loop).result()

    def cancel(self, task: asyncio.Task[None]) -> None:
        """Cancel some work."""
        self._loop.call_soon_threadsafe(task.cancel)

    def stop(self) -> None:
        """End the thread after all work has ended."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class Running:
    """One execution of a job, and the operation that waits for it."""

    def __init__(self, job: str, template: ExecutionTemplate) -> None:
        parent, _, self.job = job.rpartition("/jobs/")
        self.id = f"{self.job}-{''.join(random.choices(string.ascii_lowercase + string.digits, k=5))}"
        self.name = f"{job}/executions/{self.id}"
        self.operation = f"{parent}/operations/{uuid.uuid4()}"
        self.template = template
        self.lines: list[TaskLine] = []
        self.result: Execution | None = None
        self.error = ""
        self.cancelled = False
        self._created = _now()
        self._completed = ""
        self._uid = str(uuid.uuid4())
        self._processes = Processes()
        self._end: Callable[[], None] = lambda: None
        self._ended = threading.Event()

    def start(self, machine: Machine, command: Sequence[str], environ: Mapping[str, str], at_once: int) -> None:
        """Start its tasks, with at most `at_once` processes at a time, and not more than the template allows."""
        work = machine.start(self._run(command, environ, at_once), self._ended.set)
        self._end = lambda: machine.cancel(work)

    async def _run(self, command: Sequence[str], environ: Mapping[str, str], at_once: int) -> None:
        task = self.template.template
        [container] = task.containers
        try:
            self.result = await execute(
                [*command, *(container.args or DEFAULT)],
                tasks=self.template.task_count,
                env={**environ, **{variable.name: variable.value for variable in container.env}},
                parallelism=min(self.template.parallelism or at_once, at_once),
                max_retries=task.max_retries,
                task_timeout=seconds(task.timeout),
                execution=self.id,
                job=self.job,
                on_output=self.lines.append,
                processes=self._processes,
            )
            if self.result.failed:
                self.error = f"{self.result.failed} of {self.template.task_count} tasks of {self.id} have failed."
        except asyncio.CancelledError:
            self.error = f"The execution {self.id} was cancelled."
            raise
        except Exception as error:
            self.error = f"The command of the job cannot be run: {error}"
        finally:
            self._completed = _now()

    @property
    def done(self) -> bool:
        """Whether every task has ended."""
        return self._ended.is_set()

    async def wait(self, limit: float | None = None) -> None:
        """Wait until it has ended, up to this number of seconds."""
        await asyncio.to_thread(self._ended.wait, limit)

    async def cancel(self) -> None:
        """End its processes. Raises CloudRunError if they have already ended."""
        if self.done:
            raise invalid(f"The execution {self.id} is completed and cannot be cancelled.")
        self.cancelled = True
        await self.stop()

    async def stop(self) -> None:
        """End all remaining processes."""
        self._end()
        await self.wait()

    def body(self) -> dict[str, Any]:
        """The execution in the API's format, which omits numbers that are 0."""
        result, count = self.result, self.template.task_count
        retried = sum(len(task.attempts) - 1 for task in result.tasks) if result else 0
        counts = {
            "runningCount": len(self._processes.running),
            "succeededCount": result.succeeded if result else 0,
            "failedCount": result.failed if result else count if self.done and not self.cancelled else 0,
            "cancelledCount": count if self.cancelled and self.done else 0,
            "retriedCount": retried,
        }
        times = {"createTime": self._created, "startTime": self._created, "completionTime": self._completed}
        return {
            "name": self.name,
            "uid": self._uid,
            "generation": "1",
            "job": self.job,
            **{key: time for key, time in times.items() if time},
            "taskCount": count,
            **({"parallelism": self.template.parallelism} if self.template.parallelism else {}),
            "template": msgspec.to_builtins(self.template.template),
            "conditions": [self._condition()],
            **({} if self.done else {"reconciling": True}),
            **{key: number for key, number in counts.items() if number},
        }

    def _condition(self) -> dict[str, str]:
        if not self.done:
            return {"type": "Completed", "state": "CONDITION_RECONCILING"}
        if not self.error:
            return {"type": "Completed", "state": "CONDITION_SUCCEEDED"}
        reason = "CANCELLED" if self.cancelled else "NON_ZERO_EXIT_CODE"
        return {"type": "Completed", "state": "CONDITION_FAILED", "message": self.error, "executionReason": reason}

    def operation_body(self) -> dict[str, Any]:
        """The operation that started it."""
        execution = {"@type": f"{TYPE}Execution", **self.body()}
        operation: dict[str, Any] = {"name": self.operation, "metadata": execution, "done": self.done}
        if self.done and self.error:
            operation["error"] = {"code": 1 if self.cancelled else 2, "message": self.error}
        elif self.done:
            operation["response"] = execution
        return operation


def _now() -> str:
    return clock.now().isoformat(timespec="microseconds").replace("+00:00", "Z")
