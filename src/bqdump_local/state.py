"""A stack in the background: where its addresses are recorded, and how it is stopped."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from bqdump.core.errors import NotFoundError, UsageError
from bqdump_local.stack import Stack, start

FOLDER = Path(".bqdump-local")
FILE = "stack.json"
STOP_SECONDS = 10.0


def up(folder: Path, *, persist: bool, ports: tuple[int, int], cloud_run_port: int) -> Stack:
    """Start a stack in the background and record it. Raises UsageError if one is running."""
    if (running := find(folder)) is not None:
        raise UsageError(
            "start", "the local stack", f"it is already running ({running.bigquery})", "Stop it: bqdump local down"
        )
    # What is left of a stack of which a process was killed.
    _end(_left(folder))
    folder.mkdir(parents=True, exist_ok=True)
    data = folder / "bigquery" if persist else None
    with (folder / "log").open("ab") as log:
        stack, processes = start(
            root=folder / "buckets", data_dir=data, ports=ports, cloud_run_port=cloud_run_port, detached_log=log
        )
    for process in processes:
        if process.stdout:
            process.stdout.close()
        # The processes outlive this one.
        process.returncode = 0
    (folder / FILE).write_bytes(msgspec.json.encode(stack))
    return stack


def find(folder: Path) -> Stack | None:
    """The running stack; None if there is none."""
    stack = _recorded(folder)
    return stack if stack and all(map(_is_ours, stack.pids)) else None


def _recorded(folder: Path) -> Stack | None:
    try:
        return msgspec.json.decode((folder / FILE).read_bytes(), type=Stack)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def _left(folder: Path) -> list[int]:
    """The processes of the recorded stack that still run."""
    stack = _recorded(folder)
    return [pid for pid in stack.pids if _is_ours(pid)] if stack else []


def the_stack(folder: Path) -> Stack:
    """The running stack. Raises NotFoundError if there is none."""
    if (stack := find(folder)) is None:
        raise NotFoundError(
            "find", "a local stack", f"none is running, according to {folder}", "Start one: bqdump local up"
        )
    return stack


def down(folder: Path) -> None:
    """Stop the stack that was started from here, and wait for its end. Raises NotFoundError if there is none."""
    pids = _left(folder) or the_stack(folder).pids
    _end(pids)
    # Another command may have stopped it, too, and a third one may have started the next.
    recorded = _recorded(folder)
    if recorded is not None and set(pids) & set(recorded.pids):
        (folder / FILE).unlink(missing_ok=True)


def _end(pids: Sequence[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while any(map(_is_ours, pids)) and time.monotonic() < deadline:
        time.sleep(0.02)
    for pid in filter(_is_ours, pids):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _is_ours(pid: int) -> bool:
    """Whether the process is running and is one of the stack's servers, since process ids are reused."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return False
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return not Path("/proc").is_dir()
    return b"bqdump_local.serve" in command and "State:\tZ" not in status
