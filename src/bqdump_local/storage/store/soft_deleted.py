"""Objects and buckets that were deleted and can be restored for a time.

Source: https://cloud.google.com/storage/docs/soft-delete
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from bqdump_local.storage.errors import ApiError, invalid
from bqdump_local.storage.store.records import BucketRecord, ObjectRecord, microseconds
from bqdump_local.storage.store.versions import Versions

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bqdump_local.storage.store.catalog import Catalog
    from bqdump_local.storage.store.files import Files

_SHORTEST, _LONGEST = 604_800, 7_776_000


def check_policy(policy: dict[str, Any]) -> None:
    """Refuse a duration that the service does not have."""
    seconds = str(policy.get("retentionDurationSeconds", "0"))
    if not seconds.isdigit() or not (int(seconds) == 0 or _SHORTEST <= int(seconds) <= _LONGEST):
        message = f"softDeletePolicy.retentionDurationSeconds must be 0 or from {_SHORTEST} to {_LONGEST}: {seconds}"
        raise invalid(message)


class SoftDeleted:
    """What was deleted, until its time is over.

    Objects belong to one generation of their bucket: a new bucket of the same name does not have them.
    """

    def __init__(self, files: Files, catalog: Catalog | None) -> None:
        self._catalog = catalog
        self._objects = Versions(files, catalog, "soft_deleted")
        self._buckets: dict[tuple[str, int], BucketRecord] = {}

    def keep(self, record: ObjectRecord, bucket: BucketRecord) -> None:
        """Keep an object that is about to be deleted, if the bucket's policy says so."""
        if not bucket.soft_delete_seconds:
            return
        now = microseconds()
        self._objects.archive(
            msgspec.structs.replace(
                record,
                bucket=_identity(bucket),
                soft_deleted=now,
                hard_deleted=now + bucket.soft_delete_seconds * 1_000_000,
            )
        )

    def forget(self, live: ObjectRecord, bucket: BucketRecord) -> None:
        """Forget an object that is live."""
        self._objects.forget(msgspec.structs.replace(live, bucket=_identity(bucket)))

    def names(self, bucket: BucketRecord) -> Iterable[str]:
        """The names of a bucket's soft-deleted objects."""
        return [name for name in list(self._objects.names(_identity(bucket))) if self.of(bucket, name)]

    def of(self, bucket: BucketRecord, name: str) -> list[ObjectRecord]:
        """The soft-deleted objects of one name, oldest first."""
        kept = []
        for record in self._objects.of(_identity(bucket), name):
            if _over(record):
                self._objects.remove(record)
            else:
                kept.append(msgspec.structs.replace(record, bucket=bucket.name))
        return kept

    def find(self, bucket: BucketRecord, name: str, generation: int | None) -> ObjectRecord | None:
        """The soft-deleted object with this generation, which must be given."""
        if generation is None:
            raise invalid("Required parameter: generation", reason="required")
        return next((record for record in self.of(bucket, name) if record.generation == generation), None)

    def keep_bucket(self, record: BucketRecord) -> None:
        """Keep a bucket that is deleted, if its policy says so; if not, its soft-deleted objects are gone, too."""
        if not record.soft_delete_seconds:
            for name in list(self._objects.names(_identity(record))):
                for kept in self._objects.of(_identity(record), name):
                    self._objects.remove(kept)
            return
        now = microseconds()
        until = now + record.soft_delete_seconds * 1_000_000
        self.add_bucket(msgspec.structs.replace(record, soft_deleted=now, hard_deleted=until))

    def add_bucket(self, record: BucketRecord) -> None:
        """Take a deleted bucket in."""
        self._buckets[record.name, record.created] = record
        if self._catalog:
            self._catalog.save_bucket(record, _identity(record))

    def buckets(self) -> list[BucketRecord]:
        """All deleted buckets, by name and age."""
        return [record for _, record in sorted(self._buckets.items()) if not _over(record)]

    def bucket(self, name: str, generation: int | None) -> BucketRecord:
        """The deleted bucket with this generation, which must be given; or 404."""
        if generation is None:
            raise invalid("Required parameter: generation", reason="required")
        record = self._buckets.get((name, generation))
        if record is None or _over(record):
            raise ApiError(404, "The specified bucket does not exist.")
        return record

    def take_bucket(self, record: BucketRecord) -> BucketRecord:
        """A bucket as it was before it was deleted. It is no longer among the deleted ones."""
        del self._buckets[record.name, record.created]
        if self._catalog:
            self._catalog.delete_bucket(_identity(record))
        return msgspec.structs.replace(record, soft_deleted=None, hard_deleted=None)


def _identity(bucket: BucketRecord) -> str:
    return f"{bucket.name}#{bucket.created}"


def _over(record: BucketRecord | ObjectRecord) -> bool:
    return record.hard_deleted is not None and record.hard_deleted <= microseconds()
