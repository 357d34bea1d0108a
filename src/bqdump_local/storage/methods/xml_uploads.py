"""Uploads in parts, by the XML API.

Source: https://cloud.google.com/storage/docs/multipart-uploads
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from bqdump_local.storage.errors import ApiError, invalid
from bqdump_local.storage.methods.checksums import from_header
from bqdump_local.storage.methods.planned import Plan, admitted, create, received, unchanged
from bqdump_local.storage.names import check_object_name, decode_segment
from bqdump_local.storage.store import customer_key
from bqdump_local.storage.store.preconditions import NONE
from bqdump_local.storage.store.resources import object_settings, storage_class
from bqdump_local.storage.wire import Reply, Request

if TYPE_CHECKING:
    from bqdump_local.storage.store.files import Content
    from bqdump_local.storage.store.store import Store

_HEADERS = {
    "cache-control": "cacheControl",
    "content-disposition": "contentDisposition",
    "content-encoding": "contentEncoding",
    "content-language": "contentLanguage",
    "content-type": "contentType",
    "x-goog-custom-time": "customTime",
}
_METADATA = "x-goog-meta-"
_MOST_PARTS = 10_000
_PIECE = 1 << 20


@dataclass(slots=True)
class _Part:
    content: Content
    etag: str


@dataclass(slots=True)
class _Upload:
    plan: Plan
    parts: dict[int, _Part] = field(default_factory=dict)

    def discard(self) -> None:
        for part in self.parts.values():
            part.content.discard()


class XmlUploads:
    """The five requests of an upload in parts, except for those that list parts and uploads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._uploads: dict[str, _Upload] = {}

    def close(self) -> None:
        """Discard incomplete uploads."""
        for upload in self._uploads.values():
            upload.discard()
        self._uploads.clear()

    async def answer(self, request: Request) -> Reply:
        """Answer a request for `/<bucket>/<object>`; errors are XML, too."""
        bucket, _, name = request.path.lstrip("/").partition("/")
        try:
            return await self._answer(request, decode_segment(bucket), decode_segment(name))
        except ApiError as error:
            body = _xml("Error", {"Code": error.reason, "Message": error.message})
            return Reply(status=error.status, body=body, headers=[("content-type", "application/xml")])

    async def _answer(self, request: Request, bucket: str, name: str) -> Reply:
        identifier = request.query.get("uploadId")
        if request.method == "POST" and identifier is None:
            return self._start(request, bucket, name)
        upload = self._uploads.get(identifier or "")
        if upload is None or (upload.plan.bucket, upload.plan.name) != (bucket, name):
            raise _no_such_upload()
        if request.method == "PUT":
            return await self._take(request, upload, identifier or "")
        if request.method == "POST":
            return await self._complete(request, upload, identifier or "")
        if request.method == "DELETE":
            upload.discard()
            del self._uploads[identifier or ""]
            return Reply(status=204)
        raise ApiError(501, "This local stand-in does not list the parts of an upload.")

    def _start(self, request: Request, bucket: str, name: str) -> Reply:
        check_object_name(name)
        headers = request.headers
        resource: dict[str, Any] = {key: headers[header] for header, key in _HEADERS.items() if headers.get(header)}
        metadata = {
            header.removeprefix(_METADATA): value for header, value in headers.items() if header.startswith(_METADATA)
        }
        if metadata:
            resource["metadata"] = metadata
        plan = Plan(
            bucket,
            name,
            object_settings(resource),
            NONE,
            storage_class({"storageClass": headers.get("x-goog-storage-class")}),
            headers.get("x-goog-encryption-kms-key-name"),
            customer_key.of_object(headers),
        )
        identifier = secrets.token_urlsafe(24)
        self._uploads[identifier] = _Upload(admitted(self._store, plan))
        answer = {"Bucket": bucket, "Key": name, "UploadId": identifier}
        return _reply(_xml("InitiateMultipartUploadResult", answer))

    async def _take(self, request: Request, upload: _Upload, identifier: str) -> Reply:
        number = request.number("partNumber")
        if number is None or not 1 <= number <= _MOST_PARTS:
            raise invalid(f"partNumber must be from 1 to {_MOST_PARTS}.")
        whole = (await received(self._store, request)).finish()
        content = unchanged(whole, from_header(request.headers.get("x-goog-hash")))
        if identifier not in self._uploads:
            content.discard()
            raise _no_such_upload()
        etag = f'"{hashlib.sha256(f"{content.crc32c}{content.md5}".encode()).hexdigest()[:32]}"'
        if number in upload.parts:
            upload.parts[number].content.discard()
        upload.parts[number] = _Part(content, etag)
        checksums = f"crc32c={content.crc32c},md5={content.md5}"
        return Reply(headers=[("etag", etag), ("x-goog-hash", checksums)])

    async def _complete(self, request: Request, upload: _Upload, identifier: str) -> Reply:
        parts = _parts(await request.body())
        # Another request may have completed or aborted the upload meanwhile.
        if identifier not in self._uploads:
            raise _no_such_upload()
        chosen = [self._chosen(part, upload) for part in parts]
        numbers = [number for number, _ in chosen]
        if not numbers or numbers != sorted(set(numbers)):
            raise ApiError(400, "The parts are not in ascending order.", reason="InvalidPartOrder")
        spool = self._store.files.spool()
        try:
            for _, part in chosen:
                with Path(part.content.path).open("rb") as file:
                    while piece := file.read(_PIECE):
                        spool.write(piece)
        except OSError:
            spool.discard()
            raise
        plan = upload.plan
        # Like composed objects, these have no MD5 in the service.
        record = create(self._store, plan, spool.finish(with_md5=False))
        upload.discard()
        del self._uploads[identifier]
        answer = {"Bucket": plan.bucket, "Key": plan.name, "ETag": f'"{record.etag}"'}
        return _reply(_xml("CompleteMultipartUploadResult", answer))

    def _chosen(self, part: tuple[int, str], upload: _Upload) -> tuple[int, _Part]:
        number, etag = part
        known = upload.parts.get(number)
        if known is None or known.etag.strip('"') != etag.strip('"'):
            raise ApiError(400, f"The part {number} was not uploaded, or has another ETag.", reason="InvalidPart")
        return number, known


def _no_such_upload() -> ApiError:
    return ApiError(404, "The requested upload was not found.", reason="NoSuchUpload")


def _parts(body: bytes) -> list[tuple[int, str]]:
    """The numbers and ETags in the request that completes an upload."""
    malformed = ApiError(400, "The XML of the request is not valid.", reason="MalformedCompleteMultipartUploadRequest")
    # Without declarations, there are no entities that could grow.
    if b"<!" in body:
        raise malformed
    try:
        nodes = ElementTree.fromstring(body).iter()  # noqa: S314
        parts = [node for node in nodes if node.tag.rpartition("}")[2] == "Part"]
        values = [{child.tag.rpartition("}")[2]: child.text or "" for child in part} for part in parts]
        return [(int(value["PartNumber"]), value["ETag"]) for value in values]
    except (ElementTree.ParseError, KeyError, ValueError) as error:
        raise malformed from error


def _xml(name: str, values: dict[str, str]) -> bytes:
    root = ElementTree.Element(name, xmlns="http://s3.amazonaws.com/doc/2006-03-01/")
    for key, value in values.items():
        ElementTree.SubElement(root, key).text = value
    text: str = ElementTree.tostring(root, encoding="unicode")
    return text.encode()


def _reply(body: bytes) -> Reply:
    return Reply(body=body, headers=[("content-type", "application/xml")])
