"""The methods of objects that do not copy bytes: get, list, patch, update, delete."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bqdump_local.storage import customer_key
from bqdump_local.storage.api_fields import checked
from bqdump_local.storage.downloads import download
from bqdump_local.storage.listing import list_page
from bqdump_local.storage.preconditions import Conditions, check_etag
from bqdump_local.storage.resources import changed_object_settings, object_resource, object_settings, storage_class
from bqdump_local.storage.wire import Reply, Request

if TYPE_CHECKING:
    from bqdump_local.storage.store import Store


class ObjectMethods:
    """`storage.objects.*`, without uploads and copies."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def get(self, request: Request, bucket: str, name: str) -> Reply:
        """Read an object's metadata, or its bytes with `alt=media`."""
        self._store.bucket(bucket)
        self._store.access.require(bucket, "storage.objects.get", item=name)
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
        """List live objects, or all versions. There are no soft-deleted objects."""
        holder = self._store.bucket(bucket)
        self._store.access.require(bucket, "storage.objects.list")
        resource: dict[str, Any] = {"kind": "storage#objects"}
        if request.query.get("softDeleted") == "true":
            return Reply(resource)
        if not request.query.get("pageToken"):
            # Later pages continue from the state of this one.
            self._store.look_below(bucket, request.query.get("prefix", ""))
        every = request.query.get("versions", "").lower() == "true"
        names = sorted({*holder.names, *self._store.versions.names(bucket)}) if every else holder.names
        page = list_page(names, request.query)
        if page.token:
            resource["nextPageToken"] = page.token
        if page.prefixes:
            resource["prefixes"] = page.prefixes
        if page.names:
            shown = [version for name in page.names for version in self._store.shown(bucket, name, versions=every)]
            resource["items"] = [object_resource(record, request.base_url, holder.record) for record in shown]
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
            self._store.access.require(bucket, "storage.objects.overrideUnlockedRetention")
        changed = self._store.change(record, settings, overriding=overriding)
        return Reply(self._store.resource(changed, request.base_url))
