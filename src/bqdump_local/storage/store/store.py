"""The buckets and objects of a server, which change only here.

Nothing here waits: every method runs from its checks to its effect without yielding to the event loop, so that
preconditions have no races.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import msgspec

from bqdump_local.storage.errors import ApiError, denied, invalid, no_such_bucket, no_such_object
from bqdump_local.storage.store.bucket_settings import check_encryption
from bqdump_local.storage.store.catalog import Catalog
from bqdump_local.storage.store.files import Content, Files, State
from bqdump_local.storage.store.grants import BucketAccess
from bqdump_local.storage.store.live import Bucket
from bqdump_local.storage.store.preconditions import NONE, Conditions
from bqdump_local.storage.store.records import BucketRecord, ObjectRecord, microseconds, new_object
from bqdump_local.storage.store.resources import object_resource
from bqdump_local.storage.store.retention import check_change, check_unprotected
from bqdump_local.storage.store.soft_deleted import SoftDeleted
from bqdump_local.storage.store.versions import Versions

if TYPE_CHECKING:
    from pathlib import Path

Settings = dict[str, Any]


class Store:
    """The server's state, without uploads in progress."""

    def __init__(self, root: Path, *, persist: bool) -> None:
        self.files = Files(root)
        self.access = BucketAccess(denied, invalid)
        self.buckets: dict[str, Bucket] = {}
        self._generation = 0
        self._catalog = Catalog(self.files.hidden / "catalog.sqlite") if persist else None
        self.versions = Versions(self.files, self._catalog)
        self.soft_deleted = SoftDeleted(self.files, self._catalog)
        if self._catalog:
            self._reload(self._catalog)

    def bucket(self, name: str) -> Bucket:
        """A bucket, or 404."""
        if (bucket := self.buckets.get(name)) is None:
            raise no_such_bucket()
        return bucket

    def find(self, bucket: str, name: str, generation: int | None = None) -> ObjectRecord:
        """The live object, or 404; with a generation, that version."""
        record = self.look(bucket, name)
        if generation is not None and (record is None or generation != record.generation):
            record = self.versions.find(bucket, name, generation)
        if record is None:
            raise no_such_object(bucket, name)
        return record

    def shown(self, bucket: str, name: str, *, versions: bool) -> list[ObjectRecord]:
        """The live object of a name, or all its versions, oldest first."""
        live = self.buckets[bucket].objects.get(name)
        return [*(self.versions.of(bucket, name) if versions else ()), *([live] if live else ())]

    def look(self, bucket: str, name: str) -> ObjectRecord | None:
        """The live object as its file is now, or a file that was added by hand."""
        holder = self.bucket(bucket)
        record = holder.objects.get(name)
        if record is None:
            place = f"{bucket}/{name}"
            state = self.files.state(place) if self.files.may_be_shown(name) else None
            if state is None or state == holder.foreign.get(name) or not self.files.adopt(place):
                return None
            return self._take_in(bucket, name, place, state, None)
        return self._compare(record, self.files.state(record.place))

    def look_below(self, bucket: str, prefix: str) -> Bucket:
        """The bucket, after updating its objects whose names start with this from their files."""
        holder = self.bucket(bucket)
        shown = self.files.shown(bucket, prefix)
        low = bisect_left(holder.names, prefix)
        high = bisect_right(holder.names, prefix, low, key=lambda name: name[: len(prefix)])
        for name in holder.names[low:high]:
            record, state = holder.objects[name], shown.pop(name, None)
            if state is None or record.place != f"{bucket}/{name}":
                state = self.files.state(record.place)
            self._compare(record, state)
        for name in shown:
            self.look(bucket, name)
        return holder

    def _compare(self, record: ObjectRecord, state: State | None) -> ObjectRecord | None:
        """Compare a record with its file."""
        if state == (record.size, record.changed):
            return record
        if state is None:
            self.buckets[record.bucket].drop(record.name)
            self.files.release(record.place)
            if self._catalog:
                self._catalog.delete_object(record.bucket, record.name)
            return None
        return self._take_in(record.bucket, record.name, record.place, state, record)

    def _take_in(
        self, bucket: str, name: str, place: str, state: State, known: ObjectRecord | None
    ) -> ObjectRecord | None:
        """Make a file the live object, with a new generation if its content has changed."""
        try:
            crc32c, md5 = self.files.checksums(place)
        except OSError:
            # It was removed meanwhile, or cannot be read.
            return None
        # Whole folders are copied and moved, too. CRC32C alone can be forged.
        if known and (known.size, known.crc32c, known.md5) == (state.size, crc32c, md5):
            record = msgspec.structs.replace(known, changed=state.changed)
        else:
            # The metadata describes the old content.
            settings = {key: value for key, value in (known.settings if known else {}).items() if key != "metadata"}
            content = Content(place, state.size, crc32c, md5)
            record = new_object(
                self.buckets[bucket].record,
                name,
                content,
                self._next_generation(),
                place=place,
                settings=settings,
                changed=state.changed,
            )
        self.buckets[bucket].add(record)
        if self._catalog:
            self._catalog.save_object(record)
        return record

    def check_write(self, bucket: str, name: str, conditions: Conditions) -> None:
        """Check that an object of this name can be written now. `put` checks it again."""
        current = self.look(bucket, name)
        conditions.check(current)
        if current:
            self.access.require(bucket, "storage.objects.delete", item=name)
            if not (record := self.bucket(bucket).record).versioned:
                check_unprotected(current, record)

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
        customer_key: str | None = None,
    ) -> ObjectRecord:
        """Create or replace an object, atomically. The content is consumed in any case."""
        try:
            self.check_write(bucket, name, conditions)
            self._check_retention(bucket, {}, settings)
            holder = self.buckets[bucket]
            check_encryption(holder.record.settings, holder.record.key(kms_key), customer_key)
            if holder.record.settings.get("defaultEventBasedHold"):
                # https://cloud.google.com/storage/docs/object-holds#default-holds
                settings = {**settings, "eventBasedHold": True}
            record = new_object(
                holder.record,
                name,
                content,
                self._next_generation(),
                place="",
                settings=settings,
                changed=content.changed,
                storage_class=storage_class,
                components=components,
                kms_key=kms_key,
                customer_key=customer_key,
            )
            self._archive(bucket, name)
            record = self._place(content, record)
        finally:
            content.discard()
        if (previous := holder.objects.get(name)) and previous.place != record.place:
            self.files.remove(previous.place)
        holder.foreign.pop(name, None)
        holder.add(record)
        return record

    def _place(self, content: Content, record: ObjectRecord) -> ObjectRecord:
        """Give a new object its file, so that the next server has both the file and the record, or neither."""
        with self._catalog.placing(record) if self._catalog else nullcontext():
            placed = msgspec.structs.replace(record, place=self.files.place(content, record.bucket, record.name))
            if self._catalog:
                self._catalog.save_object(placed)
        return placed

    def _archive(self, bucket: str, name: str) -> None:
        """Keep the live object of a bucket with versioning or soft delete, which is replaced or deleted."""
        holder = self.buckets[bucket]
        if record := holder.objects.get(name):
            if holder.record.versioned:
                self.versions.archive(msgspec.structs.replace(record, deleted=microseconds()))
            else:
                self.soft_deleted.keep(record, holder.record)

    def delete(self, record: ObjectRecord, *, version: bool = False) -> None:
        """Delete a live object. version: for good, even with object versioning; also a noncurrent version."""
        bucket = self.buckets[record.bucket].record
        if record.deleted is not None or version or not bucket.versioned:
            check_unprotected(record, bucket)
            self.soft_deleted.keep(record, bucket)
            if record.deleted is not None:
                self.versions.remove(record)
                return
        else:
            self._archive(record.bucket, record.name)
        self.buckets[record.bucket].drop(record.name)
        self.files.remove(record.place)
        if self._catalog:
            self._catalog.delete_object(record.bucket, record.name)

    def resource(self, record: ObjectRecord, base_url: str) -> dict[str, Any]:
        """An object in the format for clients."""
        return object_resource(record, base_url, self.buckets[record.bucket].record)

    def change(self, record: ObjectRecord, settings: dict[str, Any], *, overriding: bool = False) -> ObjectRecord:
        """Change the metadata of an object: same generation, next metageneration.

        overriding: a retention that is not locked can be removed or shortened.
        """
        self._check_retention(record.bucket, record.settings, settings, overriding=overriding)
        now = microseconds()
        released = record.settings.get("eventBasedHold") and not settings.get("eventBasedHold")
        changed = msgspec.structs.replace(
            record,
            settings=settings,
            metageneration=record.metageneration + 1,
            updated=now,
            released=now if released else record.released,
        )
        if record.deleted is not None:
            self.versions.put(changed)
            return changed
        self.buckets[record.bucket].add(changed)
        if self._catalog:
            self._catalog.save_object(changed)
        return changed

    def save_bucket(self, record: BucketRecord, *, kept: bool = False) -> Bucket:
        """Create a bucket or change its record. kept: it is an earlier server's, and its files are its objects."""
        if (holder := self.buckets.get(record.name)) is None:
            holder = self.buckets[record.name] = Bucket(record)
            self.files.add_bucket(record.name)
            holder.foreign = {} if kept else self.files.shown(record.name, "")
        holder.record = record
        if self._catalog:
            self._catalog.save_bucket(record)
        return holder

    def delete_bucket(self, name: str) -> None:
        """Delete an empty bucket, or 409."""
        if self.look_below(name, "").objects or self.versions.names(name):
            raise ApiError(409, "The bucket you tried to delete is not empty.")
        self.soft_deleted.keep_bucket(self.buckets.pop(name).record)
        self.files.remove_bucket(name)
        if self._catalog:
            self._catalog.delete_bucket(name)

    def close(self) -> None:
        """Close the catalog, and leave the folder to the next server."""
        if self._catalog:
            self._catalog.close()
        self.files.close()

    def _check_retention(self, bucket: str, before: Settings, after: Settings, *, overriding: bool = False) -> None:
        if after.get("retention") != before.get("retention"):
            self.access.require(bucket, "storage.objects.setRetention")
        check_change(self.buckets[bucket].record, before, after, overriding=overriding)

    def _next_generation(self) -> int:
        self._generation = max(self._generation + 1, microseconds())
        return self._generation

    def _reload(self, catalog: Catalog) -> None:
        for bucket in catalog.buckets():
            if bucket.soft_deleted is None:
                self.save_bucket(bucket, kept=True)
            else:
                self.soft_deleted.add_bucket(bucket)
        catalog.settle(lambda record: self.files.placed(record.bucket, record.name, State(record.size, record.changed)))
        for record in catalog.objects():
            self._generation = max(self._generation, record.generation)
            if record.bucket in self.buckets and self.files.adopt(record.place):
                self.buckets[record.bucket].add(record)
                self.versions.forget(record)
                self.soft_deleted.forget(record, self.buckets[record.bucket].record)
            else:
                # The file was removed by hand.
                catalog.delete_object(record.bucket, record.name)
