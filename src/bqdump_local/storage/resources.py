"""JSON resources: records in the format for clients, and the fields that clients can write."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from bqdump_local.storage.errors import ApiError, invalid
from bqdump_local.storage.records import microseconds, rfc3339
from bqdump_local.storage.retention import changed_retention, expiration

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bqdump_local.storage.records import BucketRecord, ObjectRecord

_OBJECT_SETTINGS = frozenset(
    {
        "cacheControl",
        "contentDisposition",
        "contentEncoding",
        "contentLanguage",
        "contentType",
        "customTime",
        "eventBasedHold",
        "metadata",
        "retention",
        "temporaryHold",
    }
)
_BUCKET_SETTINGS = frozenset(
    {
        "autoclass",
        "billing",
        "cors",
        "defaultEventBasedHold",
        "encryption",
        "iamConfiguration",
        "labels",
        "lifecycle",
        "logging",
        "retentionPolicy",
        "rpo",
        "softDeletePolicy",
        "versioning",
        "website",
    }
)
_STORAGE_CLASSES = frozenset({"STANDARD", "NEARLINE", "COLDLINE", "ARCHIVE", "REGIONAL", "MULTI_REGIONAL"})
_METADATA_BYTES = 8192
_WEEK = 604_800


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
        "locationType": _location_type(record.location),
        "storageClass": record.storage_class,
        "etag": bucket_etag(record),
        "timeCreated": rfc3339(record.created),
        "updated": rfc3339(record.updated),
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
        if key == "retention":
            value = changed_retention(value)
        if value is None:
            changed.pop(key, None)
        else:
            changed[key] = value
    return changed


def has_object_settings(resource: Mapping[str, Any]) -> bool:
    """Whether a copy's body sets the metadata of the new object, which otherwise keeps that of its source."""
    return any(resource.get(key) is not None for key in _OBJECT_SETTINGS)


def storage_class(resource: Mapping[str, Any]) -> str | None:
    """The storage class in a resource."""
    value: str | None = resource.get("storageClass")
    if value is not None and value not in _STORAGE_CLASSES:
        raise invalid(f"Invalid storage class: {value}")
    return value


def changed_bucket_settings(settings: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """A bucket's writable fields after a patch, with the effective times that the service adds to policies."""
    changed = dict(settings)
    for key in _BUCKET_SETTINGS & patch.keys():
        value = patch[key]
        if key == "labels" and isinstance(value, dict):
            merged = {**changed.get("labels", {}), **value}
            value = {name: text for name, text in merged.items() if text is not None} or None
        if key in {"retentionPolicy", "softDeletePolicy"} and isinstance(value, dict):
            given = {name: inner for name, inner in value.items() if inner is not None}
            value = {"effectiveTime": rfc3339(microseconds()), **given}
        if value is None:
            changed.pop(key, None)
        else:
            changed[key] = value
    return changed


def check_lock(settings: Mapping[str, Any], changed: dict[str, Any]) -> None:
    """Refuse to remove or shorten a locked retention policy; a longer one stays locked."""
    policy = settings.get("retentionPolicy") or {}
    if not policy.get("isLocked"):
        return
    other = changed.get("retentionPolicy") or {}
    if int(other.get("retentionPeriod", 0)) < int(policy["retentionPeriod"]):
        raise ApiError(403, "A locked retention policy cannot be removed or shortened.")
    changed["retentionPolicy"] = {**other, "isLocked": True}


def new_bucket_settings(resource: Mapping[str, Any]) -> dict[str, Any]:
    """The writable fields of a new bucket, with the service's defaults."""
    defaults = {
        "softDeletePolicy": {"retentionDurationSeconds": str(_WEEK)},
        "iamConfiguration": {
            "bucketPolicyOnly": {"enabled": True},
            "uniformBucketLevelAccess": {"enabled": True},
            "publicAccessPrevention": "inherited",
        },
    }
    return changed_bucket_settings({}, {**defaults, **resource})


def _merged_metadata(metadata: Mapping[str, str], patch: object) -> dict[str, str] | None:
    if not isinstance(patch, dict) or not all(value is None or isinstance(value, str) for value in patch.values()):
        raise invalid("Custom metadata must map strings to strings.")
    merged = {key: value for key, value in {**metadata, **patch}.items() if value is not None}
    size = sum(len(key.encode()) + len(value.encode()) for key, value in merged.items())
    if size > _METADATA_BYTES:
        raise invalid(f"The total size of custom metadata is {size} bytes, above the limit of {_METADATA_BYTES} bytes.")
    return merged or None


def _location_type(location: str) -> str:
    if location in {"US", "EU", "ASIA"}:
        return "multi-region"
    return "region" if "-" in location else "dual-region"
