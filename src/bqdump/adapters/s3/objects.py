"""S3's answers as the types of the port.

S3 has no generations: an object has an ETag, which is the same for the same bytes, and the second at which it was
written. Both together are its generation here. The store never replaces an object in the second in which it was
written, so that two contents of a name differ in the second.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from bqdump.core.errors import AnswerError
from bqdump.core.times import time_of
from bqdump.ports.store import Lock, ObjectInfo

ORIGIN = "bqdump-origin"
# Of a generation, these are the ETag's; above them are the seconds since 1970 UTC.
ETAG_BITS = 31


def generation_of(etag: str, modified: datetime | None) -> int:
    """The generation. modified: None for one that was replaced before its second was known."""
    seconds = int(modified.timestamp()) if modified else 0
    return seconds << ETAG_BITS | zlib.crc32(etag.strip('"').encode()) & (1 << ETAG_BITS) - 1


def generation_in(answer: Mapping[str, Any], operation: str, subject: str) -> int:
    """The generation in an answer. Raises AnswerError if there is none."""
    if not answer.get("ETag") or not answer.get("LastModified"):
        lacks = "ETag" if not answer.get("ETag") else "Last-Modified"
        raise AnswerError(operation, subject, f"the answer has no {lacks}", "bqdump needs this part of the API of S3.")
    return generation_of(answer["ETag"], answer["LastModified"])


def info_of(name: str, answer: Mapping[str, Any], subject: str, crc32c: str = "") -> ObjectInfo:
    """The object in an answer of HEAD or of a listing, which has neither checksum nor origin."""
    size = answer.get("ContentLength", answer.get("Size", 0))
    origin = (answer.get("Metadata") or {}).get(ORIGIN, "")
    generation = generation_in(answer, "read the metadata of", subject)
    written = int(answer["LastModified"].timestamp() * 1000)
    return ObjectInfo(name, size, crc32c, generation, origin, written, locked_until(answer))


def locked_until(answer: Mapping[str, Any]) -> int:
    """The end of the lock in an answer of HEAD, in milliseconds since 1970 UTC, 0 for none."""
    until = answer.get("ObjectLockRetainUntilDate")
    return int(until.timestamp() * 1000) if until else 0


def retention_of(lock: Lock) -> dict[str, Any]:
    """The lock as S3 has it. https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock.html"""
    return {"Mode": "COMPLIANCE" if lock.strict else "GOVERNANCE", "RetainUntilDate": time_of(lock.until)}


def crc32c_in(answer: Mapping[str, Any]) -> str:
    """The CRC32C of the complete object; "" where the service has none, or one of the checksums of parts."""
    found = str(answer.get("ChecksumCRC32C") or "")
    return "" if "-" in found or answer.get("ChecksumType") == "COMPOSITE" else found
