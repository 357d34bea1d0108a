"""Single requests about objects of one bucket, which block, and the conditions of those that write."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import Any

from botocore.exceptions import ClientError

from bqdump.adapters.s3.errors import NO_OBJECT, code_of, translated
from bqdump.adapters.s3.objects import generation_in, locked_until, retention_of
from bqdump.core.errors import ConflictError, NotFoundError
from bqdump.ports.store import Lock

CREATE = {"IfNoneMatch": "*"}
# HEAD answers errors without a body, and so without their reason.
NO_REASON = ("400", "403", "BadRequest", "Forbidden")


class Requests:
    """Requests with one client about one bucket. lock: of all objects."""

    def __init__(self, client: Any, bucket: str, lock: Lock | None = None) -> None:
        self.client, self.bucket, self.lock = client, bucket, lock

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
                found: Mapping[str, Any] = self.client.head_object(
                    Bucket=self.bucket, Key=name, ChecksumMode="ENABLED", **options
                )
            except ClientError as error:
                if code_of(error) in NO_OBJECT:
                    return None
                if code_of(error) in NO_REASON:
                    # The answer to this has one.
                    self.client.get_object(Bucket=self.bucket, Key=name, Range="bytes=0-0")
                raise
            return found

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

    def put(self, name: str, data: bytes, crc32c: str, condition: Mapping[str, str], **options: Any) -> str:
        """Store an object with one request, in which the service compares the checksum. Returns its ETag."""
        with translated("write", self.subject(name)):
            try:
                answer = self.client.put_object(
                    Bucket=self.bucket,
                    Key=name,
                    Body=data,
                    ChecksumAlgorithm="CRC32C",
                    ChecksumCRC32C=crc32c,
                    **self.locking,
                    **condition,
                    **options,
                )
            except ClientError as error:
                if "IfMatch" in condition and code_of(error) in NO_OBJECT:
                    raise ConflictError("write", self.subject(name), "it does not exist any more") from error
                raise
        return str(answer["ETag"])


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
