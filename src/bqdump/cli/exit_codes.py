"""The meaning of each exit code, for people, and those of processes that were stopped."""

from __future__ import annotations

from bqdump.cli import process
from bqdump.core.exit_codes import (
    DENIED_OR_NOT_FOUND,
    DIFFERENCE,
    DONE,
    OUTAGE,
    QUOTA,
    TABLES_FAILED,
    UNEXPECTED,
    USAGE,
)

INTERRUPTED, TERMINATED = process.INTERRUPTED, 143

# The meaning of each code, for the command reference.
MEANINGS: tuple[tuple[tuple[int, ...], str], ...] = (
    ((DONE,), "success (other tasks may still be running)"),
    ((UNEXPECTED,), "unexpected error: a bug"),
    ((USAGE,), "invalid setting or argument; nothing was changed"),
    ((TABLES_FAILED,), "some tables failed: nothing was published, or the restore is incomplete"),
    (
        (DIFFERENCE,),
        "files or tables differ from the manifest, a service from what is documented; a broken objective",
    ),
    (
        (DENIED_OR_NOT_FOUND,),
        "permission denied, not found, unusable target, or cannot connect to Google APIs",
    ),
    ((QUOTA,), "quota exceeded; retry later"),
    ((OUTAGE,), "outage: a service did not answer within --patience, or sent damaged answers"),
    ((INTERRUPTED, TERMINATED), "stopped by Ctrl-C or SIGTERM"),
)
