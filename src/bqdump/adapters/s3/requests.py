"""Requests about objects of one bucket, and what is in their answers. They block. Those that write have conditions.

S3 has no generations: an object has an ETag, which is the same for the same bytes, and the second at which it was
written. Both together are its generation here. The store never replaces an object in the second in which it was
written, so that two contents of a name differ in the second.
"""

from __future__ import annotations

import base64
import time
import zlib
from collections.abc import Mapping
from contextlib import closing, suppress
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

import google_crc32c
from botocore.exceptions import ClientError

from bqdump.adapters.checksums import crc32c
from bqdump.adapters.s3.client import Objects
from bqdump.adapters.s3.errors import NO_OBJECT, ON_THE_WAY, REQUIRED, code_of, translated
from bqdump.core.documents.validation import refuse_size
from bqdump.core.errors import (
    AnswerError,
    BqdumpError,
    ConflictError,
    DamagedError,
    DeniedError,
    NotFoundError,
    TargetError,
)
from bqdump.core.times import time_of
from bqdump.ports.store import BucketInfo, Hidden, Lock, ObjectInfo, Stored

ORIGIN = "bqdump-origin"
# Of a generation, these are the ETag's; above them are the seconds since 1970 UTC.
ETAG_BITS = 31


def generation_of(etag: str, modified: datetime | None) -> int:
    """The generation. modified: None for one that was replaced before its second was known."""
    seconds = int(modified.timestamp()) if modified else 0
    return seconds << ETAG_BITS | zlib.crc32(etag.strip('"').encode()) & (1 << ETAG_BITS) - 1


def is_settled(generation: int) -> bool:
    """Whether the second is known."""
    return generation >> ETAG_BITS > 0


def same_etag(generation: int, other: int) -> bool:
    """Whether two generations are of the same ETag."""
    return not (generation ^ other) & (1 << ETAG_BITS) - 1


def generation_in(answer: Mapping[str, Any], operation: str, subject: str) -> int:
    """The generation in an answer. Raises AnswerError if there is none."""
    if not answer.get("ETag") or not answer.get("LastModified"):
        lacks = "ETag" if not answer.get("ETag") else "Last-Modified"
        raise AnswerError(operation, subject, f"the answer has no {lacks}", REQUIRED)
    return generation_of(answer["ETag"], answer["LastModified"])


def info_of(name: str, answer: Mapping[str, Any], subject: str, checksum: str = "") -> ObjectInfo:
    """The object in an answer of HEAD or of a listing, which has neither checksum nor origin."""
    size = answer.get("ContentLength", answer.get("Size", 0))
    origin = (answer.get("Metadata") or {}).get(ORIGIN, "")
    generation = generation_in(answer, "read the metadata of", subject)
    written = int(answer["LastModified"].timestamp() * 1000)
    return ObjectInfo(name, size, checksum, generation, origin, written, locked_until(answer))


def locked_until(answer: Mapping[str, Any]) -> int:
    """The end of the lock in an answer of HEAD, in milliseconds since 1970 UTC, 0 for none."""
    until = answer.get("ObjectLockRetainUntilDate")
    return int(until.timestamp() * 1000) if until else 0


def retention_of(lock: Lock) -> dict[str, Any]:
    """The lock as S3 has it. https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock.html"""
    return {"Mode": "COMPLIANCE" if lock.strict else "GOVERNANCE", "RetainUntilDate": time_of(lock.until)}


def crc32c_in(answer: Mapping[str, Any]) -> str:
    """The CRC32C of the complete object; "" where the service has none, or one of the checksums of parts."""
    checksum = str(answer.get("ChecksumCRC32C") or "")
    return "" if "-" in checksum or answer.get("ChecksumType") == "COMPOSITE" else checksum


def stat(requests: Requests, name: str) -> ObjectInfo | None:
    """See ObjectStore."""
    answer = requests.head(name)
    if answer is None:
        return None
    checksum = crc32c_in(answer) or read_checksum(requests, name, answer)
    return info_of(name, answer, requests.subject(name), checksum)


