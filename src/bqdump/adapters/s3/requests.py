"""Single requests about objects of one bucket, which block, and the conditions of those that write."""

from __future__ import annotations

import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from botocore.exceptions import ClientError

from bqdump.adapters.s3.errors import NO_OBJECT, code_of, translated
from bqdump.adapters.s3.objects import generation_in
from bqdump.core.errors import ConflictError

CREATE = {"IfNoneMatch": "*"}
# HEAD answers errors without a body, and so without their reason.
NO_REASON = ("400", "403", "BadRequest", "Forbidden")


class Requests:
    """Requests with one client about one bucket."""

    def __init__(self, client: Any, bucket: str) -> None:
        self.client, self.bucket = client, bucket

    def subject(self, name: str) -> str:
        """The object in a message."""
        return f"s3://{self.bucket}/{name}"

    def head(self, name: str) -> Mapping[str, Any] | None:
        """The answer about the object, with its checksum; None if there is none."""
        with translated("read the metadata of", self.subject(name)):
            try:
                found: Mapping[str, Any] = self.client.head_object(Bucket=self.bucket, Key=name, ChecksumMode="ENABLED")
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
                    **condition,
                    **options,
                )
            except ClientError as error:
                if "IfMatch" in condition and code_of(error) in NO_OBJECT:
                    raise ConflictError("write", self.subject(name), "it does not exist any more") from error
                raise
        return str(answer["ETag"])


def _pass_second(found: Mapping[str, Any]) -> None:
    """Wait until the service's clock has left the second in which an object was written."""
    headers = found.get("ResponseMetadata", {}).get("HTTPHeaders") or {}
    sent = headers.get("date")
    now = parsedate_to_datetime(sent).timestamp() if sent else time.time()
    if int(found["LastModified"].timestamp()) >= int(now):
        time.sleep(1.0)
