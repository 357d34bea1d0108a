"""Google's exceptions as bqdump's, classified by what a caller can do about them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from typing import Any

import requests
import urllib3.exceptions
from google.api_core import exceptions as api
from google.auth import exceptions as auth

from bqdump.adapters.google.access import broken, not_signed_in, one_line, remedy
from bqdump.adapters.google.refusals import refusal
from bqdump.core.errors import (
    AccessError,
    BqdumpError,
    ConflictError,
    DeniedError,
    JobFailedError,
    NotFoundError,
    OutageError,
    QuotaError,
    TableGoneError,
    TargetError,
    UnavailableError,
    open_files_error,
    out_of_files,
)

COME_BACK = "Quotas are replenished throughout the day. Resume the run in an hour."
# https://cloud.google.com/bigquery/docs/error-messages
SLOW_DOWN = ("rateLimitExceeded", "userRateLimitExceeded", "jobRateLimitExceeded")
OUT_OF_QUOTA = ("quotaExceeded", "dailyLimitExceeded")
# Errors of the service, whatever the HTTP status.
TEMPORARY = ("backendError", "internalError", "badGateway")
# Of a precondition that the request itself has. Others are of a policy, and no other writer was faster.
# https://cloud.google.com/storage/docs/json_api/v1/status-codes#412-precondition-failed
# The last one is the reason that fake-gcs-server gives.
LOST_RACE = ("conditionNotMet", "", "Precondition Failed")
ORGANIZATION = "Whoever administers the policies of the organization can allow it."
REQUEST_TIMEOUT, TOO_MANY_REQUESTS, NOT_IMPLEMENTED = 408, 429, 501
REQUEST = r"^(?:GET|POST|PUT|PATCH|DELETE) \S+: "
FOOTER = r"\s+Location: \S*\s+Job ID: \S*\s*$"
# A suffix that downloads and uploads add.
EXPECTED = r"(?s): \('Request failed with status code'.*\)$"


# The exceptions of Google's clients and of the layers below them, which they do not always wrap.
BROKEN = (
    api.GoogleAPIError,
    auth.GoogleAuthError,
    requests.exceptions.RequestException,
    urllib3.exceptions.HTTPError,
    ConnectionError,
)


@contextmanager
def translated(operation: str, subject: str, hint: str = "") -> Iterator[None]:
    """Raise exceptions of Google's client as BqdumpErrors. hint: the role to grant where access is denied."""
    try:
        yield
    except BROKEN as error:
        raise translate(error, operation, subject, hint) from error


@contextmanager
def translated_reference(operation: str, subject: str, hint: str = "") -> Iterator[None]:
    """The same for a query or a definition, one of whose failures is that something it names does not exist."""
    try:
        with translated(operation, subject, hint):
            yield
    except NotFoundError as error:
        raise TableGoneError(error.operation, error.subject, error.cause, error.hint) from error


def translate(error: Exception, operation: str, subject: str, hint: str = "") -> BqdumpError:
    """The BqdumpError for an exception of a Google client or of its connection. hint: see translated."""
    # What a service answers is not about this machine.
    if getattr(error, "response", None) is None and out_of_files(error):
        return open_files_error(operation, subject)
    if isinstance(error, auth.GoogleAuthError):
        return not_signed_in(error)
    if isinstance(error, api.RetryError):
        # The client has retried this request for as long as its patience allows.
        inner = error.cause if isinstance(error.cause, Exception) else error
        cause = translate(inner, operation, subject).cause if inner is not error else str(error)
        return OutageError(operation, subject, cause)
    if not isinstance(error, api.GoogleAPICallError):
        return broken(error, operation, subject)
    reason, message = _reason(error), _message(error)
    if reason in OUT_OF_QUOTA:
        return QuotaError(operation, subject, message, COME_BACK)
    if reason in SLOW_DOWN or reason in TEMPORARY or _temporary(int(error.code or 0)):
        return UnavailableError(operation, subject, message)
    if isinstance(error, api.ClientError) and (refused := refusal(operation, subject, message, reason)):
        return refused
    if isinstance(error, api.Unauthorized):
        # Google's client has already tried a new token.
        return AccessError(operation, subject, message, remedy())
    if isinstance(error, api.Forbidden):
        return DeniedError(operation, subject, message, hint)
    return _unlike(error, operation, subject, message, reason)


def _unlike(error: api.GoogleAPICallError, operation: str, subject: str, message: str, reason: str) -> BqdumpError:
    """The error where the request does not fit what is there."""
    if isinstance(error, api.NotFound):
        return NotFoundError(operation, subject, message)
    if isinstance(error, api.PreconditionFailed) and reason not in LOST_RACE:
        return TargetError(operation, subject, message, ORGANIZATION if reason.startswith("orgPolicy") else "")
    if isinstance(error, (api.Conflict, api.PreconditionFailed)):
        return ConflictError(operation, subject, message)
    return JobFailedError(operation, subject, message)


def _temporary(status: int) -> bool:
    """Whether a retry may help, judging by the HTTP status alone."""
    return status in (REQUEST_TIMEOUT, TOO_MANY_REQUESTS) or (status >= 500 and status != NOT_IMPLEMENTED)


def _message(error: api.GoogleAPICallError) -> str:
    """The service's message, without the request, location and job id that Google's clients add."""
    detail = re.sub(EXPECTED, "", re.sub(FOOTER, "", re.sub(REQUEST, "", error.message or "")))
    if not detail or detail.lstrip().startswith("<"):
        # A proxy or a front end of Google has answered with an HTML page or nothing.
        code = error.code or 0
        return f"HTTP {int(code)} {HTTPStatus(code).phrase}" if code in set(HTTPStatus) else type(error).__name__
    if answer := _document(error):
        detail = str(answer.get("message") or detail)
    return one_line(detail)


def _reason(error: api.GoogleAPICallError) -> str:
    for item in error.errors or _document(error).get("errors", ()):
        if isinstance(item, dict) and item.get("reason"):
            return str(item["reason"])
    return ""


def _document(error: api.GoogleAPICallError) -> dict[str, Any]:
    """The service's JSON error, which downloads and uploads use as the message; {} if there is none."""
    detail = re.sub(EXPECTED, "", re.sub(REQUEST, "", error.message or ""))
    with suppress(ValueError, LookupError, TypeError):
        document = json.loads(detail)["error"] if detail.startswith("{") else {}
        return document if isinstance(document, dict) else {}
    return {}
