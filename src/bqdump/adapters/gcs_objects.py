"""Cloud Storage's resources as the types of the port, and errors that all requests about objects share."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from bqdump.adapters.checksums import crc32c
from bqdump.adapters.endpoints import STORAGE
from bqdump.core.errors import AnswerError, DamagedError
from bqdump.core.plan.lifecycle import LifecycleRule
from bqdump.core.times import parse_time
from bqdump.ports.store import Note, ObjectInfo

ADMIN = "Requires roles/storage.objectUser and roles/storage.legacyBucketReader on the bucket."
ORIGIN = "bqdump-origin"
NOTE = "bqdump-note"
NEEDED = ("generation", "size", "crc32c")


def info_of(name: str, resource: Any) -> ObjectInfo:
    """The object of this name, from a JSON answer.

    Raises AnswerError if the answer lacks a required field, DamagedError if it is about another object.
    """
    if not isinstance(resource, dict) or any(resource.get(field) is None for field in NEEDED):
        lacks = next((field for field in NEEDED if not isinstance(resource, dict) or resource.get(field) is None), "")
        raise lacking("read the metadata of", name, f"the answer has no {lacks}")
    if (other := resource.get("name", name)) != name:
        raise DamagedError("read the metadata of", name, f"the answer is about {other}")
    origin = (resource.get("metadata") or {}).get(ORIGIN, "")
    updated = _milliseconds(resource.get("timeCreated"))
    return ObjectInfo(name, int(resource["size"]), resource["crc32c"], int(resource["generation"]), origin, updated)


def _milliseconds(time: Any) -> int:
    """A time in an answer, 0 without one: stores that imitate Cloud Storage may lack it."""
    with suppress(TypeError, ValueError):
        return parse_time(time)
    return 0


def noted(blob: Any, url: str) -> Note | None:
    """The note in a listed object if its metadata have the content, as size and checksum prove; else None."""
    data = str((blob.metadata or {}).get(NOTE, "")).encode()
    if (blob.size, blob.crc32c) != (len(data), crc32c(data)):
        return None
    return Note(blob.name, data, generation_of(blob, "list", f"{url}/{blob.name}"))


def generation_of(blob: Any, operation: str, subject: str) -> int:
    """The generation in an answer. Raises AnswerError if there is none."""
    if blob.generation is None:
        raise lacking(operation, subject, "the answer has no generation")
    return int(blob.generation)


def lifecycle_of(bucket: Any) -> tuple[LifecycleRule, ...]:
    """The lifecycle rules in a bucket's JSON answer."""
    rules = (bucket.get("lifecycle") or {}).get("rule") or ()
    return tuple(
        LifecycleRule((rule.get("action") or {}).get("type", ""), rule.get("condition") or {}) for rule in rules
    )


def lacking(operation: str, subject: str, cause: str) -> AnswerError:
    """The error for a store that does not implement Cloud Storage's API."""
    hint = f"bqdump requires the JSON API of Cloud Storage, and {STORAGE} does not support this part of it."
    return AnswerError(operation, subject, cause, hint)
