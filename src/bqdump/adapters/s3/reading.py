"""Reading a bucket, which blocks: objects, ranges of them, and listings."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

import google_crc32c
from botocore.exceptions import ClientError

from bqdump.adapters.checksums import crc32c
from bqdump.adapters.s3.errors import ON_THE_WAY, code_of, translated
from bqdump.adapters.s3.requests import Requests, crc32c_in, generation_in, info_of
from bqdump.core.documents.validation import refuse_size
from bqdump.core.errors import AnswerError, DamagedError
from bqdump.ports.store import ObjectInfo, Stored

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
        raise AnswerError("read", subject, cause, "bqdump needs this part of the API of S3.")
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

    def _answers(self, prefix: str, delimiter: str = "", start: str = "") -> Iterator[Mapping[str, Any]]:
        query: dict[str, Any] = {"Bucket": self._requests.bucket, "Prefix": prefix, "MaxKeys": PAGE}
        if delimiter:
            query["Delimiter"] = delimiter
        if after := _before(start):
            query["StartAfter"] = after
        while True:
            with translated("list", self._requests.subject(prefix)):
                answer: Mapping[str, Any] = self._requests.client.list_objects_v2(**query)
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
