"""JSON resources: records in the format for clients, and the fields that clients can write."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from bqdump_local.storage.errors import invalid
from bqdump_local.storage.store.bucket_settings import location_type
from bqdump_local.storage.store.contexts import changed_contexts
from bqdump_local.storage.store.records import rfc3339
from bqdump_local.storage.store.retention import changed_retention, expiration, without_retention

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bqdump_local.storage.store.records import BucketRecord, ObjectRecord

_OBJECT_SETTINGS = frozenset(
    {
        "cacheControl",
        "contentDisposition",
        "contentEncoding",
        "contentLanguage",
        "contentType",
        "contexts",
        "customTime",
        "eventBasedHold",
        "metadata",
        "retention",
        "temporaryHold",
    }
)
_STORAGE_CLASSES = frozenset({"STANDARD", "NEARLINE", "COLDLINE", "ARCHIVE", "REGIONAL", "MULTI_REGIONAL"})
_METADATA_BYTES = 8192


def bucket_etag(record: BucketRecord) -> str:
    """Changes with the metageneration."""
    return f"CA{record.metageneration}="


def bucket_resource(record: BucketRecord, base_url: str) -> dict[str, Any]:
    """A bucket as `storage#bucket`."""
    return {
        "kind": "storage#bucket",
        "id": record.name,
        "selfLink": f"{base_url}/storage/v1/b/{record.name}",
        "projectNumber": "0",
        "name": record.name,
        "generation": str(record.created),
        "metageneration": str(record.metageneration),
        "location": record.location,
        "locationType": location_type(record.location, record.settings),
        "storageClass": record.storage_class,
        "etag": bucket_etag(record),
        "timeCreated": rfc3339(record.created),
        "updated": rfc3339(record.updated),
        **_deletion(record),
        **record.settings,
    }


def object_resource(record: ObjectRecord, base_url: str, bucket: BucketRecord) -> dict[str, Any]:
    """An object as `storage#object`."""
    name = quote(record.name, safe="")
    path = f"{record.bucket}/o/{name}"
    updated = rfc3339(record.updated)
    created = updated if record.created == record.updated else rfc3339(record.created)
    resource: dict[str, Any] = {
        "kind": "storage#object",
        "id": f"{record.bucket}/{record.name}/{record.generation}",
        "selfLink": f"{base_url}/storage/v1/b/{path}",
        "mediaLink": f"{base_url}/download/storage/v1/b/{path}?generation={record.generation}&alt=media",
        "name": record.name,
        "bucket": record.bucket,
        "generation": str(record.generation),
        "metageneration": str(record.metageneration),
        "storageClass": record.storage_class,
        "size": str(record.size),
        "crc32c": record.crc32c,
        "etag": record.etag,
        "timeCreated": created,
        "updated": updated,
        "timeStorageClassUpdated": created,
        "timeFinalized": created,
    }
    if record.deleted is not None:
        resource["timeDeleted"] = rfc3339(record.deleted)
    resource |= _deletion(record)
    if record.md5:
        resource["md5Hash"] = record.md5
    if record.components:
        resource["componentCount"] = record.components
    if record.customer_key:
        resource["customerEncryption"] = {"encryptionAlgorithm": "AES256", "keySha256": record.customer_key}
    if record.kms_key:
        resource["kmsKeyName"] = f"{record.kms_key}/cryptoKeyVersions/1"
    if (until := expiration(record, bucket)) is not None:
        resource["retentionExpirationTime"] = rfc3339(until)
    resource.update(record.settings)
    return resource


def _deletion(record: BucketRecord | ObjectRecord) -> dict[str, str]:
    """When something was deleted, and will be gone."""
    if record.soft_deleted is None or record.hard_deleted is None:
        return {}
    return {"softDeleteTime": rfc3339(record.soft_deleted), "hardDeleteTime": rfc3339(record.hard_deleted)}


def object_settings(resource: Mapping[str, Any]) -> dict[str, Any]:
    """The validated writable fields of a new object."""
    return changed_object_settings({}, resource)


def changed_object_settings(settings: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """Settings after a patch: null removes a field or a metadata key."""
    changed = dict(settings)
    for key in _OBJECT_SETTINGS & patch.keys():
        value = patch[key]
        if key == "metadata" and value is not None:
            value = _merged_metadata(changed.get("metadata") or {}, value)
        if key == "contexts":
            value = changed_contexts(changed.get("contexts"), value)
        if key == "retention":
            value = changed_retention(value)
        if value is None:
            changed.pop(key, None)
        else:
            changed[key] = value
    return changed


def copied_settings(settings: Mapping[str, Any], body: Mapping[str, Any], *, drop_contexts: bool) -> dict[str, Any]:
    """The settings of a copy. A body with metadata replaces all metadata of the source, except for its contexts."""
    contexts = None if drop_contexts else settings.get("contexts")
    if any(body.get(key) is not None for key in _OBJECT_SETTINGS - {"contexts"}):
        copied = object_settings(body)
    else:
        copied = without_retention(settings)
        copied.pop("contexts", None)
    if body.get("contexts"):
        contexts = changed_contexts(None, body["contexts"])
    return {**copied, "contexts": contexts} if contexts else copied


def storage_class(resource: Mapping[str, Any]) -> str | None:
    """The storage class in a resource."""
    value: str | None = resource.get("storageClass")
    if value is not None and value not in _STORAGE_CLASSES:
        raise invalid(f"Invalid storage class: {value}")
    return value


def _merged_metadata(metadata: Mapping[str, str], patch: object) -> dict[str, str] | None:
    if not isinstance(patch, dict) or not all(value is None or isinstance(value, str) for value in patch.values()):
        raise invalid("Custom metadata must map strings to strings.")
    merged = {key: value for key, value in {**metadata, **patch}.items() if value is not None}
    size = sum(len(key.encode()) + len(value.encode()) for key, value in merged.items())
    if size > _METADATA_BYTES:
        raise invalid(f"The total size of custom metadata is {size} bytes, above the limit of {_METADATA_BYTES} bytes.")
    return merged or None
