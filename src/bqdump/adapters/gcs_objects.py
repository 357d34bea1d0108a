"""An object of Cloud Storage as bqdump sees it, and what all requests about objects have in common."""

from __future__ import annotations

from typing import Any

from bqdump.core.errors import UnavailableError
from bqdump.ports.store import ObjectInfo

ADMIN = "It takes roles/storage.objectUser and roles/storage.legacyBucketReader on the bucket."
ORIGIN = "bqdump-origin"


def info_of(blob: Any) -> ObjectInfo:
    """Raises UnavailableError for an answer that tells nothing of the object."""
    if blob.generation is None:
        raise UnavailableError("look at", blob.name, "the answer names no generation")
    origin = (blob.metadata or {}).get(ORIGIN, "")
    return ObjectInfo(blob.name, int(blob.size), blob.crc32c, int(blob.generation), origin)
