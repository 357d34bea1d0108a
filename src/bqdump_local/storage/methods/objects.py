"""The methods of objects that do not copy bytes: get, list, patch, update, delete."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bqdump_local.storage.api_fields import checked
from bqdump_local.storage.errors import invalid, no_such_object
from bqdump_local.storage.methods.downloads import download
from bqdump_local.storage.methods.listing import list_page
from bqdump_local.storage.store import customer_key
from bqdump_local.storage.store.contexts import selected
from bqdump_local.storage.store.preconditions import Conditions, check_etag
from bqdump_local.storage.store.resources import (
    changed_object_settings,
    object_resource,
    object_settings,
    storage_class,
)
from bqdump_local.storage.store.retention import without_retention
from bqdump_local.storage.wire import Reply, Request

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bqdump_local.storage.store.records import ObjectRecord
    from bqdump_local.storage.store.store import Store


class ObjectMethods:
    """`storage.objects.*`, without uploads and copies."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def get(self, request: Request, bucket: str, name: str) -> Reply:
        """Read an object's metadata, or its bytes with `alt=media`."""
        self._store.bucket(bucket)
        self._store.access.require(bucket, "storage.objects.get", item=name)
        if request.query.get("softDeleted", "").lower() == "true":
            record = self._deleted(request, bucket, name)
            return Reply(self._store.resource(record, request.base_url))
        record = self._store.find(bucket, name, request.number("generation"))
        Conditions.of(request.query).check(record)
        check_etag(request.headers, record.etag)
        key = customer_key.of_object(request.headers)
        if request.query.get("alt") == "media":
            customer_key.check(record, key)
            return download(self._store.files, record, request.headers)
        resource = self._store.resource(record, request.base_url)
        if record.customer_key and key != record.customer_key:
            # Without the key, the service does not know the checksums.
            resource = {name: value for name, value in resource.items() if name not in ("crc32c", "md5Hash")}
        return Reply(resource)

    async def list(self, request: Request, bucket: str) -> Reply:
        """List live objects, all versions, or soft-deleted objects."""
        holder = self._store.bucket(bucket)
        self._store.access.require(bucket, "storage.objects.list")
        resource: dict[str, Any] = {"kind": "storage#objects"}
        every, deleted = (request.query.get(key, "").lower() == "true" for key in ("versions", "softDeleted"))
        if every and deleted:
            raise invalid("softDeleted and versions cannot be used together.")
        if not request.query.get("pageToken"):
            # Later pages continue from the state of this one.
            self._store.look_below(bucket, request.query.get("prefix", ""))
        names: Sequence[str] = holder.names
        if deleted:
            names = sorted(self._store.soft_deleted.names(holder.record))
        elif every:
            names = sorted({*holder.names, *self._store.versions.names(bucket)})

        def shown(name: str) -> list[ObjectRecord]:
            if deleted:
                return self._store.soft_deleted.of(holder.record, name)
            return self._store.shown(bucket, name, versions=every)

        matches = selected(request.query.get("filter"))
        if request.query.get("filter"):
            names = [name for name in names if any(matches(record) for record in shown(name))]
        page = list_page(names, request.query)
        if page.token:
            resource["nextPageToken"] = page.token
        if page.prefixes:
            resource["prefixes"] = page.prefixes
        if page.names:
            records = [record for name in page.names for record in shown(name) if matches(record)]
            resource["items"] = [object_resource(record, request.base_url, holder.record) for record in records]
        return Reply(resource)

    async def patch(self, request: Request, bucket: str, name: str) -> Reply:
        """Change the metadata that is in the body."""
        return await self._change(request, bucket, name, keep=True)

    async def update(self, request: Request, bucket: str, name: str) -> Reply:
        """Replace the writable metadata by that in the body."""
        return await self._change(request, bucket, name, keep=False)

    async def delete(self, request: Request, bucket: str, name: str) -> Reply:
        """Delete the live object."""
        self._store.bucket(bucket)
        self._store.access.require(bucket, "storage.objects.delete", item=name)
        generation = request.number("generation")
        record = self._store.find(bucket, name, generation)
        Conditions.of(request.query).check(record)
        check_etag(request.headers, record.etag, changing=True)
        self._store.delete(record, version=generation is not None)
        return Reply(status=204)

    async def restore(self, request: Request, bucket: str, name: str) -> Reply:
        """Make a copy of a soft-deleted object the live one."""
        self._store.bucket(bucket)
        self._store.access.require(bucket, "storage.objects.restore", "storage.objects.create", item=name)
        record = self._deleted(request, bucket, name)
        restored = self._store.put(
            bucket,
            name,
            self._store.files.duplicate(record.place, record.size, record.crc32c, record.md5),
            settings=without_retention(record.settings),
            conditions=Conditions.of(request.query),
            storage_class=record.storage_class,
            components=record.components,
            kms_key=record.kms_key,
            customer_key=record.customer_key,
        )
        return Reply(self._store.resource(restored, request.base_url))

    def _deleted(self, request: Request, bucket: str, name: str) -> ObjectRecord:
        """The soft-deleted object that a request names, or 404."""
        holder = self._store.bucket(bucket).record
        record = self._store.soft_deleted.find(holder, name, request.number("generation"))
        if record is None:
            raise no_such_object(bucket, name)
        return record

    async def _change(self, request: Request, bucket: str, name: str, *, keep: bool) -> Reply:
        resource = checked("Object", await request.resource(), "object")
        self._store.bucket(bucket)
        self._store.access.require(bucket, "storage.objects.update", item=name)
        record = self._store.find(bucket, name, request.number("generation"))
        Conditions.of(request.query).check(record)
        check_etag(request.headers, record.etag, changing=True)
        settings = changed_object_settings(record.settings, resource) if keep else object_settings(resource)
        # Only a rewrite changes the storage class of an object.
        storage_class(resource)
        overriding = request.query.get("overrideUnlockedRetention", "").lower() == "true"
        if overriding:
            self._store.access.require(bucket, "storage.objects.overrideUnlockedRetention", item=name)
        changed = self._store.change(record, settings, overriding=overriding)
        return Reply(self._store.resource(changed, request.base_url))
