"""Requests about objects of one bucket, and what is in their answers. They block. Those that write have conditions.

S3 has no generations: an object has an ETag, which is the same for the same bytes, and the second at which it was
written. Both together are its generation here. The store never replaces an object in the second in which it was
written, so that two contents of a name differ in the second.
"""

from __future__ import annotations

import base64
import shlex
import time
import zlib
from collections.abc import Iterator, Mapping
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
from bqdump.core.errors import AnswerError, ConflictError, DamagedError, DeniedError, NotFoundError, TargetError
from bqdump.core.times import rfc3339, time_of
from bqdump.ports.store import Hidden, Lock, ObjectInfo, Stored

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
    found = str(answer.get("ChecksumCRC32C") or "")
    return "" if "-" in found or answer.get("ChecksumType") == "COMPOSITE" else found


CREATE = {"IfNoneMatch": "*"}
# HEAD answers errors without a body, and so without their reason.
NO_REASON = ("400", "403", "BadRequest", "Forbidden")


class Requests:
    """Requests with one client about one bucket. lock: of all objects."""

    def __init__(self, client: Any, bucket: str, lock: Lock | None = None) -> None:
        self.client, self.bucket, self.lock = client, bucket, lock
        self.objects = Objects(client, bucket)

    @property
    def locking(self) -> dict[str, Any]:
        """What locks an object that is created."""
        return {f"ObjectLock{name}": value for name, value in retention_of(self.lock).items()} if self.lock else {}

    def subject(self, name: str) -> str:
        """The object in a message."""
        return f"s3://{self.bucket}/{name}"

    def head(self, name: str, **options: Any) -> Mapping[str, Any] | None:
        """The answer about the object, with its checksum; None if there is none."""
        with translated("read the metadata of", self.subject(name)):
            try:
                return self.objects.head(name, **options)
            except ClientError as error:
                if code_of(error) in NO_OBJECT:
                    return None
                if code_of(error) in NO_REASON:
                    # The answer to this has one.
                    self.client.get_object(Bucket=self.bucket, Key=name, Range="bytes=0-0")
                raise

    def condition(self, name: str, expect: int | None) -> dict[str, str]:
        """The condition of a write that replaces this generation, after a wait for the next second where it is needed.

        Raises ConflictError if another one is there.
        """
        if expect == 0:
            return dict(CREATE)
        found = self.head(name)
        if found and (expect is None or generation_in(found, "write", self.subject(name)) == expect):
            _pass_second(found)
            return {} if expect is None else {"IfMatch": found["ETag"]}
        if expect is None:
            return {}
        raise ConflictError("write", self.subject(name), "it has another generation, or does not exist")

    def put(self, name: str, data: bytes, checksum: str, condition: Mapping[str, str], **options: Any) -> str:
        """Store an object with one request, in which the service compares the checksum. Returns its ETag."""
        with translated("write", self.subject(name)):
            try:
                compared = {"ChecksumAlgorithm": "CRC32C", "ChecksumCRC32C": checksum}
                return self.objects.put(name, data, {**compared, **self.locking, **condition, **options})
            except ClientError as error:
                if "IfMatch" in condition and code_of(error) in NO_OBJECT:
                    raise ConflictError("write", self.subject(name), "it does not exist any more") from error
                raise


def extend(requests: Requests, name: str, generation: int, until: int) -> bool:
    """See Locks."""
    found, subject = requests.head(name), requests.subject(name)
    if found is None or generation_in(found, "lock", subject) != generation:
        return False
    if locked_until(found) < until:
        retention = retention_of(Lock(until, bool(requests.lock and requests.lock.strict)))
        address = {"Bucket": requests.bucket, "Key": name, "VersionId": found.get("VersionId", "null")}
        with translated("lock", subject):
            requests.client.put_object_retention(**address, Retention=retention, ChecksumAlgorithm="CRC32")
    return True


def delete(requests: Requests, name: str, generation: int) -> bool:
    """See ObjectStore. Of a locked object, the version is deleted: without that, it would only be hidden."""
    found, subject = requests.head(name), requests.subject(name)
    if found is None or generation_in(found, "delete", subject) != generation:
        return False
    which = {"VersionId": found.get("VersionId", "null")} if locked_until(found) else {"IfMatch": found["ETag"]}
    with suppress(ConflictError, NotFoundError), translated("delete", subject):
        requests.client.delete_object(Bucket=requests.bucket, Key=name, **which)
        return True
    return False


def _pass_second(found: Mapping[str, Any]) -> None:
    """Wait until the service's clock has left the second in which an object was written."""
    headers = found.get("ResponseMetadata", {}).get("HTTPHeaders") or {}
    sent = headers.get("date")
    now = parsedate_to_datetime(sent).timestamp() if sent else time.time()
    if int(found["LastModified"].timestamp()) >= int(now):
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
            answer = requests.client.get_object(Bucket=requests.bucket, Key=name, **options)
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


def read_checksum(requests: Requests, name: str, found: Mapping[str, Any]) -> str:
    """The CRC32C of an object, from its bytes. found: the answer about it. Raises ConflictError if it was replaced."""
    checksum = 0
    with translated("read", requests.subject(name)):
        answer = requests.client.get_object(Bucket=requests.bucket, Key=name, IfMatch=found["ETag"])
        with closing(answer["Body"]) as body:
            for chunk in body.iter_chunks(CHUNK):
                checksum = google_crc32c.extend(checksum, chunk)
    return base64.b64encode(checksum.to_bytes(4, "big")).decode()


