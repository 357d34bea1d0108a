"""The exit code of each error."""

from __future__ import annotations

from bqdump.cli import process
from bqdump.core.errors import (
    AccessError,
    AnswerError,
    BqdumpError,
    DeniedError,
    DocumentError,
    NotFoundError,
    OpenFilesError,
    OutageError,
    QuotaError,
    TablesFailedError,
    TargetError,
    UnavailableError,
    UsageError,
    VerificationError,
)

DONE, UNEXPECTED, USAGE, TABLES_FAILED, DIFFERENCE, DENIED_OR_NOT_FOUND, QUOTA, OUTAGE = range(8)
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

CODES: dict[type[BqdumpError], int] = {
    UsageError: USAGE,
    TablesFailedError: TABLES_FAILED,
    VerificationError: DIFFERENCE,
    DocumentError: DIFFERENCE,
    AccessError: DENIED_OR_NOT_FOUND,
    DeniedError: DENIED_OR_NOT_FOUND,
    NotFoundError: DENIED_OR_NOT_FOUND,
    TargetError: DENIED_OR_NOT_FOUND,
    AnswerError: DENIED_OR_NOT_FOUND,
    QuotaError: QUOTA,
    OpenFilesError: DENIED_OR_NOT_FOUND,
    OutageError: OUTAGE,
    UnavailableError: OUTAGE,
}


def exit_code(error: BqdumpError) -> int:
    """The exit code of an error that was raised on purpose."""
    return next((code for kind, code in CODES.items() if isinstance(error, kind)), UNEXPECTED)
