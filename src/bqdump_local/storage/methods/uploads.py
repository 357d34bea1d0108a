"""Uploads: media, multipart, resumable."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from bqdump_local.storage.api_fields import checked
from bqdump_local.storage.errors import ApiError, invalid
from bqdump_local.storage.methods.checksums import from_header, from_resource
from bqdump_local.storage.methods.planned import Plan, admitted, create, received, unchanged
from bqdump_local.storage.methods.resumable import Session, parse_content_range
from bqdump_local.storage.names import check_object_name
from bqdump_local.storage.store import customer_key
from bqdump_local.storage.store.preconditions import Conditions
from bqdump_local.storage.store.resources import object_settings, storage_class
from bqdump_local.storage.wire import Reply, Request, parse_resource

if TYPE_CHECKING:
    from bqdump_local.storage.store.files import Content
    from bqdump_local.storage.store.records import ObjectRecord
    from bqdump_local.storage.store.store import Store

_DEFAULT_TYPE = "application/octet-stream"
_BOUNDARY = re.compile(r'boundary="?([^";]+)"?', re.IGNORECASE)
_HEADER_END = re.compile(rb"\r?\n\r?\n")
_CONTENT_TYPE = re.compile(rb"^content-type:\s*([^\r\n]+?)\s*$", re.IGNORECASE | re.MULTILINE)


class UploadMethods:
    """`storage.objects.insert`, with three upload types."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sessions: dict[str, Session] = {}

    def close(self) -> None:
        """Discard incomplete uploads."""
        for session in self._sessions.values():
            session.cancel()
        self._sessions.clear()

    async def insert(self, request: Request, bucket: str) -> Reply:
        """Start an upload, or carry it out at once."""
        if request.query.get("upload_id"):
            return await self.resume(request, bucket)
        kind = request.query.get("uploadType")
        if kind == "media":
            return await self._media(request, bucket)
        if kind == "multipart":
            return await self._multipart(request, bucket)
        if kind == "resumable":
            return await self._start(request, bucket)
        raise invalid(f"Invalid upload type: {kind}")

    async def resume(self, request: Request, bucket: str) -> Reply:
        """Receive the next bytes of a resumable upload, or return its progress."""
        identifier = request.query.get("upload_id", "")
        session = self._sessions.get(identifier)
        if session is None or session.plan.bucket != bucket:
            raise _gone()
        if request.method == "DELETE":
            session.cancel()
            del self._sessions[identifier]
            return Reply(status=499)
        if session.record is None:
            chunk = parse_content_range(request.headers.get("content-range"))
            session.expected.append(from_header(request.headers.get("x-goog-hash")))
            complete = await session.receive(chunk, request)
            if self._sessions.get(identifier) is not session:
                raise _gone()
            if not complete:
                return Reply(status=308, headers=session.progress())
            # Another request may have completed the upload meanwhile.
            session.record = session.record or self._complete(session)
        return Reply(self._store.resource(session.record, request.base_url))

    def _complete(self, session: Session) -> ObjectRecord:
        try:
            return self._commit(session.plan, session.finish(), *session.expected)
        except BaseException:
            del self._sessions[session.identifier]
            raise

    async def _media(self, request: Request, bucket: str) -> Reply:
        plan = self._plan(request, bucket, {}, request.headers.get("content-type"))
        spool = await received(self._store, request)
        record = self._commit(plan, spool.finish(), from_header(request.headers.get("x-goog-hash")))
        return Reply(self._store.resource(record, request.base_url))

    async def _multipart(self, request: Request, bucket: str) -> Reply:
        resource, content_type, data = split_multipart(request.headers.get("content-type", ""), await request.body())
        resource = checked("Object", resource, "object")
        plan = self._plan(request, bucket, resource, content_type)
        spool = self._store.files.spool()
        try:
            spool.write(data)
        except OSError:
            spool.discard()
            raise
        expected = [from_resource(resource), from_header(request.headers.get("x-goog-hash"))]
        record = self._commit(plan, spool.finish(), *expected)
        return Reply(self._store.resource(record, request.base_url))

    async def _start(self, request: Request, bucket: str) -> Reply:
        resource = checked("Object", await request.resource(), "object")
        plan = self._plan(request, bucket, resource, request.headers.get("x-upload-content-type"))
        length = request.headers.get("x-upload-content-length", "")
        expected = [from_resource(resource), from_header(request.headers.get("x-goog-hash"))]
        session = Session(plan, self._store.files.spool(), expected, int(length) if length.isdigit() else None)
        self._sessions[session.identifier] = session
        location = (
            f"{request.base_url}/upload/storage/v1/b/{bucket}/o?uploadType=resumable"
            f"&name={quote(plan.name, safe='')}&upload_id={session.identifier}"
        )
        return Reply(headers=[("location", location), ("x-guploader-uploadid", session.identifier)])

    def _plan(self, request: Request, bucket: str, resource: dict[str, Any], content_type: str | None) -> Plan:
        """The object to create. Raises at once if the upload could not succeed now."""
        name = request.query.get("name") or resource.get("name") or ""
        check_object_name(name)
        settings = object_settings(resource)
        settings.setdefault("contentType", content_type or _DEFAULT_TYPE)
        if encoding := request.query.get("contentEncoding"):
            settings["contentEncoding"] = encoding
        conditions = Conditions.of(request.query)
        key = request.query.get("kmsKeyName") or resource.get("kmsKeyName")
        supplied = customer_key.of_object(request.headers)
        plan = Plan(bucket, name, settings, conditions, storage_class(resource), key, supplied)
        return admitted(self._store, plan)

    def _commit(self, plan: Plan, content: Content, *expected: dict[str, str]) -> ObjectRecord:
        return create(self._store, plan, unchanged(content, *expected))


def _gone() -> ApiError:
    return ApiError(404, "No such upload: it does not exist, was cancelled or has expired.")


def split_multipart(content_type: str, body: bytes) -> tuple[dict[str, Any], str | None, bytes]:
    """The metadata, the data's content type and the data of a multipart/related body."""
    match = _BOUNDARY.search(content_type)
    if not match:
        raise invalid("Multipart uploads need a boundary in their content type.")
    mark = b"--" + match.group(1).encode("latin-1")
    # The data may contain anything, so only the boundaries before it and the very last one are searched for.
    first = body.find(mark)
    second = body.find(b"\n" + mark, first)
    last = body.rfind(b"\n" + mark + b"--")
    metadata = _HEADER_END.search(body, first)
    data = _HEADER_END.search(body, second + 1)
    if min(first, second) < 0 or last <= second or not metadata or not data or metadata.end() > second:
        raise invalid("Malformed multipart body.")
    resource = parse_resource(body[metadata.end() : second])
    part_type = _CONTENT_TYPE.search(body, second, data.start() + 1)
    end = last - 1 if body[last - 1 : last] == b"\r" else last
    return resource, part_type.group(1).decode("latin-1") if part_type else None, body[data.end() : end]
