"""The server's records of buckets and objects, which are immutable."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from bqdump_local import clock

if TYPE_CHECKING:
    from bqdump_local.storage.store.files import Content


class BucketRecord(msgspec.Struct, frozen=True):
    """One bucket. settings: the fields that clients can write, as they wrote them."""

    name: str
    created: int
    updated: int
    metageneration: int
    location: str
    storage_class: str
    settings: dict[str, Any]
    # When the bucket was deleted, and will be gone.
    soft_deleted: int | None = None
    hard_deleted: int | None = None

    @property
    def soft_delete_seconds(self) -> int:
        """How long deleted objects can be restored; 0 for not at all."""
        policy = self.settings.get("softDeletePolicy") or {}
        return int(policy.get("retentionDurationSeconds", 0))

    def key(self, requested: str | None) -> str | None:
        """The key of a new object: the requested one, else the bucket's."""
        encryption = self.settings.get("encryption") or {}
        return requested or encryption.get("defaultKmsKeyName")

    @property
    def autoclass(self) -> bool:
        """Whether the service chooses the storage class of objects."""
        return bool((self.settings.get("autoclass") or {}).get("enabled"))

    @property
    def versioned(self) -> bool:
        """Whether replaced and deleted objects stay as noncurrent versions."""
        return bool((self.settings.get("versioning") or {}).get("enabled"))

    @property
    def retention_seconds(self) -> int:
        """How long objects cannot be deleted or overwritten; 0 without a policy."""
        policy = self.settings.get("retentionPolicy") or {}
        return int(policy.get("retentionPeriod", 0))

    @property
    def object_retention(self) -> bool:
        """Whether single objects can be retained."""
        return bool(self.settings.get("objectRetention"))


class ObjectRecord(msgspec.Struct, frozen=True):
    """One object. Times are microseconds since 1970. place: its file, relative to the root.

    changed: the file's modification time in nanoseconds. If it or the size differs, the file is read again.
    """

    bucket: str
    name: str
    generation: int
    metageneration: int
    size: int
    crc32c: str
    md5: str | None
    created: int
    updated: int
    storage_class: str
    place: str
    settings: dict[str, Any]
    components: int | None = None
    kms_key: str | None = None
    changed: int = 0
    # When the object was replaced or deleted, of a noncurrent version.
    deleted: int | None = None
    # The base64 SHA-256 of the key that the client has supplied.
    customer_key: str | None = None
    # When an event-based hold was released.
    released: int | None = None
    # When the object was deleted for good, and will be gone.
    soft_deleted: int | None = None
    hard_deleted: int | None = None

    @property
    def etag(self) -> str:
        """Changes with generation and metageneration."""
        data = b"\x08" + _varint(self.generation) + b"\x10" + _varint(self.metageneration)
        return base64.b64encode(data).decode()

    @property
    def content_encoding(self) -> str | None:
        """The content encoding that the writer declared."""
        encoding: str | None = self.settings.get("contentEncoding")
        return encoding


def new_object(
    bucket: BucketRecord,
    name: str,
    content: Content,
    generation: int,
    *,
    place: str,
    settings: dict[str, Any],
    changed: int,
    storage_class: str | None = None,
    components: int | None = None,
    kms_key: str | None = None,
    customer_key: str | None = None,
) -> ObjectRecord:
    """The record of an object that is created now."""
    now = microseconds()
    return ObjectRecord(
        bucket=bucket.name,
        name=name,
        generation=generation,
        metageneration=1,
        size=content.size,
        crc32c=content.crc32c,
        md5=content.md5,
        created=now,
        updated=now,
        # Autoclass starts each object in this class, whatever the request says.
        storage_class="STANDARD" if bucket.autoclass else storage_class or bucket.storage_class,
        place=place,
        settings=settings,
        components=components,
        kms_key=None if customer_key else bucket.key(kms_key),
        customer_key=customer_key,
        changed=changed,
    )


def microseconds() -> int:
    """The current time, in microseconds since 1970."""
    return clock.now_ns() // 1000


def rfc3339(moment: int) -> str:
    """A time in the service's format."""
    text = datetime.fromtimestamp(moment / 1_000_000, UTC).isoformat(timespec="milliseconds")
    return text.removesuffix("+00:00") + "Z"


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
