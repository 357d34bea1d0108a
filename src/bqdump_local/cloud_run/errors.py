"""Errors in the format of Google's APIs."""

from __future__ import annotations

from typing import Any

_STATUS = {400: "INVALID_ARGUMENT", 404: "NOT_FOUND", 409: "ALREADY_EXISTS", 501: "UNIMPLEMENTED"}


class CloudRunError(Exception):
    """An error with its HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message

    def body(self) -> dict[str, Any]:
        """The body of the answer."""
        return {"error": {"code": self.status, "message": self.message, "status": _STATUS[self.status]}}


def invalid(message: str) -> CloudRunError:
    """The error for an invalid request."""
    return CloudRunError(400, message)


def not_found(name: str) -> CloudRunError:
    """The error for a resource that does not exist."""
    return CloudRunError(404, f"Resource '{name.rpartition('/')[2]}' of kind in {name} does not exist.")
