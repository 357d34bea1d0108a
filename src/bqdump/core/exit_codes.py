"""The exit codes of the command line, and that of each error. A ping has them, too, wherever the work was started."""

from __future__ import annotations

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
# By the state of a drill.
DRILLED = {"proven": DONE, "different": DIFFERENCE, "incomplete": TABLES_FAILED}

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


def exit_code(error: BaseException) -> int:
    """The exit code of an error; UNEXPECTED for one that was not raised on purpose."""
    return next((code for kind, code in CODES.items() if isinstance(error, kind)), UNEXPECTED)
