"""An object of any size being uploaded: with one request, or in parts that the service puts together."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, TypeVar

from botocore.exceptions import ClientError

from bqdump.adapters.checksums import crc32c
from bqdump.adapters.patience import Attempts, Retrying
from bqdump.adapters.s3.errors import NO_OBJECT, code_of, translated
from bqdump.adapters.s3.requests import Requests
from bqdump.core.errors import BqdumpError, ConflictError, TargetError

Result = TypeVar("Result")

# A smaller object is uploaded with a single request.
PART = 8 << 20
# Files of up to 40 GiB have parts of one size. Of a larger one, the parts that follow are larger.
EQUAL_PARTS, LARGE_PART = 5000, 128 << 20
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
MOST_PARTS = 10_000


def kept(retrying: Retrying, request: Callable[[], Result], again: Callable[[], None] = lambda: None) -> Result:
    """The request's result. It is retried like those of `adapters.retry`, in this thread.

    again: called before the request is repeated.
    """
    attempts = Attempts(retrying)
    while True:
        try:
            return request()
        except BqdumpError as error:
            pause = attempts.failed(error)
        again()
        time.sleep(pause)


class Upload:
    """An object being uploaded. It blocks, and retries each request by itself, since each byte comes only once.

    condition: of the request that creates the object. origin: recorded with it.
    """

    def __init__(
        self, requests: Requests, name: str, condition: Mapping[str, str], retrying: Retrying, origin: Mapping[str, str]
    ) -> None:
        self._requests, self._name, self._retrying = requests, name, retrying
        self._condition, self._metadata = condition, dict(origin)
        self._waiting: list[bytes] = []
        self._size = 0
        self._id = ""
        # Whether a request was repeated last, so that an earlier one may have been carried out.
        self.repeated = False
        self._parts: list[dict[str, Any]] = []

    def write(self, data: bytes) -> None:
        """Add bytes, and send them once they fill a part."""
        self._waiting.append(bytes(data))
        self._size += len(data)
        while self._size > (size := self._next_size()):
            self._send(self._take(size))

    def finish(self, checksum: str) -> str:
        """Send the last part, which creates the object, and return its ETag. checksum: CRC32C of all bytes.

        Raises ConflictError if the condition is not met, which can also be by this upload after an answer was lost.
        """
        last = self._take(self._size)
        if not self._id:
            options = {"Metadata": self._metadata, "ContentType": "application/octet-stream"}
            return self._kept(lambda: self._requests.put(self._name, last, checksum, self._condition, **options))
        self._send(last)
        return self._kept(lambda: self._complete(checksum))

    def abort(self) -> None:
        """Discard the parts, which would be billed otherwise."""
        if self._id:
            # Errors do not matter: a rule of the bucket may discard it later.
            with suppress(Exception):
                self._requests.client.abort_multipart_upload(**self._address())

    def _take(self, size: int) -> bytes:
        """The first bytes that wait. Not copied where a piece is as large as a part, as those of copies are."""
        self._size -= size
        if self._waiting and len(self._waiting[0]) == size:
            return self._waiting.pop(0)
        joined = b"".join(self._waiting)
        self._waiting = [joined[size:]]
        return joined[:size]

    def _next_size(self) -> int:
        return PART if len(self._parts) < EQUAL_PARTS else LARGE_PART

    def _send(self, data: bytes) -> None:
        number, checksum = len(self._parts) + 1, crc32c(data)
        if number > MOST_PARTS:
            raise TargetError("write", self._subject, f"it is too large: S3 allows {MOST_PARTS:,} parts")
        if not self._id:
            self._id = self._kept(self._begin)

        def send() -> str:
            with translated("write", self._subject):
                answer = self._requests.client.upload_part(
                    **self._address(),
                    PartNumber=number,
                    Body=data,
                    ChecksumAlgorithm="CRC32C",
                    ChecksumCRC32C=checksum,
                )
            return str(answer["ETag"])

        self._parts.append({"PartNumber": number, "ETag": self._kept(send), "ChecksumCRC32C": checksum})

    def _begin(self) -> str:
        with translated("write", self._subject):
            answer = self._requests.client.create_multipart_upload(
                Bucket=self._requests.bucket,
                Key=self._name,
                ChecksumAlgorithm="CRC32C",
                ChecksumType="FULL_OBJECT",
                ContentType="application/octet-stream",
                Metadata=self._metadata,
                **self._requests.locking,
            )
        return str(answer["UploadId"])

    def _complete(self, checksum: str) -> str:
        with translated("write", self._subject):
            try:
                answer = self._requests.client.complete_multipart_upload(
                    **self._address(),
                    MultipartUpload={"Parts": self._parts},
                    ChecksumType="FULL_OBJECT",
                    ChecksumCRC32C=checksum,
                    **self._condition,
                )
            except ClientError as error:
                if "IfMatch" in self._condition and code_of(error) in NO_OBJECT:
                    raise ConflictError("write", self._subject, "it does not exist any more") from error
                raise
        return str(answer["ETag"])

    def _kept(self, request: Callable[[], Result]) -> Result:
        self.repeated = False

        def again() -> None:
            self.repeated = True

        return kept(self._retrying, request, again)

    def _address(self) -> dict[str, str]:
        return {"Bucket": self._requests.bucket, "Key": self._name, "UploadId": self._id}

    @property
    def _subject(self) -> str:
        return self._requests.subject(self._name)
