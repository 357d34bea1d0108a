"""Downloads: complete objects, ranges, and decompressed gzip objects for clients that do not accept gzip."""

from __future__ import annotations

import re
import zlib
from typing import TYPE_CHECKING

from bqdump_local.storage.errors import ApiError, no_such_object
from bqdump_local.storage.wire import Reply

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from io import FileIO

    from bqdump_local.storage.store.files import Files
    from bqdump_local.storage.store.records import ObjectRecord

_PIECE = 1 << 18
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


def download(files: Files, record: ObjectRecord, headers: Mapping[str, str]) -> Reply:
    """The bytes of an object that the request's headers select; 416 for a range outside of it."""
    if _is_decompressed(record, headers):
        # The length is not known in advance, and ranges are in compressed bytes.
        out = [*_headers(record), ("warning", "214 UploadServer gunzipped")]
        return Reply(headers=out, stream=_gunzip(_open(files, record)))
    span = _span(headers.get("range", ""), record.size)
    start, end = span or (0, record.size)
    length = end - start
    out = [*_headers(record), ("accept-ranges", "bytes")]
    if record.content_encoding:
        out.append(("content-encoding", record.content_encoding))
    if span:
        out.append(("content-range", f"bytes {start}-{end - 1}/{record.size}"))
    status = 206 if span else 200
    file = _open(files, record)
    if length > _PIECE:
        out.append(("content-length", str(length)))
        return Reply(status=status, headers=out, stream=_pieces(file, start, length))
    with file:
        file.seek(start)
        return Reply(status=status, headers=out, body=file.read(length))


def _headers(record: ObjectRecord) -> list[tuple[str, str]]:
    headers = [
        ("content-type", record.settings.get("contentType", "application/octet-stream")),
        ("etag", record.etag),
        ("x-goog-generation", str(record.generation)),
        ("x-goog-metageneration", str(record.metageneration)),
        ("x-goog-storage-class", record.storage_class),
        ("x-goog-stored-content-encoding", record.content_encoding or "identity"),
        ("x-goog-stored-content-length", str(record.size)),
        ("x-goog-hash", f"crc32c={record.crc32c}" + (f",md5={record.md5}" if record.md5 else "")),
    ]
    if record.customer_key:
        headers.append(("x-goog-encryption-algorithm", "AES256"))
        headers.append(("x-goog-encryption-key-sha256", record.customer_key))
    for key, setting in (
        ("cache-control", "cacheControl"),
        ("content-disposition", "contentDisposition"),
        ("content-language", "contentLanguage"),
    ):
        if setting in record.settings:
            headers.append((key, record.settings[setting]))
    return headers


def _is_decompressed(record: ObjectRecord, headers: Mapping[str, str]) -> bool:
    return (
        record.content_encoding == "gzip"
        and "gzip" not in headers.get("accept-encoding", "")
        and "no-transform" not in record.settings.get("cacheControl", "")
    )


def _span(header: str, size: int) -> tuple[int, int] | None:
    """First byte and end of a Range header; None, for the complete object, if it is not a single range."""
    match = _RANGE.fullmatch(header.replace(" ", ""))
    if not match or match.group(0) == "bytes=-":
        return None
    first, last = match.groups()
    start = int(first) if first else max(size - int(last), 0)
    end = min(int(last) + 1, size) if first and last else size
    if first and last and int(last) < start:
        return None
    if start >= size or (not first and last == "0"):
        message = "The requested range cannot be satisfied."
        raise ApiError(416, message, headers={"content-range": f"bytes */{size}"})
    return start, end


def _open(files: Files, record: ObjectRecord) -> FileIO:
    try:
        return files.open(record.place)
    except FileNotFoundError:
        # The file was removed by hand.
        raise no_such_object(record.bucket, record.name) from None


async def _pieces(file: FileIO, start: int, length: int) -> AsyncIterator[bytes]:
    with file:
        file.seek(start)
        while length and (piece := file.read(min(length, _PIECE))):
            length -= len(piece)
            yield piece


async def _gunzip(file: FileIO) -> AsyncIterator[bytes]:
    with file:
        engine = zlib.decompressobj(wbits=31)
        while piece := file.read(_PIECE):
            while piece:
                if engine.eof:
                    engine = zlib.decompressobj(wbits=31)
                if out := engine.decompress(piece):
                    yield out
                piece = engine.unused_data
