"""New objects out of old ones: copy, rewrite, compose, move."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from bqdump_local.storage.errors import condition_not_met, invalid
from bqdump_local.storage.names import check_object_name
from bqdump_local.storage.preconditions import Conditions
from bqdump_local.storage.resources import has_object_settings, object_settings, storage_class
from bqdump_local.storage.wire import Reply, Request

if TYPE_CHECKING:
    from bqdump_local.storage.files import Content
    from bqdump_local.storage.records import ObjectRecord
    from bqdump_local.storage.store import Store

_SOURCES = 32
_PIECE = 1 << 20


class CopyMethods:
    """`storage.objects.copy`, `rewrite`, `compose` and `move`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def copy(self, request: Request, bucket: str, name: str, to_bucket: str, to_name: str) -> Reply:
        """Copy an object; answers with the new one."""
        record = await self._copy(request, bucket, name, to_bucket, to_name)
        return Reply(self._store.resource(record, request.base_url))

    async def rewrite(self, request: Request, bucket: str, name: str, to_bucket: str, to_name: str) -> Reply:
        """Copy an object; always done in one call."""
        record = await self._copy(request, bucket, name, to_bucket, to_name)
        return Reply(
            {
                "kind": "storage#rewriteResponse",
                "totalBytesRewritten": str(record.size),
                "objectSize": str(record.size),
                "done": True,
                "resource": self._store.resource(record, request.base_url),
            }
        )

    async def move(self, request: Request, bucket: str, name: str, to_name: str) -> Reply:
        """Give an object another name in its bucket, in one step."""
        check_object_name(to_name)
        self._store.bucket(bucket)
        self._store.access.require(bucket, "storage.objects.move", "storage.objects.create")
        source = self._store.find(bucket, name)
        Conditions.of(request.query, source=True).check(source)
        if name == to_name:
            raise invalid("The source and destination object names must differ.")
        self._store.check_unprotected(source)
        record = self._store.put(
            bucket,
            to_name,
            self._duplicate(source),
            settings=source.settings,
            conditions=Conditions.of(request.query),
            storage_class=source.storage_class,
            components=source.components,
            kms_key=source.kms_key,
        )
        self._store.delete(source)
        return Reply(self._store.resource(record, request.base_url))

    async def compose(self, request: Request, bucket: str, name: str) -> Reply:
        """Join up to 32 objects of one bucket into one."""
        check_object_name(name)
        body = await request.resource()
        parts = body.get("sourceObjects") or []
        if not 1 <= len(parts) <= _SOURCES:
            raise invalid(f"The number of source components provided ({len(parts)}) must be from 1 to {_SOURCES}.")
        self._store.bucket(bucket)
        self._store.access.require(bucket, "storage.objects.get", "storage.objects.create")
        conditions = Conditions.of(request.query)
        self._store.check_write(bucket, name, conditions)
        sources = [self._component(bucket, part) for part in parts]
        destination = body.get("destination") or {}
        settings = object_settings(destination)
        settings.setdefault("contentType", sources[0].settings.get("contentType", "application/octet-stream"))
        record = self._store.put(
            bucket,
            name,
            await self._join(sources),
            settings=settings,
            conditions=conditions,
            storage_class=storage_class(destination),
            components=sum(source.components or 1 for source in sources),
            kms_key=request.query.get("kmsKeyName"),
        )
        return Reply(self._store.resource(record, request.base_url))

    async def _copy(self, request: Request, bucket: str, name: str, to_bucket: str, to_name: str) -> ObjectRecord:
        check_object_name(to_name)
        body = await request.resource()
        self._store.bucket(bucket)
        self._store.bucket(to_bucket)
        self._store.access.require(bucket, "storage.objects.get")
        self._store.access.require(to_bucket, "storage.objects.create")
        source = self._store.find(bucket, name, request.number("sourceGeneration"))
        Conditions.of(request.query, source=True).check(source)
        return self._store.put(
            to_bucket,
            to_name,
            self._duplicate(source),
            # A body that describes the object replaces all that the source says of itself.
            settings=object_settings(body) if has_object_settings(body) else source.settings,
            conditions=Conditions.of(request.query),
            storage_class=storage_class(body),
            components=source.components,
            kms_key=request.query.get("destinationKmsKeyName"),
        )

    def _duplicate(self, source: ObjectRecord) -> Content:
        return self._store.files.duplicate(source.place, source.size, source.crc32c, source.md5)

    def _component(self, bucket: str, part: dict[str, Any]) -> ObjectRecord:
        generation = part.get("generation")
        source = self._store.find(bucket, part.get("name", ""), int(generation) if generation else None)
        wanted = (part.get("objectPreconditions") or {}).get("ifGenerationMatch")
        if wanted is not None and int(wanted) != source.generation:
            raise condition_not_met()
        return source

    async def _join(self, sources: list[ObjectRecord]) -> Content:
        """The bytes of all sources, which are open before anything waits and so cannot change meanwhile."""
        spool = self._store.files.spool()
        try:
            with ExitStack() as stack:
                files = [stack.enter_context(self._store.files.open(source.place)) for source in sources]
                for file in files:
                    while piece := file.read(_PIECE):
                        spool.write(piece)
                        if len(piece) == _PIECE:
                            await asyncio.sleep(0)
            # The service gives composed objects no MD5.
            return spool.finish(with_md5=False)
        except BaseException:
            spool.discard()
            raise
