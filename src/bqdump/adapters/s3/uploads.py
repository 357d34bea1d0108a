"""An object of any size being uploaded: with one request, or in parts that the service puts together."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from botocore.exceptions import ClientError

from bqdump.adapters.checksums import crc32c
from bqdump.adapters.patience import Attempts, Retrying
from bqdump.adapters.s3.client import member
from bqdump.adapters.s3.errors import NO_OBJECT, code_of, translated
from bqdump.adapters.s3.listings import beginning_of
from bqdump.adapters.s3.requests import Requests
from bqdump.core.errors import BqdumpError, ConflictError, NotFoundError, TargetError

Result = TypeVar("Result")

# A smaller object is uploaded with a single request.
PART = 8 << 20
# The first part of an object that replaces one of such parts.
OTHER_PART = 6 << 20
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

    condition: of the request that creates the object.
    origin: recorded with it.
    over: the ETag of the object that it replaces. The new one has another ETag, also if the bytes are the same, so that
        a deletion which names the old one does not meet it: an ETag depends on the parts. An empty object has only one.
    """

    def __init__(
        self,
        requests: Requests,
        name: str,
        condition: Mapping[str, str],
        retrying: Retrying,
        origin: Mapping[str, str],
        over: str = "",
    ) -> None:
        self._requests, self._name, self._retrying = requests, name, retrying
        self._condition, self._metadata, self._over = condition, dict(origin), over.strip('"')
        self._waiting: list[bytes] = []
        self._size = 0
        self._cut = 0
        self._id = ""
        # Whether the request that creates the object was repeated, so that an earlier one may have been carried out.
        self.repeated = False
        self._parts: dict[int, dict[str, Any]] = {}
        self._beginning = threading.Lock()
        self._first = OTHER_PART if self._begins_with_a_part() else PART
        # Requests in progress, and whether no more may begin.
        self._state = threading.Condition()
        self._busy, self._stopped = 0, False

    def write(self, data: bytes) -> None:
        """Add bytes, and send them once they fill a part."""
        for number, part in self.parts(data):
            self.send(number, part)

    def parts(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Add bytes; the parts that are full now, with their numbers, for `send`, in any order. Sends nothing."""
        self._waiting.append(bytes(data))
        self._size += len(data)
        while self._size > (size := self._next_size()):
            part = self._take(size)
            yield self._numbered(), part

    def last_part(self) -> Iterator[tuple[int, bytes]]:
        """The last part, for `send`, of an object that is sent in parts and whose bytes have all been added."""
        if self._cut:
            part = self._take(self._size)
            yield self._numbered(), part

    @property
    def in_parts(self) -> bool:
        """Whether it is sent in parts, as far as it was written."""
        return self._cut > 0

    def finish(self, checksum: str, sha256: str = "") -> str:
        """Create the object, and return its ETag. checksum: CRC32C of all bytes.

        sha256: of all bytes, if it is known. Of an object in parts, it is not sent.

        All parts have been sent; the last one is sent here unless it was. Raises ConflictError if the condition is not
        met, which can also be by this upload after an answer was lost.
        """
        last = self._take(self._size)
        with self._working():
            if not self._cut and not (last and self._over and "-" not in self._over):
                options = {"Metadata": self._metadata, "ContentType": "application/octet-stream"}
                return self._creating(
                    lambda: self._requests.put(self._name, last, checksum, self._condition, sha256, **options)
                )
        if last:
            self.send(self._numbered(), last)
        with self._working():
            return self._creating(lambda: self._complete(checksum))

    def abort(self) -> None:
        """Discard the parts, which would be billed otherwise, once requests in progress have ended."""
        with self._state:
            self._stopped = True
            self._state.wait_for(lambda: not self._busy)
        if self._id:
            # Errors do not matter: a rule of the bucket may discard it later.
            with suppress(Exception):
                self._requests.client.abort_multipart_upload(**self._address())

    def send(self, number: int, data: bytes) -> None:
        """Send a part. Several threads may send parts at once."""
        if number > MOST_PARTS:
            raise TargetError("write", self._subject, f"it is too large: S3 allows {MOST_PARTS:,} parts")
        checksum = crc32c(data)

        def part() -> str:
            with translated("write", self._subject):
                options = {"ChecksumAlgorithm": "CRC32C", "ChecksumCRC32C": checksum}
                return self._requests.objects.part(self._name, self._id, number, data, options)

        with self._working():
            with self._beginning:
                if not self._id:
                    self._id = self._kept(self._begin)
            self._parts[number] = {"PartNumber": number, "ETag": self._kept(part), "ChecksumCRC32C": checksum}

    @contextmanager
    def _working(self) -> Iterator[None]:
        with self._state:
            self._refuse_stopped()
            self._busy += 1
        try:
            yield
        finally:
            with self._state:
                self._busy -= 1
                self._state.notify_all()

    def _refuse_stopped(self) -> None:
        if self._stopped:
            raise TargetError("write", self._subject, "it was cancelled")

    def _take(self, size: int) -> bytes:
        """The first bytes that wait. Not copied where a piece is as large as a part, as those of copies are."""
        self._size -= size
        if self._waiting and len(self._waiting[0]) == size:
            return self._waiting.pop(0)
        joined = b"".join(self._waiting)
        self._waiting = [joined[size:]]
        return joined[:size]

    def _numbered(self) -> int:
        self._cut += 1
        return self._cut

    def _next_size(self) -> int:
        if not self._cut:
            return self._first
        return PART if self._cut < EQUAL_PARTS else LARGE_PART

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
            return member(answer, "UploadId")

    def _complete(self, checksum: str) -> str:
        with translated("write", self._subject):
            try:
                answer = self._requests.client.complete_multipart_upload(
                    **self._address(),
                    MultipartUpload={"Parts": [part for _, part in sorted(self._parts.items())]},
                    ChecksumType="FULL_OBJECT",
                    ChecksumCRC32C=checksum,
                    **self._condition,
                )
            except ClientError as error:
                if "IfMatch" in self._condition and code_of(error) in NO_OBJECT:
                    raise ConflictError("write", self._subject, "it does not exist any more") from error
                raise
            return member(answer, "ETag")

    def _creating(self, request: Callable[[], str]) -> str:
        def again() -> None:
            self.repeated = True
            self._refuse_stopped()

        return kept(self._retrying, request, again)

    def _kept(self, request: Callable[[], Result]) -> Result:
        return kept(self._retrying, request, self._refuse_stopped)

    def _address(self) -> dict[str, str]:
        return {"Bucket": self._requests.bucket, "Key": self._name, "UploadId": self._id}

    def _begins_with_a_part(self) -> bool:
        """Whether the object that is replaced has several parts, the first of which is of the usual size."""
        if not self._over.partition("-")[2].isdecimal() or self._over.endswith("-1"):
            return False
        head = kept(self._retrying, lambda: self._requests.head(self._name, PartNumber=1))
        return head is not None and head.get("ContentLength") == PART

    @property
    def _subject(self) -> str:
        return self._requests.subject(self._name)


def discard(requests: Requests, names: Collection[str]) -> None:
    """Abort all uploads to these names."""
    wanted = set(names)
    if not wanted:
        return
    query: dict[str, Any] = {"Bucket": requests.bucket, "Prefix": beginning_of(wanted)}
    with translated("list the uploads below", requests.subject(query["Prefix"])):
        pages = requests.client.get_paginator("list_multipart_uploads").paginate(**query)
        uploads = [(item["Key"], item["UploadId"]) for page in pages for item in page.get("Uploads") or ()]
    for key, upload in uploads:
        if key in wanted:
            with suppress(NotFoundError, ConflictError), translated("abort an upload of", requests.subject(key)):
                requests.client.abort_multipart_upload(Bucket=requests.bucket, Key=key, UploadId=upload)