def as_sent(requests: Requests, sent: ObjectInfo) -> ObjectInfo | None:
    """The object that was stored, None if it is not there as it was sent. sent: see generation_of."""
    if (answer := requests.head(sent.name)) is None:
        return None
    info = info_of(sent.name, answer, requests.subject(sent.name), crc32c_in(answer))
    if not info.crc32c and same_etag(info.generation, sent.generation):
        # Where the service has no checksum of the complete object, each request was sent with one.
        info = info._replace(crc32c=sent.crc32c)
    return info if (info.size, info.crc32c) == (sent.size, sent.crc32c) else None


CREATE = {"IfNoneMatch": "*"}
# HEAD answers errors without a body, and so without their reason.
NO_REASON = ("400", "403", "BadRequest", "Forbidden")


class Requests:
    """Requests with one client about one bucket. lock: of all objects."""

    def __init__(self, client: Any, bucket: str, lock: Lock | None = None) -> None:
        self.client, self.bucket, self.lock = client, bucket, lock
        self.objects = Objects(client, bucket)
        # What is read as it was: see Keeper.
        self.uncovered: dict[str, Hidden] = {}

    def version(self, name: str) -> dict[str, str]:
        """Which version of an object is meant, where that is not the newest one."""
        return {"VersionId": self.uncovered[name].version} if name in self.uncovered else {}

    @property
    def locking(self) -> dict[str, Any]:
        """What locks an object that is created."""
        return {f"ObjectLock{name}": value for name, value in retention_of(self.lock).items()} if self.lock else {}

    def subject(self, name: str) -> str:
        """The object in a message."""
        return f"s3://{self.bucket}/{name}"

    def head(self, name: str, **options: Any) -> Mapping[str, Any] | None:
        """The answer about the object, with its checksum; None if there is none."""
        version = self.version(name)
        with translated("read the metadata of", self.subject(name)):
            try:
                return self.objects.head(name, **{**version, **options})
            except ClientError as error:
                if code_of(error) in NO_OBJECT:
                    return None
                if code_of(error) in NO_REASON:
                    # The answer to this has one.
                    self.client.get_object(Bucket=self.bucket, Key=name, Range="bytes=0-0", **version)
                raise

    def condition(self, name: str, expect: int | None) -> dict[str, str]:
        """The condition of a write that replaces this generation, after a wait for the next second where it is needed.

        Raises ConflictError if another one is there.
        """
        if expect == 0 and name in self.uncovered:
            # Under a delete marker, it would be created once more.
            raise ConflictError("write", self.subject(name), "it exists")
        if expect == 0:
            return dict(CREATE)
        answer = self.head(name)
        if answer and (expect is None or generation_in(answer, "write", self.subject(name)) == expect):
            _pass_second(answer)
            return {} if expect is None else {"IfMatch": answer["ETag"]}
        if expect is None:
            return {}
        raise ConflictError("write", self.subject(name), "it has another generation, or does not exist")

    def put(
        self, name: str, data: bytes, checksum: str, condition: Mapping[str, str], sha256: str = "", **options: Any
    ) -> str:
        """Store an object with one request, in which the service compares the checksum. Returns its ETag.

        sha256: see Objects.put.
        """
        with translated("write", self.subject(name)):
            try:
                compared = {"ChecksumAlgorithm": "CRC32C", "ChecksumCRC32C": checksum}
                return self.objects.put(name, data, {**compared, **self.locking, **condition, **options}, sha256)
            except ClientError as error:
                if "IfMatch" in condition and code_of(error) in NO_OBJECT:
                    raise ConflictError("write", self.subject(name), "it does not exist any more") from error
                raise


def content_type(name: str) -> str:
    """The type of a document of this name."""
    if name.endswith(".html"):
        return "text/html"
    return "application/x-ndjson" if name.endswith(".jsonl") else "application/json"


def describe(requests: Requests) -> BucketInfo:
    """The settings of the bucket, as far as they may be read."""
    client, bucket = requests.client, requests.bucket
    with translated("read the settings of", f"s3://{bucket}"):
        try:
            answer = client.head_bucket(Bucket=bucket)
        except ClientError:
            # Unlike that one, the answer to this has the reason.
            client.list_objects_v2(Bucket=bucket, MaxKeys=1)
            raise
    versions: Mapping[str, Any] = {}
    with suppress(DeniedError, AnswerError, TargetError), translated("read the settings of", f"s3://{bucket}"):
        versions = client.get_bucket_versioning(Bucket=bucket)
    return BucketInfo(str(answer.get("BucketRegion") or ""), 0, 0, versions=versions.get("Status") == "Enabled")


