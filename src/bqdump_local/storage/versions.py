"""Noncurrent versions of objects, in buckets with object versioning.

Source: https://cloud.google.com/storage/docs/object-versioning
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bqdump_local.storage.catalog import Catalog
    from bqdump_local.storage.files import Files
    from bqdump_local.storage.records import ObjectRecord


class Versions:
    """The noncurrent versions of all buckets, which outlive the server like live objects."""

    def __init__(self, files: Files, catalog: Catalog | None) -> None:
        self._files, self._catalog = files, catalog
        self._kept: dict[str, dict[str, dict[int, ObjectRecord]]] = {}
        for record in catalog.versions() if catalog else ():
            self._add(record)

    def archive(self, record: ObjectRecord, now: int) -> None:
        """Keep a live object, which is about to be replaced or deleted, as a noncurrent version."""
        place = self._files.archive(record.place, f"{record.bucket}/{record.name}#{record.generation}")
        self.put(msgspec.structs.replace(record, place=place, deleted=now))

    def put(self, record: ObjectRecord) -> None:
        """Store a noncurrent version, or its changed metadata."""
        self._add(record)
        if self._catalog:
            self._catalog.save_version(record)

    def find(self, bucket: str, name: str, generation: int) -> ObjectRecord | None:
        """The noncurrent version with this generation."""
        return self._kept.get(bucket, {}).get(name, {}).get(generation)

    def of(self, bucket: str, name: str) -> list[ObjectRecord]:
        """The noncurrent versions of one object, oldest first."""
        return [record for _, record in sorted(self._kept.get(bucket, {}).get(name, {}).items())]

    def names(self, bucket: str) -> Iterable[str]:
        """The names of objects with noncurrent versions."""
        return self._kept.get(bucket, {}).keys()

    def remove(self, record: ObjectRecord) -> None:
        """Delete a noncurrent version for good."""
        below = self._kept[record.bucket]
        del below[record.name][record.generation]
        if not below[record.name]:
            del below[record.name]
        self._files.remove(record.place)
        if self._catalog:
            self._catalog.delete_version(record)

    def _add(self, record: ObjectRecord) -> None:
        self._kept.setdefault(record.bucket, {}).setdefault(record.name, {})[record.generation] = record
