"""The buckets and objects of a server, and the one place where they change.

Nothing here waits: every method runs from its checks to its effect without giving up the event loop, which is what
makes preconditions free of races.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import TYPE_CHECKING, Any

import msgspec

from bqdump_local.access import Access
from bqdump_local.storage.catalog import Catalog
from bqdump_local.storage.errors import ApiError, denied, invalid, no_such_bucket, no_such_object, retained
from bqdump_local.storage.files import Content, Files
from bqdump_local.storage.preconditions import NONE, Conditions
from bqdump_local.storage.records import BucketRecord, ObjectRecord, microseconds, rfc3339
from bqdump_local.storage.resources import object_resource

if TYPE_CHECKING:
    from pathlib import Path


class Bucket:
    """A bucket's record and its live objects, with their names in order."""

    def __init__(self, record: BucketRecord) -> None:
        self.record = record
        self.objects: dict[str, ObjectRecord] = {}
        self.names: list[str] = []

    def add(self, record: ObjectRecord) -> None:
        """Make a record the live one of its name."""
        if record.name not in self.objects:
            # Text compares by code point, which is the order of the UTF-8 bytes that the service sorts by.
            insort(self.names, record.name)
        self.objects[record.name] = record

    def drop(self, name: str) -> None:
        """Forget a name."""
        del self.objects[name]
        del self.names[bisect_left(self.names, name)]


class Store:
    """All state of the server but uploads in progress."""

    def __init__(self, root: Path, *, persist: bool) -> None:
        self.files = Files(root)
        self.access = Access("buckets", denied, invalid)
        self.buckets: dict[str, Bucket] = {}
        self._generation = 0
        self._catalog = Catalog(self.files.hidden / "catalog.sqlite") if persist else None
        if self._catalog:
            self._reload(self._catalog)

    def bucket(self, name: str) -> Bucket:
        """A bucket, or 404."""
        try:
            return self.buckets[name]
        except KeyError:
            raise no_such_bucket() from None

    def find(self, bucket: str, name: str, generation: int | None = None) -> ObjectRecord:
        """The live object, or 404; with a generation, only if it is the live one."""
        record = self.bucket(bucket).objects.get(name)
        if record is None or (generation is not None and generation != record.generation):
            raise no_such_object(bucket, name)
        return record

    def check_write(self, bucket: str, name: str, conditions: Conditions) -> None:
        """Pass if an object of this name may be written now, as `put` will check again."""
        holder = self.bucket(bucket)
        current = holder.objects.get(name)
        conditions.check(current)
        if current:
            self.access.require(bucket, "storage.objects.delete")
            self.check_unprotected(current)

    def put(
        self,
        bucket: str,
        name: str,
        content: Content,
        *,
        settings: dict[str, Any],
        conditions: Conditions = NONE,
        storage_class: str | None = None,
        components: int | None = None,
        kms_key: str | None = None,
    ) -> ObjectRecord:
        """Create or replace an object, whole or not at all; the content is used up either way."""
        try:
            self.check_write(bucket, name, conditions)
            holder = self.buckets[bucket]
            place = self.files.place(content, bucket, name)
        finally:
            content.discard()
        previous = holder.objects.get(name)
        if previous and previous.place != place:
            self.files.remove(previous.place)
        now = microseconds()
        if holder.record.settings.get("defaultEventBasedHold"):
            # https://cloud.google.com/storage/docs/object-holds#default-holds
            settings = {**settings, "eventBasedHold": True}
        record = ObjectRecord(
            bucket=bucket,
            name=name,
            generation=self._next_generation(now),
            metageneration=1,
            size=content.size,
            crc32c=content.crc32c,
            md5=content.md5,
            created=now,
            updated=now,
            storage_class=storage_class or holder.record.storage_class,
            place=place,
            settings=settings,
            components=components,
            kms_key=self.key_of(bucket, kms_key),
        )
        holder.add(record)
        if self._catalog:
            self._catalog.save_object(record)
        return record

    def key_of(self, bucket: str, asked: str | None) -> str | None:
        """The key that a new object gets: the one asked for, else the bucket's own."""
        encryption = self.bucket(bucket).record.settings.get("encryption") or {}
        return asked or encryption.get("defaultKmsKeyName")

    def delete(self, record: ObjectRecord) -> None:
        """Delete a live object."""
        self.check_unprotected(record)
        self.buckets[record.bucket].drop(record.name)
        self.files.remove(record.place)
        if self._catalog:
            self._catalog.delete_object(record.bucket, record.name)

    def resource(self, record: ObjectRecord, base_url: str) -> dict[str, Any]:
        """An object as clients read it."""
        return object_resource(record, base_url, self.buckets[record.bucket].record.retention_seconds)

    def change(self, record: ObjectRecord, settings: dict[str, Any]) -> ObjectRecord:
        """Give a live object other metadata: the same generation, the next metageneration."""
        changed = msgspec.structs.replace(
            record,
            settings=settings,
            metageneration=record.metageneration + 1,
            updated=microseconds(),
        )
        self.buckets[record.bucket].add(changed)
        if self._catalog:
            self._catalog.save_object(changed)
        return changed

    def save_bucket(self, record: BucketRecord) -> Bucket:
        """Create a bucket or change its record."""
        holder = self.buckets.get(record.name)
        if holder is None:
            holder = self.buckets[record.name] = Bucket(record)
            self.files.add_bucket(record.name)
        holder.record = record
        if self._catalog:
            self._catalog.save_bucket(record)
        return holder

    def delete_bucket(self, name: str) -> None:
        """Delete an empty bucket, or 409."""
        if self.bucket(name).objects:
            raise ApiError(409, "The bucket you tried to delete is not empty.")
        del self.buckets[name]
        self.files.remove_bucket(name)
        if self._catalog:
            self._catalog.delete_bucket(name)

    def close(self) -> None:
        """Close the catalog."""
        if self._catalog:
            self._catalog.close()

    def check_unprotected(self, record: ObjectRecord) -> None:
        """Pass, or 403 if a hold or the bucket's retention policy keeps an object as it is."""
        if record.settings.get("temporaryHold") or record.settings.get("eventBasedHold"):
            message = (
                f"Object '{record.bucket}/{record.name}' is under active hold and cannot be deleted or overwritten."
            )
            raise ApiError(403, message, reason="objectUnderActiveHold")
        seconds = self.buckets[record.bucket].record.retention_seconds
        if seconds and microseconds() < (until := record.created + seconds * 1_000_000):
            raise retained(record.bucket, record.name, rfc3339(until))

    def _next_generation(self, now: int) -> int:
        self._generation = max(self._generation + 1, now)
        return self._generation

    def _reload(self, catalog: Catalog) -> None:
        for bucket in catalog.buckets():
            self.save_bucket(bucket)
        for record in catalog.objects():
            self._generation = max(self._generation, record.generation)
            if record.bucket in self.buckets and self.files.adopt(record.place, record.size):
                self.buckets[record.bucket].add(record)
            else:
                # Somebody removed or changed the file by hand.
                catalog.delete_object(record.bucket, record.name)
