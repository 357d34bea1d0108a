"""Objects that are no longer live: noncurrent versions, in buckets with object versioning, and soft-deleted ones.

Source: https://cloud.google.com/storage/docs/object-versioning
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bqdump_local.storage.store.catalog import Catalog
    from bqdump_local.storage.store.files import Files
    from bqdump_local.storage.store.records import ObjectRecord


class Versions:
    """Objects that are no longer live, of all buckets. They outlive the server like live objects.

    table: the catalog's table of them.
    """

    def __init__(self, files: Files, catalog: Catalog | None, table: str = "versions") -> None:
        self._files, self._catalog, self._table = files, catalog, table
        self._kept: dict[str, dict[str, dict[int, ObjectRecord]]] = {}
        for record in catalog.versions(table) if catalog else ():
            self._add(record)

    def archive(self, record: ObjectRecord) -> None:
        """Keep an object whose file is about to be replaced or deleted."""
        identity = f"{self._table}/{record.bucket}/{record.name}#{record.generation}"
        self.put(msgspec.structs.replace(record, place=self._files.archive(record.place, identity)))

    def put(self, record: ObjectRecord) -> None:
        """Store one, or its changed metadata."""
        self._add(record)
        if self._catalog:
            self._catalog.save_version(self._table, record)

    def find(self, bucket: str, name: str, generation: int) -> ObjectRecord | None:
        """The one with this generation."""
        return self._kept.get(bucket, {}).get(name, {}).get(generation)

    def of(self, bucket: str, name: str) -> list[ObjectRecord]:
        """Those of one name, oldest first."""
        return [record for _, record in sorted(self._kept.get(bucket, {}).get(name, {}).items())]

    def names(self, bucket: str) -> Iterable[str]:
        """The names of a bucket that have some."""
        return self._kept.get(bucket, {}).keys()

    def remove(self, record: ObjectRecord) -> None:
        """Delete one for good."""
        below = self._kept[record.bucket]
        del below[record.name][record.generation]
        if not below[record.name]:
            del below[record.name]
        self._files.remove(record.place)
        if self._catalog:
            self._catalog.delete_version(self._table, record)

    def forget(self, live: ObjectRecord) -> None:
        """Forget an object that is live: the server ended between keeping and replacing or deleting it."""
        if kept := self.find(live.bucket, live.name, live.generation):
            self.remove(kept)

    def _add(self, record: ObjectRecord) -> None:
        self._kept.setdefault(record.bucket, {}).setdefault(record.name, {})[record.generation] = record
