"""The live objects of a bucket."""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bqdump_local.storage.store.files import State
    from bqdump_local.storage.store.records import BucketRecord, ObjectRecord


class Bucket:
    """A bucket's record and its live objects, with their sorted names.

    foreign: files that were in the folder before the bucket was created, by name. They are not objects until they are
    changed.
    """

    def __init__(self, record: BucketRecord) -> None:
        self.record = record
        self.objects: dict[str, ObjectRecord] = {}
        self.names: list[str] = []
        self.foreign: dict[str, State] = {}

    def add(self, record: ObjectRecord) -> None:
        """Make a record the live object of its name."""
        if record.name not in self.objects:
            # Strings are ordered by code point, like the UTF-8 bytes that the service sorts by.
            insort(self.names, record.name)
        self.objects[record.name] = record

    def drop(self, name: str) -> None:
        """Remove a name."""
        del self.objects[name]
        del self.names[bisect_left(self.names, name)]
