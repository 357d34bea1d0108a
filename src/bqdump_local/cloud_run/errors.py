"""Refusals in the form in which Google's APIs give them."""

from __future__ import annotations

from typing import Any

_STATUS = {400: "INVALID_ARGUMENT", 404: "NOT_FOUND", 409: "ALREADY_EXISTS"}


class CloudRunError(Exception):
    """A request that is refused, with its HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message

    def body(self) -> dict[str, Any]:
        """The body of the answer."""
        return {"error": {"code": self.status, "message": self.message, "status": _STATUS[self.status]}}


def invalid(message: str) -> CloudRunError:
    """The request makes no sense."""
    return CloudRunError(400, message)


def not_found(name: str) -> CloudRunError:
    """There is nothing of this name."""
    return CloudRunError(404, f"Resource '{name.rpartition('/')[2]}' of kind in {name} does not exist.")
