"""Temporary files of a folder: written next to the objects, and locked while their process lives."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from bqdump.adapters.folder_paths import OWN

LOCKED = re.compile(re.escape(OWN) + "[0-9a-f]{16}")
SHORT_LIVED = re.compile(re.escape(OWN) + "(?:copy|probe)-.*")
# After this many seconds, a short-lived file belongs to a dead process.
LONG_AGO = 3600.0


def passing_name(root: Path) -> Path:
    """A name for a short-lived second link to a file."""
    return root / f"{OWN}copy-{secrets.token_hex(8)}"


@contextmanager
def temporary(root: Path) -> Iterator[tuple[Path, IO[bytes]]]:
    """A new file and its path. It is removed at the end unless it has been renamed."""
    while True:
        path = root / f"{OWN}{secrets.token_hex(8)}"
        with path.open("xb") as file:
            try:
                # Before it is locked, a starting task may take the file for a dead process's and remove it.
                if _lock(file.fileno()) and path.exists():
                    yield path, file
                    return
            finally:
                # Windows cannot remove an open file; the next process does it.
                with suppress(PermissionError):
                    path.unlink(missing_ok=True)


def sync(file: IO[bytes]) -> None:
    """Bring what was written to the disk."""
    file.flush()
    os.fsync(file.fileno())


def link(path: Path, made: Path) -> None:
    """Make the content available under a second name: by a link, since no file is changed in place, or by a copy."""
    try:
        made.hardlink_to(path)
    except OSError:
        shutil.copyfile(path, made)


def clear_abandoned(root: Path) -> None:
    """Remove the temporary files of dead processes."""
    with suppress(OSError), os.scandir(root) as entries:
        for entry in entries:
            if not entry.name.startswith(OWN) or not entry.is_file(follow_symlinks=False):
                continue
            with suppress(OSError):
                if LOCKED.fullmatch(entry.name):
                    _remove_unlocked(Path(entry.path))
                elif SHORT_LIVED.fullmatch(entry.name) and time.time() - entry.stat().st_ctime > LONG_AGO:
                    Path(entry.path).unlink()


def _remove_unlocked(path: Path) -> None:
    with path.open("rb") as file:
        if _lock(file.fileno()):
            path.unlink()


def _lock(file: int) -> bool:
    """Lock an open file for this process; False if another process holds the lock."""
    if sys.platform == "win32":
        # Windows does not remove open files, so no lock is needed.
        return True
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
