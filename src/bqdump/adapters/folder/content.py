"""What a folder may contain where runs export to it.

Errors of a file system or of a folder's index as TargetErrors: what failed, where, why, and how to fix it.

Temporary files of a folder: written next to the objects, and locked while their process lives.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from bqdump.adapters.folder.index import INDEX
from bqdump.adapters.folder.paths import OWN
from bqdump.core.documents.document import STATE
from bqdump.core.errors import MORE_FILES, TOO_MANY_FILES, TargetError, UsageError

# A folder that is no target at all, such as a home directory, may hold millions.
LOOKED_AT = 10_000


def refuse_other_content(root: Path) -> None:
    """Raise UsageError for anything but a new folder, an empty one, or one that runs have exported to."""
    if root.is_dir() and not (root / INDEX).exists() and any(not path.name.startswith(OWN) for path in root.iterdir()):
        if contains(root, STATE):
            cause = "there is an export in it, or in a folder below it, that was not written to this folder"
            raise UsageError("use", str(root), cause, "Use a new or empty folder.")
        cause = "the folder is not empty and contains no export"
        raise UsageError("use", str(root), cause, "Use a new or empty folder, or one that has an export.")


def refuse_a_file(root: Path) -> None:
    """Raise UsageError where a file is in the place of the folder, or of one above it."""
    path = next((path for path in (root, *root.parents) if os.path.lexists(path)), None)
    if path and not path.is_dir():
        raise UsageError("use", str(path), "not a folder", "Name the folder of an export, or a new one.")


def contains(root: Path, folder: str, most: int = LOOKED_AT) -> bool:
    """Whether a folder of this name is somewhere below, looking at so many entries, the nearest first."""
    waiting = [root]
    for place in waiting:
        if (place / folder).is_dir():
            return True
        with suppress(OSError), os.scandir(place) as entries:
            for entry in entries:
                if (most := most - 1) < 0:
                    return False
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(place / entry.name)
    return False


FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)
HINTS = {
    **dict.fromkeys(FULL, "Free some space and repeat the command: nothing counts before it is complete."),
    **dict.fromkeys(DENIED, "Make the folder writable for this user and repeat the command."),
    **dict.fromkeys(TOO_MANY_FILES, MORE_FILES),
    errno.ENAMETOOLONG: "Use shorter names, or another folder.",
}
# SQLite does not say why it cannot open a file, which may be the index or a temporary one.
NOT_OPENED = f"Make the folder writable for this user. If it is: {MORE_FILES[0].lower()}{MORE_FILES[1:]}"
# The same errors as SQLite reports them.
KINDS = {
    sqlite3.SQLITE_FULL: errno.ENOSPC,
    sqlite3.SQLITE_READONLY: errno.EROFS,
    sqlite3.SQLITE_PERM: errno.EACCES,
}


@contextmanager
def as_target_error(operation: str, subject: str) -> Iterator[None]:
    """Raise errors of the file system or of the index as TargetErrors."""
    try:
        yield
    except OSError as error:
        hint = HINTS.get(error.errno or 0, "Check the disk and the folder.")
        raise TargetError(operation, subject, error.strerror or str(error), hint) from error
    except sqlite3.DatabaseError as error:
        # The low byte is the primary error code.
        kind = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
        other = NOT_OPENED if kind == sqlite3.SQLITE_CANTOPEN else "Check the disk and the folder."
        hint = HINTS.get(KINDS.get(kind, 0), other)
        raise TargetError(operation, subject, f"the folder's index: {error}", hint) from error


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


def link(path: Path, second: Path) -> None:
    """Make the content available under a second name: by a link, since no file is changed in place, or by a copy."""
    try:
        second.hardlink_to(path)
    except OSError:
        shutil.copyfile(path, second)


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


class FillError(Exception):
    """An error raised by `fill`, as opposed to one of the folder."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(cause)
        self.cause = cause
