"""Errors in BigQuery's format."""

from __future__ import annotations

import logging
from typing import Any

LOG = logging.getLogger(__name__)

HTTP_STATUS = {
    "accessDenied": 403,
    "backendError": 503,
    "badRequest": 400,
    "billingNotEnabled": 403,
    "conditionNotMet": 412,
    "duplicate": 409,
    "internalError": 500,
    "invalid": 400,
    "invalidQuery": 400,
    "notFound": 404,
    "notImplemented": 501,
    "quotaExceeded": 403,
    "rateLimitExceeded": 403,
    "resourceInUse": 400,
    "responseTooLarge": 403,
}

STATUS_NAME = {
    400: "INVALID_ARGUMENT",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ALREADY_EXISTS",
    412: "FAILED_PRECONDITION",
    415: "INVALID_ARGUMENT",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
}


class BigQueryError(Exception):
    """An error with BigQuery's reason: the answer to a request, or the error of a job."""

    def __init__(self, reason: str, message: str, *, location: str | None = None, status: int | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.location = location
        self.status = status or HTTP_STATUS.get(reason, 400)

    def proto(self) -> dict[str, Any]:
        """The `ErrorProto` of a failed job."""
        proto = {"reason": self.reason, "message": self.message}
        return proto if self.location is None else {**proto, "location": self.location}

    def body(self) -> dict[str, Any]:
        """The body of an HTTP error."""
        error: dict[str, Any] = {
            "code": self.status,
            "message": self.message,
            "errors": [{"domain": "global", **self.proto()}],
            "status": STATUS_NAME.get(self.status, "UNKNOWN"),
        }
        return {"error": error}


def not_found(what: str, name: str) -> BigQueryError:
    """The 404 for a dataset, table or job. name: in the form `project:dataset.table`."""
    return BigQueryError("notFound", f"Not found: {what} {name}")


def duplicate(what: str, name: str) -> BigQueryError:
    """The 409 for something that already exists."""
    return BigQueryError("duplicate", f"Already Exists: {what} {name}")


def denied(permission: str) -> BigQueryError:
    """The 403 for a missing permission."""
    return BigQueryError("accessDenied", f"Access Denied: User does not have {permission} permission.")


def invalid(message: str) -> BigQueryError:
    """The 400 for an invalid request."""
    return BigQueryError("invalid", message)


def invalid_query(message: str) -> BigQueryError:
    """The error for an invalid query."""
    return BigQueryError("invalidQuery", message, location="query")


def cancelled() -> BigQueryError:
    """The error of a job that is cancelled before its end."""
    return BigQueryError("stopped", "Job execution was cancelled: User requested cancellation")


def unexpected(error: BaseException) -> BigQueryError:
    """The 501 for an error of this stand-in, whose log has the traceback. Clients do not retry it."""
    LOG.error("This request failed:", exc_info=error)
    return BigQueryError("notImplemented", f"This local stand-in failed ({type(error).__name__}); its log has details.")


def unsupported(what: str, *, location: str | None = None) -> BigQueryError:
    """The 501 for something that BigQuery has and this stand-in has not. what: such as `the option x`."""
    return BigQueryError("notImplemented", f"This local stand-in does not support {what}.", location=location)
