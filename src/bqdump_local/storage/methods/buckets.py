"""The methods of buckets."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Any

import msgspec

from bqdump_local.storage.api_fields import checked
from bqdump_local.storage.errors import ApiError, invalid
from bqdump_local.storage.methods.listing import page_size
from bqdump_local.storage.names import check_bucket_name
from bqdump_local.storage.store.bucket_settings import (
    changed_bucket_settings,
    check_lock,
    check_replication,
    new_bucket_settings,
)
from bqdump_local.storage.store.preconditions import Conditions, check_etag
from bqdump_local.storage.store.records import BucketRecord, microseconds
from bqdump_local.storage.store.resources import bucket_etag, bucket_resource, storage_class
from bqdump_local.storage.wire import Reply, Request

if TYPE_CHECKING:
    from bqdump_local.storage.store.store import Store


# What an update keeps, since clients cannot write it.
_NOT_WRITABLE = ("customPlacementConfig", "objectRetention")


class BucketMethods:
    """`storage.buckets.*`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def insert(self, request: Request) -> Reply:
        """Create a bucket; 409 if it exists."""
        resource = checked("Bucket", await request.resource(), "bucket")
        name = resource.get("name", "")
        if not isinstance(name, str) or not name:
            raise invalid("Required parameter: name", reason="required")
        check_bucket_name(name)
        self._store.access.require(name, "storage.buckets.create")
        if name in self._store.buckets:
            raise ApiError(409, "Your previous request to create the named bucket succeeded and you already own it.")
        location = str(resource.get("location") or "US").upper()
        settings = new_bucket_settings(resource, location)
        if request.query.get("enableObjectRetention", "").lower() == "true":
            settings["objectRetention"] = {"mode": "Enabled"}
        now = microseconds()
        record = BucketRecord(
            name=name,
            created=now,
            updated=now,
            metageneration=1,
            location=location,
            storage_class=storage_class(resource) or "STANDARD",
            settings=settings,
        )
        self._store.save_bucket(record)
        return Reply(bucket_resource(record, request.base_url))

    async def lock(self, request: Request, bucket: str) -> Reply:
        """Lock the retention policy, which then can only be lengthened."""
        record = self._store.bucket(bucket).record
        self._store.access.require(bucket, "storage.buckets.update")
        if "ifMetagenerationMatch" not in request.query:
            raise invalid("Required parameter: ifMetagenerationMatch", reason="required")
        Conditions.of(request.query).check_bucket(record.metageneration)
        policy = record.settings.get("retentionPolicy")
        if not policy:
            raise invalid("The bucket has no retention policy to lock.")
        settings = {**record.settings, "retentionPolicy": {**policy, "isLocked": True}}
        changed = msgspec.structs.replace(
            record, settings=settings, metageneration=record.metageneration + 1, updated=microseconds()
        )
        self._store.save_bucket(changed)
        return Reply(bucket_resource(changed, request.base_url))

    async def restore(self, request: Request, bucket: str) -> Reply:
        """Make a soft-deleted bucket exist again. Its objects must be restored one by one."""
        self._store.access.require(bucket, "storage.buckets.restore")
        record = self._store.soft_deleted.bucket(bucket, request.number("generation"))
        if bucket in self._store.buckets:
            raise ApiError(409, f"A bucket named {bucket} exists.")
        restored = self._store.soft_deleted.take_bucket(record)
        self._store.save_bucket(restored)
        return Reply(bucket_resource(restored, request.base_url))

    async def get(self, request: Request, bucket: str) -> Reply:
        """Read a bucket."""
        if request.query.get("softDeleted", "").lower() == "true":
            self._store.access.require(bucket, "storage.buckets.get")
            deleted = self._store.soft_deleted.bucket(bucket, request.number("generation"))
            return Reply(bucket_resource(deleted, request.base_url))
        record = self._store.bucket(bucket).record
        self._store.access.require(bucket, "storage.buckets.get")
        Conditions.of(request.query).check_bucket(record.metageneration)
        check_etag(request.headers, bucket_etag(record))
        return Reply(bucket_resource(record, request.base_url))

    async def list(self, request: Request) -> Reply:
        """List the buckets by name; every project lists all of them."""
        prefix, token = request.query.get("prefix", ""), request.query.get("pageToken", "")
        if request.query.get("softDeleted", "").lower() == "true":
            kept = {f"{record.name}#{record.created}": record for record in self._store.soft_deleted.buckets()}
        else:
            kept = {name: holder.record for name, holder in self._store.buckets.items()}
        names = sorted(name for name in kept if name.startswith(prefix))
        start = bisect_right(names, token) if token else 0
        size = page_size(request.query)
        page = names[start : start + size]
        resource: dict[str, Any] = {"kind": "storage#buckets"}
        if start + size < len(names):
            resource["nextPageToken"] = page[-1]
        if page:
            resource["items"] = [bucket_resource(kept[name], request.base_url) for name in page]
        return Reply(resource)

    async def delete(self, request: Request, bucket: str) -> Reply:
        """Delete an empty bucket."""
        record = self._store.bucket(bucket).record
        self._store.access.require(bucket, "storage.buckets.delete")
        Conditions.of(request.query).check_bucket(record.metageneration)
        check_etag(request.headers, bucket_etag(record), changing=True)
        self._store.delete_bucket(bucket)
        return Reply(status=204)

    async def patch(self, request: Request, bucket: str) -> Reply:
        """Change the fields that are in the body."""
        return await self._change(request, bucket, keep=True)

    async def update(self, request: Request, bucket: str) -> Reply:
        """Replace the writable fields by those in the body."""
        return await self._change(request, bucket, keep=False)

    async def test_permissions(self, request: Request, bucket: str) -> Reply:
        """The requested permissions that the caller has."""
        self._store.bucket(bucket)
        permissions = [value for key, value in request.pairs if key == "permissions"]
        resource: dict[str, Any] = {"kind": "storage#testIamPermissionsResponse"}
        if granted := self._store.access.granted(bucket, permissions):
            resource["permissions"] = granted
        return Reply(resource)

    async def service_account(self, _request: Request, project: str) -> Reply:
        """The service account that a project's buckets use."""
        email = f"{project}@gs-project-accounts.iam.gserviceaccount.com"
        return Reply({"kind": "storage#serviceAccount", "email_address": email})

    async def _change(self, request: Request, bucket: str, *, keep: bool) -> Reply:
        resource = checked("Bucket", await request.resource(), "bucket")
        record = self._store.bucket(bucket).record
        self._store.access.require(bucket, "storage.buckets.update")
        Conditions.of(request.query).check_bucket(record.metageneration)
        check_etag(request.headers, bucket_etag(record), changing=True)
        kept = {key: value for key, value in record.settings.items() if key in _NOT_WRITABLE}
        settings = changed_bucket_settings(record.settings if keep else kept, resource)
        check_lock(record.settings, settings)
        check_replication(record.location, settings)
        changed = msgspec.structs.replace(
            record,
            settings=settings,
            storage_class=storage_class(resource) or record.storage_class,
            metageneration=record.metageneration + 1,
            updated=microseconds(),
        )
        self._store.save_bucket(changed)
        return Reply(bucket_resource(changed, request.base_url))
