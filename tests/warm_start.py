"""Starts commands and stand-ins as forks of a process that has imported what they import: a third of the CPU time.

Programs of a test's own are started so with `-P -c`, which nothing else has.

It stays a start through `subprocess` or asyncio, and a child process with its own arguments, environment, folder,
streams, process group and exit code: only the system call below is another one. Other programs, and commands whose
environment changes Python itself, start as ever; so does everything on systems other than Linux.
"""

from __future__ import annotations

import ctypes
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

STARTS = {
    (sys.executable, "-P", "-c"): "-c",
    (sys.executable, "-m", "bqdump"): "bqdump",
    (sys.executable, "-P", "-m", "bqdump"): "bqdump",
    (sys.executable, "-P", "-m", "bqdump.ui.decode"): "bqdump.ui.decode",
    (sys.executable, "-P", "-m", "bqdump_local.serve"): "bqdump_local.serve",
}
# prctl(2): orphans among the descendants of this process become its children.
_SET_CHILD_SUBREAPER = 36


class WarmStart:
    """Forks commands from one warm process, which starts with the first of them unless there is a connection to one."""

    def __init__(self, connection: socket.socket | None = None) -> None:
        self._lock = threading.Lock()
        self._socket = connection
        self._process: subprocess.Popen[bytes] | None = None
        # CPython's own function, which its types do not have.
        self._exec: Callable[..., int] = subprocess._fork_exec  # type: ignore[attr-defined]
        self._on = True

    @contextmanager
    def cold(self) -> Iterator[None]:
        """Start commands as ever within this block."""
        self._on = False
        try:
            yield
        finally:
            self._on = True

    def fork_exec(self, *call: Any) -> int:
        """Stands in for the function of this name that `subprocess` calls; returns the id of the new process."""
        command, _, _, kept, folder, variables, stdin, _, _, stdout, _, stderr, _, report, _, session, group = call[:17]
        words = [os.fsdecode(word) for word in command]
        folder = os.fsdecode(folder or Path.cwd())
        environment = dict(os.environ)
        if variables is not None:
            environment = dict(os.fsdecode(variable).split("=", 1) for variable in variables)
        of_python = any(
            name.startswith("PYTHON") and value != os.environ.get(name) for name, value in environment.items()
        )
        simple = tuple(kept) == (report,) and Path(folder).is_dir() and not any(map(callable, call[17:]))
        start = next((start for start in STARTS if tuple(words[: len(start)]) == start), ())
        if not self._on or not start or of_python or not simple:
            return self._exec(*call)
        request = {
            "module": STARTS[start],
            "safe_path": "-P" in start,
            "arguments": words[len(start) :],
            "folder": folder,
            "environment": environment,
            "session": session,
            "group": group,
        }
        streams = [own if given == -1 else given for own, given in enumerate((stdin, stdout, stderr))]
        with self._lock:
            return self._request(request, streams)

    def close(self) -> None:
        """End the warm process."""
        if self._socket and self._process:
            self._socket.close()
            self._process.wait()

    def _request(self, request: dict[str, Any], streams: Sequence[int]) -> int:
        server = self._socket = self._socket or self._open()
        data = json.dumps(request).encode()
        _adopt_orphans(True)
        try:
            socket.send_fds(server, [len(data).to_bytes(4, "big")], streams)
            server.sendall(data)
            answer = server.recv(4)
        finally:
            _adopt_orphans(False)
        if not answer:
            raise EOFError("the warm process has ended: see its message above")
        return int.from_bytes(answer, "big")

    def _open(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        program = Path(__file__).with_name("warm_process.py")
        with theirs:
            number = theirs.fileno()
            self._process = subprocess.Popen(
                # A fork keeps this command line, and `bqdump local` looks for the module in it.
                [sys.executable, "-P", str(program), str(number), *set(STARTS.values())],
                pass_fds=[number],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        return ours


def _adopt_orphans(yes: bool) -> None:
    ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, int(yes), 0, 0, 0)


@contextmanager
def warm_start() -> Iterator[WarmStart]:
    """Start commands as forks within this block."""
    started = WarmStart()
    # See WarmStart.
    cold = subprocess._fork_exec  # type: ignore[attr-defined]
    if sys.platform == "linux":
        install(started)
    try:
        yield started
    finally:
        subprocess._fork_exec = cold  # type: ignore[attr-defined]
        started.close()


def install(started: WarmStart) -> None:
    """Let this process start commands so."""
    # See WarmStart.
    subprocess._fork_exec = started.fork_exec  # type: ignore[attr-defined]