PAGE = 1000
FIRST, AFTER_SURROGATES, BEFORE_SURROGATES = "\x21", "\ue000", "\ud7ff"
# Comes after every character that names have.
LAST = "\U0010fffd"


class Listing:
    """Lists what begins with a prefix."""

    def __init__(self, requests: Requests) -> None:
        self._requests = requests
        self._versioned = False

    def pages(self, prefix: str, start: str) -> Iterator[list[ObjectInfo]]:
        """Pages of objects, sorted by name, from this name on. They have neither checksum nor origin."""
        begin = start.encode()
        for page in self._answers(prefix, start=start):
            found = page.get("Contents") or ()
            infos = [info_of(one["Key"], one, self._requests.subject(one["Key"])) for one in found]
            yield [info for info in infos if info.name.encode() >= begin]

    def folders(self, prefix: str) -> list[str]:
        """The sorted names of the folders directly below the prefix."""
        found = [one["Prefix"] for page in self._answers(prefix, "/") for one in page.get("CommonPrefixes") or ()]
        return sorted(folder[len(prefix) : -1] for folder in found)

    def hidden(self, prefix: str, *, replaced: bool = False) -> list[Hidden]:
        """See Keeper: what is under a delete marker. replaced: of what is locked, the first version counts."""
        if not self._keeps_versions():
            return []
        markers, versions = dict[str, list[Mapping[str, Any]]](), dict[str, list[Mapping[str, Any]]]()
        query: dict[str, Any] = {"Bucket": self._requests.bucket, "Prefix": prefix, "MaxKeys": PAGE}
        while True:
            with translated("list versions in", self._requests.subject(prefix)):
                answer: Mapping[str, Any] = self._requests.client.list_object_versions(**query)
            for some, kind in ((markers, "DeleteMarkers"), (versions, "Versions")):
                for one in answer.get(kind) or ():
                    # The newest comes first.
                    some.setdefault(one["Key"], []).append(one)
            if not answer.get("IsTruncated") or not answer.get("NextKeyMarker"):
                break
            query |= {"KeyMarker": answer["NextKeyMarker"], "VersionIdMarker": answer.get("NextVersionIdMarker", "")}
        found = (self._hidden(name, markers.get(name, []), kept, replaced) for name, kept in sorted(versions.items()))
        return [hidden for hidden in found if hidden]

    def _keeps_versions(self) -> bool:
        """Whether the bucket has ever kept versions, or does not tell. Once it has, it stays a bucket of versions.

        https://docs.aws.amazon.com/AmazonS3/latest/userguide/Versioning.html
        """
        if not self._versioned:
            with (
                suppress(DeniedError, AnswerError, TargetError),
                translated("read the settings of", f"s3://{self._requests.bucket}"),
            ):
                answer = self._requests.client.get_bucket_versioning(Bucket=self._requests.bucket)
                self._versioned = "Status" in answer
                return self._versioned
        return True

    def _hidden(
        self, name: str, markers: list[Mapping[str, Any]], versions: list[Mapping[str, Any]], replaced: bool
    ) -> Hidden | None:
        over = [marker for marker in markers if marker.get("IsLatest")]
        by = "hidden by a delete marker" if over else "replaced by a version"
        if not over and not (replaced and len(versions) > 1):
            return None
        until = self._locked(name, versions[-1 if replaced else 0])
        if replaced and until:
            over += [one for one in (*markers, *versions[:-1]) if one not in over]
        elif not over:
            return None
        when = rfc3339(int(max(one["LastModified"] for one in over).timestamp() * 1000))
        back = " && ".join(self._removal(name, one["VersionId"]) for one in over)
        return Hidden(name, f"{by} of {when}", until, back)

    def _locked(self, name: str, version: Mapping[str, Any]) -> int:
        with suppress(DeniedError):
            return locked_until(self._requests.head(name, VersionId=version["VersionId"]) or {})
        return 0

    def _removal(self, name: str, version: str) -> str:
        """The command that deletes a version, as a shell takes it."""
        words = ["aws", "s3api", "delete-object", "--bucket", self._requests.bucket, "--key", name]
        words += ["--version-id", version]
        service = str(self._requests.client.meta.endpoint_url)
        if ".amazonaws.com" not in service:
            words += ["--endpoint-url", service]
        return shlex.join(words)

    def _answers(self, prefix: str, delimiter: str = "", start: str = "") -> Iterator[Mapping[str, Any]]:
        query: dict[str, Any] = {"Bucket": self._requests.bucket, "Prefix": prefix, "MaxKeys": PAGE}
        if delimiter:
            query["Delimiter"] = delimiter
        if after := _before(start):
            query["StartAfter"] = after
        while True:
            with translated("list", self._requests.subject(prefix)):
                answer: Mapping[str, Any] = self._requests.client.list_objects_v2(**query)
            if "IsTruncated" not in answer:
                subject = self._requests.subject(prefix)
                raise AnswerError("list", subject, "the answer is not a listing", REQUIRED)
            yield answer
            if not answer.get("IsTruncated") or not answer.get("NextContinuationToken"):
                return
            query["ContinuationToken"] = answer["NextContinuationToken"]


def _before(start: str) -> str:
    """A name before `start` with few names between them, since S3 lists what comes after a name; "" for none."""
    if not start:
        return ""
    head, last = start[:-1], start[-1]
    if last <= FIRST:
        return head
    return head + (BEFORE_SURROGATES if last == AFTER_SURROGATES else chr(ord(last) - 1)) + LAST
