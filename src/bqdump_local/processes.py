"""The processes of tasks: how one starts, writes lines, and ends."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

Stream = Literal["stdout", "stderr"]
# The variables that a process inherits; all others come from the caller.
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
# How long to wait for the output of processes that have left their task's process group.
_PIPE_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class TaskLine:
    """One line of a task's output, without the line break."""

    task: int
    attempt: int
    stream: Stream
    text: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """How one process of a task ended: its exit code or signal, and whether it timed out."""

    number: int
    exit_code: int | None
    signal: int | None
    seconds: float
    timed_out: bool = False

    @property
    def succeeded(self) -> bool:
        """Whether the exit code is 0, without a timeout."""
        return self.exit_code == 0 and not self.timed_out


class Processes:
    """The running processes of an execution. Pass an instance to `execute` in order to kill them."""

    def __init__(self) -> None:
        self._running: dict[int, int] = {}

    @property
    def running(self) -> dict[int, int]:
        """Process ids by task index."""
        return dict(self._running)

    def kill(self, task: int, number: int = signal.SIGKILL) -> bool:
        """Send a signal to a task's process and its children; False if the task has no running process."""
        pid = self._running.get(task)
        return pid is not None and _signal_group(pid, number)

    def _started(self, task: int, pid: int) -> None:
        self._running[task] = pid

    def _ended(self, task: int) -> None:
        self._running.pop(task, None)


@dataclass(frozen=True, slots=True)
class Runner:
    """Runs single processes."""

    command: Sequence[str]
    env: Mapping[str, str]
    timeout: float
    grace: float
    cwd: Path | None
    on_output: Callable[[TaskLine], None] | None
    processes: Processes

    async def attempt(self, index: int, number: int, variables: Mapping[str, str]) -> Attempt:
        """Run one process until it ends or times out."""
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
            # Remaining child processes are killed, as they are in a container.
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
        """Send SIGTERM, and SIGKILL after the grace period."""
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
    """Splits a process's output into lines of any length, and distinguishes its exit from the end of its output."""

    def __init__(self, started: Callable[[int], None], emit: Callable[[Stream, str], None]) -> None:
        self.exited = asyncio.Event()
        self.closed = asyncio.Event()
        self._started = started
        self._emit = emit
        self._rest = {1: b"", 2: b""}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Record the process before its first line."""
        if isinstance(transport, asyncio.SubprocessTransport):
            self._started(transport.get_pid())

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """Emit complete lines."""
        *lines, self._rest[fd] = (self._rest[fd] + data).split(b"\n")
        for line in lines:
            self._hand_on(fd, line)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        """Emit a last line without a line break."""
        if self._rest.get(fd):
            self._hand_on(fd, self._rest[fd])
            self._rest[fd] = b""

    def process_exited(self) -> None:
        """Record that the process has ended; its children may still write."""
        self.exited.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """Record that all output has ended."""
        self.closed.set()

    def _hand_on(self, fd: int, line: bytes) -> None:
        self._emit("stdout" if fd == 1 else "stderr", line.removesuffix(b"\r").decode(errors="replace"))


def _signal_group(pid: int, number: int) -> bool:
    """Send a signal to a process group, by the id of its leader; False if no process is left."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)
        return True
    return False
