"""botocore's exceptions as bqdump's, classified by what a caller can do about them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

import urllib3.exceptions
from botocore import exceptions as boto
from botocore.parsers import ResponseParserError

from bqdump.core.errors import (
    AccessError,
    AnswerError,
    BqdumpError,
    ConflictError,
    DamagedError,
    DeniedError,
    NotFoundError,
    TargetError,
    UnavailableError,
    open_files_error,
    out_of_files,
)

SIGN_IN = ("sign in to", "S3")
NEEDS = (
    "Requires s3:GetObject, s3:PutObject, s3:DeleteObject and s3:AbortMultipartUpload on the objects, and "
    "s3:ListBucket on the bucket."
)
KEYS = "Set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
ROLE = "Check the role of the profile or of this environment, and who may assume it."
RENEW = "Renew the credentials, such as with aws sso login, and repeat the command."
CLOCK = "Set the clock of this machine, and repeat the command."
NAME = "Check the name of the bucket, and the endpoint if it is not of AWS."
REGION = "Set AWS_REGION, or the region of the profile, to the region of the bucket."
TRUST = "If a proxy intercepts TLS, set AWS_CA_BUNDLE to the certificate of its authority."
THAWED = "Restore the objects from the archive first, in the service."
REQUIRED = "bqdump needs this part of the API of S3."
ON_THE_WAY = "Something between S3 and this machine changes data, such as a proxy."

# https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
NO_BUCKET, NO_OBJECT = "NoSuchBucket", ("NoSuchKey", "NoSuchVersion", "404")
CONFLICTS = ("PreconditionFailed", "NoSuchUpload", "412")
EXPIRED = ("ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired")
NOT_TAKEN = ("InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "InvalidSecurity", "NotSignedUp")
SKEWED = ("RequestTimeTooSkewed", "RequestInTheFuture")
ELSEWHERE = (
    "PermanentRedirect",
    "TemporaryRedirect",
    "AuthorizationHeaderMalformed",
    "IllegalLocationConstraintException",
    "301",
    "307",
)
TEMPORARY = (
    "ConditionalRequestConflict",
    "OperationAborted",
    "RequestTimeout",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "TooManyRequests",
)
DAMAGED = (
    "BadDigest",
    "InvalidDigest",
    "IncompleteBody",
    "XAmzContentSHA256Mismatch",
    "XAmzContentChecksumMismatch",
)
# Answers that repeating the request does not change: an unknown part of the API, and a service without space.
LASTING = (HTTPStatus.NOT_IMPLEMENTED, HTTPStatus.INSUFFICIENT_STORAGE)
ARCHIVED = "InvalidObjectState"
BROKEN = (boto.ClientError, boto.BotoCoreError, ResponseParserError, urllib3.exceptions.HTTPError, ConnectionError)
# What the client asks other services of AWS for, before it can sign a request.
FOR_CREDENTIALS = ("AssumeRole", "AssumeRoleWithWebIdentity", "GetRoleCredentials", "CreateToken", "CreateOAuth2Token")
# No credentials, or such as cannot be had.
NO_CREDENTIALS = (boto.NoCredentialsError, boto.PartialCredentialsError)
MISCONFIGURED = (
    boto.ProfileNotFound,
    boto.ConfigNotFound,
    boto.ConfigParseError,
    boto.InvalidConfigError,
    boto.UnknownCredentialError,
)
NOT_SIGNED_IN = (boto.CredentialRetrievalError, boto.LoginError, boto.SSOError, boto.TokenRetrievalError)
UNUSABLE = (boto.ParamValidationError, boto.NoRegionError, boto.InvalidRegionError, boto.ValidationError)


@contextmanager
def translated(operation: str, subject: str) -> Iterator[None]:
    """Raise exceptions of the client as BqdumpErrors."""
    try:
        yield
    except BROKEN as error:
        raise translate(error, operation, subject) from error


def code_of(error: boto.ClientError) -> str:
    """The error's code, or its HTTP status as a string where the answer has no code."""
    return str(error.response.get("Error", {}).get("Code") or status_of(error))


