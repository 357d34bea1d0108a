"""An object of Cloud Storage as bqdump sees it, and what all requests about objects have in common."""

from __future__ import annotations

from typing import Any

from bqdump.adapters.endpoints import STORAGE
from bqdump.core.errors import AnswerError, DamagedError
from bqdump.ports.store import ObjectInfo

ADMIN = "It takes roles/storage.objectUser and roles/storage.legacyBucketReader on the bucket."
ORIGIN = "bqdump-origin"
NEEDED = ("generation", "size", "crc32c")


def info_of(name: str, resource: Any) -> ObjectInfo:
    """The object of this name, by what a JSON answer says of it.

    Raises AnswerError where the answer lacks what bqdump goes by, DamagedError where it is about another object.
    """
    if not isinstance(resource, dict) or any(resource.get(field) is None for field in NEEDED):
        lacks = next((field for field in NEEDED if not isinstance(resource, dict) or resource.get(field) is None), "")
        raise lacking("look at", name, f"the answer has no {lacks}")
    if (other := resource.get("name", name)) != name:
        raise DamagedError("look at", name, f"the answer is about {other}")
    origin = (resource.get("metadata") or {}).get(ORIGIN, "")
    return ObjectInfo(name, int(resource["size"]), resource["crc32c"], int(resource["generation"]), origin)


def generation_of(blob: Any, operation: str, subject: str) -> int:
    """The generation that an answer names. Raises AnswerError where it names none."""
    if blob.generation is None:
        raise lacking(operation, subject, "the answer has no generation")
    return int(blob.generation)


def lacking(operation: str, subject: str, cause: str) -> AnswerError:
    """The error for a store that does not work as Cloud Storage does."""
    return AnswerError(operation, subject, cause, f"bqdump needs the JSON API of Cloud Storage; {STORAGE} lacks this.")
