"""Cloud Storage's resources as the types of the port, and errors that all requests about objects share.

Google's client for Cloud Storage. STORAGE_EMULATOR_HOST points it to a local stand-in.

Uploads to Cloud Storage, part by part. Google's client retries each part.
"""

from __future__ import annotations

import io
import logging
import os
import shlex
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from google.api_core.exceptions import NotFound, RequestRangeNotSatisfiable, from_http_response
from google.api_core.retry import Retry
from google.cloud import storage
from google.cloud.storage.exceptions import DataCorruption, InvalidResponse

from bqdump.adapters.checksums import crc32c
from bqdump.adapters.google.access import one_line
from bqdump.adapters.google.endpoints import STORAGE
from bqdump.adapters.google.errors import BROKEN, translate, translated
from bqdump.adapters.google.http import TIMEOUT, credentials, session
from bqdump.adapters.patience import Patience
from bqdump.core.documents.validation import refuse_size
from bqdump.core.errors import AnswerError, DamagedError, NotFoundError
from bqdump.core.plan.lifecycle import LifecycleRule
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.times import parse_time, rfc3339
from bqdump.ports.store import BucketInfo, Hidden, Lock, Note, ObjectInfo, Stored

ADMIN = "Requires roles/storage.objectUser and roles/storage.legacyBucketReader on the bucket."
ORIGIN = "bqdump-origin"
NOTE = "bqdump-note"
NEEDED = ("generation", "size", "crc32c")
NOT_AS_STORED = "the received bytes do not match the object's checksum"
# Retrying is not the client's task: see adapters.retry.
ONCE: dict[str, Any] = {"retry": None, "timeout": TIMEOUT}


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
    facts = int(resource["size"]), resource["crc32c"], int(resource["generation"]), origin, updated
    return ObjectInfo(name, *facts, _locked_until(resource))


def _locked_until(resource: Any) -> int:
    """By the retention of the object, or of its bucket."""
    own = (resource.get("retention") or {}).get("retainUntilTime")
    return max(_milliseconds(own), _milliseconds(resource.get("retentionExpirationTime")))


def hidden_in(bucket: str, versions: Iterable[Any], soft: Iterable[Any]) -> list[Hidden]:
    """The objects that are not there, of which these are noncurrent versions, or kept by soft delete."""
    newest: dict[str, Any] = {}
    for blob in sorted((*versions, *soft), key=lambda blob: int(blob.generation)):
        newest[blob.name] = blob
    live = {blob.name for blob in versions if not blob._properties.get("timeDeleted")}
    noncurrent = {(blob.name, blob.generation) for blob in versions}
    hidden = []
    for name, blob in sorted(newest.items()):
        if name in live:
            continue
        address, uri = f"gs://{bucket}/{name}#{blob.generation}", f"gs://{bucket}/{name}"
        as_version = (name, blob.generation) in noncurrent
        when = blob._properties.get("timeDeleted") or blob._properties.get("softDeleteTime")
        by = f"deleted at {rfc3339(_milliseconds(when))}, and kept {'as a version' if as_version else 'by soft delete'}"
        words = ["gcloud", "storage", *(("cp", address, uri) if as_version else ("restore", address))]
        hidden.append(Hidden(name, by, _locked_until(blob._properties), shlex.join(words)))
    return hidden


def written_at(blob: Any) -> int:
    """When this generation was written: see ObjectInfo."""
    return _milliseconds(blob._properties.get("timeCreated"))


def retention_of(lock: Lock) -> dict[str, str]:
    """The lock as a field of an object. https://cloud.google.com/storage/docs/object-lock"""
    return {"mode": "Locked" if lock.strict else "Unlocked", "retainUntilTime": rfc3339(lock.until)}


def open_blob(bucket: Any, name: str, kms_key: str, lock: Lock | None) -> Any:
    """An object to be written, as the client has it."""
    blob = bucket.blob(name, kms_key_name=kms_key or None)
    if lock:
        blob._patch_property("retention", retention_of(lock))
    return blob


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
    generation = generation_of(blob, "list", f"{url}/{blob.name}")
    return Note(blob.name, data, generation, written_at(blob))


def generation_of(blob: Any, operation: str, subject: str) -> int:
    """The generation in an answer. Raises AnswerError if there is none."""
    if blob.generation is None:
        raise lacking(operation, subject, "the answer has no generation")
    return int(blob.generation)


def bucket_of(bucket: Any) -> BucketInfo:
    """The settings of a bucket, as the client has it."""
    return BucketInfo(
        location=bucket.location,
        retention_seconds=bucket.retention_period or 0,
        soft_delete_seconds=int(bucket.soft_delete_policy.retention_duration_seconds or 0),
        versions=bool(bucket.versioning_enabled),
        holds=bool(bucket.default_event_based_hold),
        kms_key=bucket.default_kms_key_name or "",
        lifecycle=_lifecycle_of(bucket._properties),
        locks=bool(bucket._properties.get("objectRetention")),
    )


def _lifecycle_of(bucket: Any) -> tuple[LifecycleRule, ...]:
    """The lifecycle rules in a bucket's JSON answer."""
    rules = (bucket.get("lifecycle") or {}).get("rule") or ()
    return tuple(
        LifecycleRule((rule.get("action") or {}).get("type", ""), rule.get("condition") or {}) for rule in rules
    )


def lacking(operation: str, subject: str, cause: str) -> AnswerError:
    """The error for a store that does not implement Cloud Storage's API."""
    hint = f"bqdump requires the JSON API of Cloud Storage, and {STORAGE} does not support this part of it."
    return AnswerError(operation, subject, cause, hint)


