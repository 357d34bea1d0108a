"""A stack that lives on in the background: where it is written down, and how it is ended."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import msgspec

from bqdump.core.errors import NotFoundError, UsageError
from bqdump_local.stack import Stack, start

FOLDER = Path(".bqdump-local")
FILE = "stack.json"
STOP_SECONDS = 10.0


def up(folder: Path, *, persist: bool, ports: tuple[int, int], cloud_run_port: int) -> Stack:
    """Start a stack in the background and write it down. Raises UsageError when one runs already."""
    if (running := find(folder)) is not None:
        raise UsageError(
            "start", "the local stack", f"it runs already ({running.bigquery})", "End it: bqdump local down"
        )
    folder.mkdir(parents=True, exist_ok=True)
    data = folder / "bigquery" if persist else None
    with (folder / "log").open("ab") as log:
        stack, processes = start(
            root=folder / "buckets", data_dir=data, ports=ports, cloud_run_port=cloud_run_port, detached_log=log
        )
    for process in processes:
        if process.stdout:
            process.stdout.close()
        # They are meant to outlive this process.
        process.returncode = 0
    (folder / FILE).write_bytes(msgspec.json.encode(stack))
    return stack


def find(folder: Path) -> Stack | None:
    """The stack that runs, None when none does."""
    try:
        stack = msgspec.json.decode((folder / FILE).read_bytes(), type=Stack)
    except (FileNotFoundError, msgspec.DecodeError):
        return None
    return stack if all(map(_is_ours, stack.pids)) else None


def the_stack(folder: Path) -> Stack:
    """The stack that runs. Raises NotFoundError when none does."""
    if (stack := find(folder)) is None:
        raise NotFoundError("find", "a local stack", f"none is written down in {folder}", "Start one: bqdump local up")
    return stack


def down(folder: Path) -> None:
    """End the stack that was started from here, and wait for its end. Raises NotFoundError when there is none."""
    stack = the_stack(folder)
    for pid in stack.pids:
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while any(map(_is_ours, stack.pids)) and time.monotonic() < deadline:
        time.sleep(0.02)
    for pid in filter(_is_ours, stack.pids):
        os.kill(pid, signal.SIGKILL)
    (folder / FILE).unlink()


def _is_ours(pid: int) -> bool:
    """Whether this process lives and is one of our servers: process ids are given out again."""
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
