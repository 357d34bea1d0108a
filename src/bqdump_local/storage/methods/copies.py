"""Objects made from other objects: copy, rewrite, compose, move."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bqdump_local.storage.api_fields import checked
from bqdump_local.storage.errors import ApiError, condition_not_met, invalid
from bqdump_local.storage.names import check_object_name
from bqdump_local.storage.store import customer_key
from bqdump_local.storage.store.preconditions import Conditions
from bqdump_local.storage.store.resources import copied_settings, object_settings, storage_class
from bqdump_local.storage.store.retention import check_unprotected, without_retention
from bqdump_local.storage.wire import Reply, Request

if TYPE_CHECKING:
    from bqdump_local.storage.store.files import Content
    from bqdump_local.storage.store.records import ObjectRecord
    from bqdump_local.storage.store.store import Store

_SOURCES = 32
_PIECE = 1 << 20
# The bytes that one request can move, if a copy must move bytes. The service's limit is a time: 30 seconds.
# https://cloud.google.com/storage/docs/json_api/v1/objects/rewrite
MOVED_AT_ONCE = 1 << 20
_TOO_LONG = (
    "Copy spanning locations and/or storage classes could not complete within 30 seconds. Please use the Rewrite "
    "method (https://cloud.google.com/storage/docs/json_api/v1/objects/rewrite) instead."
)


@dataclass(frozen=True, slots=True)
class _Rewriting:
    """A rewrite in progress: source, target, and the number of bytes moved so far."""

    source: tuple[str, str, int]
    target: tuple[str, str]
    moved: int


class CopyMethods:
    """`storage.objects.copy`, `rewrite`, `compose` and `move`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._rewriting: dict[str, _Rewriting] = {}

    async def copy(self, request: Request, bucket: str, name: str, to_bucket: str, to_name: str) -> Reply:
        """Copy an object. The answer is the new one."""
        body = checked("Object", await request.resource(), "object")
        source = self._source(request, bucket, name, to_bucket, to_name)
        if self._moves_bytes(request, source, to_bucket, body) and source.size > MOVED_AT_ONCE:
            raise ApiError(413, _TOO_LONG, reason="uploadTooLarge")
        record = self._copy(request, source, to_bucket, to_name, body)
        return Reply(self._store.resource(record, request.base_url))

    async def rewrite(self, request: Request, bucket: str, name: str, to_bucket: str, to_name: str) -> Reply:
        """Copy an object, with several requests if many bytes must be moved."""
        body = checked("Object", await request.resource(), "object")
        source = self._source(request, bucket, name, to_bucket, to_name)
        began = self._began(request, source, (to_bucket, to_name))
        moved = source.size
        if self._moves_bytes(request, source, to_bucket, body):
            moved = min(moved, began + _at_once(request))
        answer: dict[str, Any] = {
            "kind": "storage#rewriteResponse",
            "totalBytesRewritten": str(moved),
            "objectSize": str(source.size),
            "done": moved == source.size,
        }
        if moved < source.size:
            self._store.check_write(to_bucket, to_name, Conditions.of(request.query))
            answer["rewriteToken"] = token = secrets.token_urlsafe(24)
            self._rewriting[token] = _Rewriting(_identity(source), (to_bucket, to_name), moved)
        else:
            record = self._copy(request, source, to_bucket, to_name, body)
            answer["resource"] = self._store.resource(record, request.base_url)
        return Reply(answer)

    async def move(self, request: Request, bucket: str, name: str, to_name: str) -> Reply:
        """Rename an object in its bucket, atomically."""
        check_object_name(to_name)
        self._store.bucket(bucket)
        self._store.access.require(bucket, "storage.objects.move", item=name)
        self._store.access.require(bucket, "storage.objects.create", item=to_name)
        source = self._store.find(bucket, name)
        Conditions.of(request.query, source=True).check(source)
        if name == to_name:
            raise invalid("The source and destination object names must differ.")
        check_unprotected(source, self._store.bucket(bucket).record)
        record = self._store.put(
            bucket,
            to_name,
            self._duplicate(source),
            settings=without_retention(source.settings),
            conditions=Conditions.of(request.query),
            storage_class=source.storage_class,
            components=source.components,
            kms_key=source.kms_key,
            customer_key=source.customer_key,
        )
        self._store.delete(source)
        return Reply(self._store.resource(record, request.base_url))

    async def compose(self, request: Request, bucket: str, name: str) -> Reply:
        """Join up to 32 objects of one bucket into one."""
        check_object_name(name)
        body = checked("ComposeRequest", await request.resource(), "compose_request")
        parts = body.get("sourceObjects") or []
        if not 1 <= len(parts) <= _SOURCES:
            raise invalid(f"The number of source components provided ({len(parts)}) must be from 1 to {_SOURCES}.")
        self._store.bucket(bucket)
        self._store.access.require(bucket, "storage.objects.create", item=name)
        for part in parts:
            self._store.access.require(bucket, "storage.objects.get", item=part.get("name", ""))
        conditions = Conditions.of(request.query)
        self._store.check_write(bucket, name, conditions)
        sources = [self._component(bucket, part) for part in parts]
        destination = body.get("destination") or {}
        settings = object_settings(destination)
        key = customer_key.of_object(request.headers)
        for source in sources:
            customer_key.check(source, key)
        record = self._store.put(
            bucket,
            name,
            await self._join(sources),
            settings=settings,
            conditions=conditions,
            storage_class=storage_class(destination),
            components=sum(source.components or 1 for source in sources),
            kms_key=request.query.get("kmsKeyName"),
            customer_key=key,
        )
        if body.get("deleteSourceObjects"):
            for source in sources:
                if source.name != name and self._is_there(source):
                    self._store.access.require(bucket, "storage.objects.delete", item=source.name)
                    self._store.delete(self._store.find(bucket, source.name, source.generation), version=True)
        return Reply(self._store.resource(record, request.base_url))

    def _is_there(self, source: ObjectRecord) -> bool:
        """Whether every component is still there after it was joined."""
        try:
            self._store.find(source.bucket, source.name, source.generation)
        except ApiError:
            return False
        return True

    def _source(self, request: Request, bucket: str, name: str, to_bucket: str, to_name: str) -> ObjectRecord:
        """The source of a copy or rewrite, if its preconditions hold."""
        check_object_name(to_name)
        self._store.bucket(bucket)
        self._store.bucket(to_bucket)
        self._store.access.require(bucket, "storage.objects.get", item=name)
        self._store.access.require(to_bucket, "storage.objects.create", item=to_name)
        source = self._store.find(bucket, name, request.number("sourceGeneration"))
        Conditions.of(request.query, source=True).check(source)
        customer_key.check(source, customer_key.of_source(request.headers))
        return source

    def _moves_bytes(self, request: Request, source: ObjectRecord, to_bucket: str, body: dict[str, Any]) -> bool:
        """Whether the new object has another location, storage class or key."""
        source_bucket, target_bucket = self._store.bucket(source.bucket).record, self._store.bucket(to_bucket).record
        key = target_bucket.key(request.query.get("destinationKmsKeyName"))
        class_ = "STANDARD" if target_bucket.autoclass else storage_class(body) or target_bucket.storage_class
        source_key = (source.kms_key, source.customer_key)
        target_key = (key, customer_key.of_object(request.headers))
        return (source_bucket.location, source.storage_class, source_key) != (
            target_bucket.location,
            class_,
            target_key,
        )

    def _began(self, request: Request, source: ObjectRecord, target: tuple[str, str]) -> int:
        """The rewrite to continue. Its token is valid only for the same source and target."""
        if not (token := request.query.get("rewriteToken")):
            return 0
        known = self._rewriting.pop(token, None)
        if known is None or (known.source, known.target) != (_identity(source), target):
            raise invalid("Invalid rewrite token.")
        return known.moved

    def _copy(
        self, request: Request, source: ObjectRecord, to_bucket: str, to_name: str, body: dict[str, Any]
    ) -> ObjectRecord:
        return self._store.put(
            to_bucket,
            to_name,
            self._duplicate(source),
            settings=copied_settings(
                source.settings, body, drop_contexts=request.query.get("dropContextGroups") == "custom"
            ),
            conditions=Conditions.of(request.query),
            storage_class=storage_class(body),
            components=source.components,
            kms_key=request.query.get("destinationKmsKeyName"),
            customer_key=customer_key.of_object(request.headers),
        )

    def _duplicate(self, source: ObjectRecord) -> Content:
        return self._store.files.duplicate(source.place, source.size, source.crc32c, source.md5)

    def _component(self, bucket: str, part: dict[str, Any]) -> ObjectRecord:
        generation = part.get("generation")
        source = self._store.find(bucket, part.get("name", ""), int(generation) if generation else None)
        required = (part.get("objectPreconditions") or {}).get("ifGenerationMatch")
        if required is not None and int(required) != source.generation:
            raise condition_not_met()
        return source

    async def _join(self, sources: list[ObjectRecord]) -> Content:
        """The bytes of all sources. They are opened before anything waits, so they cannot change meanwhile."""
        spool = self._store.files.spool()
        try:
            with ExitStack() as stack:
                files = [stack.enter_context(self._store.files.open(source.place)) for source in sources]
                for file in files:
                    while piece := file.read(_PIECE):
                        spool.write(piece)
                        if len(piece) == _PIECE:
                            await asyncio.sleep(0)
            # Composed objects have no MD5 in the service.
            return spool.finish(with_md5=False)
        except BaseException:
            spool.discard()
            raise


def _at_once(request: Request) -> int:
    """The bytes that this request may move: a multiple of 1 MiB."""
    asked = request.number("maxBytesRewrittenPerCall")
    if asked is not None and (asked < MOVED_AT_ONCE or asked % MOVED_AT_ONCE):
        raise invalid(f"maxBytesRewrittenPerCall must be a multiple of {MOVED_AT_ONCE}.")
    return asked or MOVED_AT_ONCE


def _identity(record: ObjectRecord) -> tuple[str, str, int]:
    return record.bucket, record.name, record.generation
