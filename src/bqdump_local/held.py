"""What one server uses at a time: a folder, a port."""

from __future__ import annotations

from pathlib import Path
from typing import IO

from bqdump.core.errors import UsageError

FILE = "lock"


def hold(folder: Path) -> IO[bytes]:
    """Hold a folder until the file is closed, or the process ends. Raises UsageError if another server holds it."""
    file = (folder / FILE).open("ab")
    try:
        import fcntl
    except ImportError:
        # Windows has no such locks: there, people take care themselves.
        return file
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise folder_in_use(folder.parent) from None
    except OSError:
        # Some file systems of networks have no such locks either.
        return file
    return file


def folder_in_use(folder: Path) -> UsageError:
    """The error for a folder that another server holds."""
    hint = "Stop that one, or choose another folder: bqdump local --folder FOLDER up"
    return UsageError("start", "the local stack", f"another stack uses the folder {folder}", hint)


def port_in_use(port: int, error: Exception) -> UsageError:
    """The error for a port that cannot be listened on."""
    hint = "Choose another port, or stop what uses it."
    return UsageError("start", "the local stack", f"it cannot listen on the port {port} of 127.0.0.1: {error}", hint)
