"""Which exit code an error means: the one place that knows."""

from __future__ import annotations

from bqdump.core.errors import (
    AccessError,
    AnswerError,
    BqdumpError,
    DeniedError,
    DocumentError,
    NotFoundError,
    OutageError,
    QuotaError,
    TargetError,
    UnavailableError,
    UnitsFailedError,
    UsageError,
    VerificationError,
)

DONE, UNEXPECTED, USAGE, UNITS_FAILED, DIFFERENCE, DENIED_OR_NOT_FOUND, QUOTA, OUTAGE = range(8)
INTERRUPTED, TERMINATED = 130, 143

# What each code means, for the command reference.
MEANINGS: tuple[tuple[tuple[int, ...], str], ...] = (
    ((DONE,), "done; for one task of many also: the others are still at work"),
    ((UNEXPECTED,), "unexpected: a bug"),
    ((USAGE,), "a setting or an argument is wrong; nothing was touched"),
    ((UNITS_FAILED,), "some tables failed; nothing was published"),
    ((DIFFERENCE,), "what is stored differs from what was recorded"),
    (
        (DENIED_OR_NOT_FOUND,),
        "denied, or not found; or the target cannot be used; or no way to Google: credentials, proxy, certificate",
    ),
    ((QUOTA,), "a quota says later"),
    ((OUTAGE,), "outage: a service did not answer for as long as --patience, or kept sending damaged answers"),
    ((INTERRUPTED, TERMINATED), "stopped by Ctrl-C, by SIGTERM"),
)

CODES: dict[type[BqdumpError], int] = {
    UsageError: USAGE,
    UnitsFailedError: UNITS_FAILED,
    VerificationError: DIFFERENCE,
    DocumentError: DIFFERENCE,
    AccessError: DENIED_OR_NOT_FOUND,
    DeniedError: DENIED_OR_NOT_FOUND,
    NotFoundError: DENIED_OR_NOT_FOUND,
    TargetError: DENIED_OR_NOT_FOUND,
    AnswerError: DENIED_OR_NOT_FOUND,
    QuotaError: QUOTA,
    OutageError: OUTAGE,
    UnavailableError: OUTAGE,
}


def exit_code(error: BqdumpError) -> int:
    """The exit code of an error that was raised on purpose."""
    return next((code for kind, code in CODES.items() if isinstance(error, kind)), UNEXPECTED)
