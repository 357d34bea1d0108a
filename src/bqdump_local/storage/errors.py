"""Errors in the format of the JSON API."""

from __future__ import annotations

from typing import Any

_REASONS = {
    304: "notModified",
    400: "invalid",
    403: "forbidden",
    404: "notFound",
    405: "methodNotAllowed",
    409: "conflict",
    412: "conditionNotMet",
    416: "requestedRangeNotSatisfiable",
    501: "notImplemented",
}
CALLER = "bqdump@local.iam.gserviceaccount.com"


class ApiError(Exception):
    """An error of the service."""

    def __init__(
        self, status: int, message: str, *, reason: str | None = None, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.reason = reason or _REASONS.get(status, "backendError")
        self.headers = headers or {}

    def resource(self) -> dict[str, Any]:
        """The error in the JSON API's format."""
        return error_resource(self.status, self.message, self.reason)


def error_resource(status: int, message: str, reason: str) -> dict[str, Any]:
    """The body that Google's JSON APIs send with an error."""
    detail = {"message": message, "domain": "global", "reason": reason}
    return {"error": {"code": status, "message": message, "errors": [detail]}}


def invalid(message: str, *, reason: str = "invalid") -> ApiError:
    """400: the request is invalid."""
    return ApiError(400, message, reason=reason)


def no_such_bucket() -> ApiError:
    """404 for a bucket."""
    return ApiError(404, "The specified bucket does not exist.")


def no_such_object(bucket: str, name: str) -> ApiError:
    """404 for an object, or for a generation of it that is not the live one."""
    return ApiError(404, f"No such object: {bucket}/{name}")


def condition_not_met() -> ApiError:
    """412: a precondition of the request failed."""
    return ApiError(412, "At least one of the pre-conditions you specified did not hold.")


def not_modified() -> ApiError:
    """304: the state equals that of a NotMatch precondition."""
    return ApiError(304, "Not Modified")


def denied(permission: str) -> ApiError:
    """403 for a missing permission, with the service's message."""
    subject = "object" if permission.startswith("storage.objects.") and not permission.endswith(".list") else "bucket"
    return ApiError(
        403,
        f"{CALLER} does not have {permission} access to the Google Cloud Storage {subject}. "
        f"Permission '{permission}' denied on resource (or it may not exist).",
    )


def retained(bucket: str, name: str, until: str) -> ApiError:
    """403: the object is protected by the bucket's retention policy."""
    return ApiError(
        403,
        f"Object '{bucket}/{name}' is subject to bucket's retention policy or object retention "
        f"and cannot be deleted or overwritten until {until}",
        reason="retentionPolicyNotMet",
    )