def extend(requests: Requests, name: str, generation: int, until: int) -> bool:
    """See Locks."""
    answer, subject = requests.head(name), requests.subject(name)
    if answer is None or generation_in(answer, "lock", subject) != generation:
        return False
    if locked_until(answer) < until:
        retention = retention_of(Lock(until, bool(requests.lock and requests.lock.strict)))
        address = {"Bucket": requests.bucket, "Key": name, "VersionId": answer.get("VersionId", "null")}
        with translated("lock", subject):
            requests.client.put_object_retention(**address, Retention=retention, ChecksumAlgorithm="CRC32")
    return True


def delete(requests: Requests, name: str, generation: int) -> bool:
    """See ObjectStore. Of a locked object, the version is deleted: without that, it would only be hidden."""
    answer, subject = requests.head(name), requests.subject(name)
    if answer is None or generation_in(answer, "delete", subject) != generation:
        return False
    hidden = requests.uncovered.get(name)
    by_version = locked_until(answer) or hidden
    which = {"VersionId": answer.get("VersionId", "null")} if by_version else {"IfMatch": answer["ETag"]}
    with suppress(ConflictError, NotFoundError), translated("delete", subject):
        requests.client.delete_object(Bucket=requests.bucket, Key=name, **which)
        requests.uncovered.pop(name, None)
        for version in hidden.over if hidden else ():
            # What is locked stays.
            with suppress(BqdumpError), translated("delete", subject):
                requests.client.delete_object(Bucket=requests.bucket, Key=name, VersionId=version)
        return True
    return False


def _pass_second(answer: Mapping[str, Any]) -> None:
    """Wait until the service's clock has left the second in which an object was written."""
    headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders") or {}
    sent = headers.get("date")
    now = parsedate_to_datetime(sent).timestamp() if sent else time.time()
    if int(answer["LastModified"].timestamp()) >= int(now):
        time.sleep(1.0)


CHUNK = 1 << 20
NOT_AS_STORED = "the received bytes do not match the object's checksum"
NO_SUCH_RANGE = ("InvalidRange", "416")


def download(requests: Requests, name: str, start: int, length: int | None) -> Stored:
    """See ObjectStore.read."""
    if length == 0:
        return Stored(b"", 0)
    whole = start == 0 and length is None
    end = start + length - 1 if length else ""
    options = {"ChecksumMode": "ENABLED"} if whole else {"Range": f"bytes={start}-{end}"}
    subject = requests.subject(name)
    with translated("read", subject):
        try:
            answer = requests.client.get_object(Bucket=requests.bucket, Key=name, **requests.version(name), **options)
        except ClientError as error:
            if code_of(error) in NO_SUCH_RANGE:
                return Stored(b"", 0)
            raise
        with closing(answer["Body"]) as body:
            if whole:
                refuse_size(name, int(answer.get("ContentLength") or 0))
            data: bytes = body.read()
    if length is not None and len(data) > length:
        cause = f"the answer to a range request of {length:,} bytes has {len(data):,}"
        raise AnswerError("read", subject, cause, REQUIRED)
    if whole and (expected := crc32c_in(answer)) and crc32c(data) != expected:
        raise DamagedError("read", subject, NOT_AS_STORED, ON_THE_WAY)
    return Stored(data, generation_in(answer, "read", subject))


def read_checksum(requests: Requests, name: str, head: Mapping[str, Any]) -> str:
    """The CRC32C of an object, from its bytes. head: the answer about it. Raises ConflictError if it was replaced."""
    checksum = 0
    with translated("read", requests.subject(name)):
        options = requests.version(name) or {"IfMatch": head["ETag"]}
        answer = requests.client.get_object(Bucket=requests.bucket, Key=name, **options)
        with closing(answer["Body"]) as body:
            for chunk in body.iter_chunks(CHUNK):
                checksum = google_crc32c.extend(checksum, chunk)
    return base64.b64encode(checksum.to_bytes(4, "big")).decode()
