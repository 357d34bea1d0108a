"""Errors of a file system or of a folder's index as TargetErrors: what failed, where, why, and how to fix it."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from bqdump.core.errors import MORE_FILES, TOO_MANY_FILES, TargetError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)
HINTS = {
    **dict.fromkeys(FULL, "Free some space and resume the run: nothing is published before it is complete."),
    **dict.fromkeys(DENIED, "Make the folder writable for this user and resume the run."),
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
