"""Reading objects and ranges of them, which blocks."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from contextlib import closing
from typing import Any

import google_crc32c
from botocore.exceptions import ClientError

from bqdump.adapters.checksums import crc32c
from bqdump.adapters.s3.errors import ON_THE_WAY, code_of, translated
from bqdump.adapters.s3.objects import crc32c_in, generation_in
from bqdump.adapters.s3.requests import Requests
from bqdump.core.documents.validation import refuse_size
from bqdump.core.errors import AnswerError, DamagedError
from bqdump.ports.store import Stored

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