def open_client(project: str) -> Any:
    """Google's client, with its own pool of connections."""
    # Otherwise the client requests the metadata of every bucket once, for tracing only.
    os.environ.setdefault("DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA", "true")
    granted = credentials(STORAGE.variable)
    options = {"api_endpoint": host} if (host := os.environ.get(STORAGE.variable)) else None
    client = storage.Client(project=project, credentials=granted, _http=session(granted), client_options=options)
    # Serves tracing only, and requests the bucket in a separate thread whenever an object is not found.
    client._bucket_metadata_cache = None
    return client


log = logging.getLogger(__name__)

# The part size of an upload. A smaller object is uploaded with a single request.
PART = 8 << 20
NOT_AS_SENT = "the stored object differs from what was sent"
ON_THE_WAY = "Something between Cloud Storage and this machine changes data, such as a proxy."


def retry_policy(patience: Patience, again: Callable[[], None] = lambda: None) -> Any:
    """A retry policy of Google's client for the errors that bqdump retries. again: called before each repetition."""

    def retryable(error: Exception) -> bool:
        if isinstance(error, InvalidResponse):
            error = from_http_response(error.response)
        return isinstance(error, BROKEN) and translate(error, "write", "").retryable

    def warn(error: Exception) -> None:
        again()
        retried = LogEvent.REQUEST_RETRIED.extra()
        log.warning("An upload to %s failed (%s). Retrying.", patience.service, one_line(str(error)), extra=retried)

    pauses = {"initial": patience.first_pause, "maximum": patience.longest_pause}
    return Retry(predicate=retryable, on_error=warn, timeout=patience.seconds, **pauses)


class Upload:
    """An object being uploaded. A resumable upload starts with the second part, since most objects have only one."""

    def __init__(self, blob: Any, expect: int | None, patience: Patience) -> None:
        self._blob, self._waiting, self._writer = blob, bytearray(), None
        # Whether a request was repeated, so that the one before may have created the object.
        self.repeated = False
        self._options: dict[str, Any] = {
            "content_type": "application/octet-stream",
            "if_generation_match": expect,
            "checksum": "crc32c",
            "retry": retry_policy(patience, self._note),
        }

    _writer: Any

    def write(self, data: bytes) -> None:
        """Add bytes, and send them once they fill a part."""
        if self._writer is not None:
            self._send(lambda: self._writer.write(data))
            return
        self._waiting += data
        if len(self._waiting) > PART:
            # The client passes these arguments on, and None is not valid there.
            options = {name: value for name, value in self._options.items() if value is not None}
            self._writer = self._blob.open("wb", chunk_size=PART, ignore_flush=True, **options)
            self._send(lambda: self._writer.write(bytes(self._waiting)))
            self._waiting.clear()

    def finish(self) -> None:
        """Send the last part, which creates the object."""
        if self._writer is None:
            self._blob.upload_from_string(bytes(self._waiting), timeout=TIMEOUT, **self._options)
        else:
            self._send(self._writer.close)

    @property
    def answered(self) -> Any:
        """The object as the answer to a single request has it; None if there was none, or it does not say which."""
        return self._blob if self._writer is None and self._blob.generation else None

    def _note(self) -> None:
        self.repeated = True

    def _send(self, request: Callable[[], Any]) -> None:
        try:
            request()
        except InvalidResponse as error:
            # The layer that sends parts has its own exceptions.
            raise from_http_response(error.response) from error
        except DataCorruption as error:
            raise DamagedError("write", self._blob.name, NOT_AS_SENT, ON_THE_WAY) from error

    def abort(self) -> None:
        """Discard the upload."""
        if self._writer is not None:
            # Errors do not matter: an unfinished upload creates no object.
            with suppress(Exception):
                self._writer.terminate()


def content_type(name: str) -> str:
    """What a browser takes a document for."""
    if name.endswith(".html"):
        return "text/html"
    return "application/x-ndjson" if name.endswith(".jsonl") else "application/json"


class Bounded(io.BytesIO):
    """Takes in an object of this name, and refuses to go on where no document is so large."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name, self._size = name, 0

    def write(self, data: Any) -> int:
        """Raises DocumentError."""
        self._size += len(data)
        refuse_size(self._name, self._size)
        return super().write(data)


def download(bucket: Any, name: str, start: int, length: int | None) -> Stored:
    """See ObjectStore.read. It blocks.

    Cloud Storage sends the CRC32C of complete objects, and a complete read is compared with it. It sends none for
    ranges: HTTP's framing detects truncation, and TLS detects changes in transit. Callers that must detect any other
    damage have a checksum of the range.
    """
    if length == 0:
        return Stored(b"", 0)
    whole = start == 0 and length is None
    part = {} if whole else {"start": start, "end": start + length - 1 if length else None}
    blob, buffer, subject = bucket.blob(name), Bounded(name) if whole else io.BytesIO(), f"gs://{bucket.name}/{name}"
    with translated("read", subject, ADMIN):
        try:
            blob.download_to_file(buffer, raw_download=True, **ONCE, **part)
        except NotFound as error:
            raise NotFoundError("read", subject, "no such object or bucket") from error
        except RequestRangeNotSatisfiable:
            # The answer does not have the object's generation.
            return Stored(b"", 0)
        except DataCorruption as error:
            raise DamagedError("read", subject, NOT_AS_STORED, ON_THE_WAY) from error
    data = buffer.getvalue()
    if length is not None and len(data) > length:
        cause = f"the answer to a range request of {length:,} bytes has {len(data):,}"
        raise lacking("read", subject, cause)
    return Stored(data, generation_of(blob, "read", subject))