def status_of(error: boto.ClientError) -> int:
    """The HTTP status."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") or 0)


def translate(error: Exception, operation: str, subject: str) -> BqdumpError:
    """The BqdumpError for an exception of the client or of its connection."""
    if isinstance(error, boto.ClientError):
        if error.operation_name in FOR_CREDENTIALS:
            answered = _answered(error, *SIGN_IN)
            return answered if isinstance(answered, UnavailableError) else AccessError(*SIGN_IN, answered.cause, ROLE)
        return _answered(error, operation, subject)
    if out_of_files(error):
        return open_files_error(operation, subject)
    if isinstance(error, NO_CREDENTIALS):
        return AccessError(*SIGN_IN, "no credentials were found", KEYS)
    if isinstance(error, (*MISCONFIGURED, *NOT_SIGNED_IN)):
        hint = RENEW if isinstance(error, NOT_SIGNED_IN) else KEYS
        return AccessError(*SIGN_IN, _first_line(str(error)), hint)
    if isinstance(error, boto.SSLError):
        return AccessError(operation, subject, "the server's certificate is not trusted", TRUST)
    if isinstance(error, ResponseParserError):
        return AnswerError(operation, subject, f"the answer cannot be read: {_first_line(str(error))}", REQUIRED)
    if isinstance(error, UNUSABLE):
        # What follows a general line, such as "Parameter validation failed:", is what is wrong.
        return AccessError(operation, subject, str(error).strip().rpartition(":\n")[2].partition("\n")[0])
    return UnavailableError(operation, subject, f"the connection broke ({type(error).__name__})")


def _answered(error: boto.ClientError, operation: str, subject: str) -> BqdumpError:
    code, status, message = code_of(error), status_of(error), _message(error)
    if access := _access(code, error, operation, subject):
        return access
    if code == NO_BUCKET:
        return NotFoundError(operation, subject, "no such bucket", NAME)
    if code in NO_OBJECT:
        return NotFoundError(operation, subject, "no such object or bucket")
    if code in CONFLICTS:
        return ConflictError(operation, subject, message)
    if code in DAMAGED:
        return DamagedError(operation, subject, message, ON_THE_WAY)
    if code in TEMPORARY or status in (408, 429) or (status >= 500 and status not in LASTING):
        return UnavailableError(operation, subject, message)
    if status == HTTPStatus.NOT_IMPLEMENTED:
        return AnswerError(operation, subject, message, REQUIRED)
    if code == ARCHIVED:
        return TargetError(operation, subject, "it is in an archive class", THAWED)
    if status == HTTPStatus.FORBIDDEN:
        return DeniedError(operation, subject, message, NEEDS)
    return TargetError(operation, subject, message)


def _access(code: str, error: boto.ClientError, operation: str, subject: str) -> AccessError | None:
    """The error where the request was refused before it came to permissions."""
    if code in EXPIRED:
        return AccessError(*SIGN_IN, "the credentials have expired", RENEW)
    if code in NOT_TAKEN:
        return AccessError(*SIGN_IN, f"the service does not accept the credentials ({code})", KEYS)
    if code in SKEWED:
        return AccessError(operation, subject, "the clock of this machine differs too much from the service's", CLOCK)
    if code in ELSEWHERE:
        region = _region(error)
        where = f"region {region}" if region else "another region"
        return AccessError(operation, subject, f"the bucket is in {where}", REGION)
    return None


def _region(error: boto.ClientError) -> str:
    headers: dict[str, Any] = error.response.get("ResponseMetadata", {}).get("HTTPHeaders") or {}
    return str(headers.get("x-amz-bucket-region") or error.response.get("Error", {}).get("Region") or "")


def _message(error: boto.ClientError) -> str:
    message = _first_line(str(error.response.get("Error", {}).get("Message") or ""))
    if message and not message.startswith("<"):
        return message
    status = status_of(error)
    return f"HTTP {status} {HTTPStatus(status).phrase}" if status in set(HTTPStatus) else code_of(error)


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0].strip()
