"""The fields of buckets that clients can write: what they may contain, and what the service adds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bqdump_local.storage.errors import ApiError, invalid
from bqdump_local.storage.store.records import microseconds, rfc3339
from bqdump_local.storage.store.soft_deleted import check_policy

if TYPE_CHECKING:
    from collections.abc import Mapping

_SETTINGS = frozenset(
    {
        "autoclass",
        "billing",
        "cors",
        "customPlacementConfig",
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
_MULTI_REGIONS = ("US", "EU", "ASIA")
_WEEK = 604_800
_RESTRICTED = "FullyRestricted"
_ENFORCED = {
    "customer-managed": "customerManagedEncryptionEnforcementConfig",
    "customer-supplied": "customerSuppliedEncryptionEnforcementConfig",
    "Google-managed": "googleManagedEncryptionEnforcementConfig",
}


def location_type(location: str, settings: Mapping[str, Any]) -> str:
    """Whether a location is one region, two, or many."""
    if settings.get("customPlacementConfig"):
        return "dual-region"
    if location in _MULTI_REGIONS:
        return "multi-region"
    return "region" if "-" in location else "dual-region"


def changed_bucket_settings(settings: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """A bucket's writable fields after a patch, with the times that the service adds to policies."""
    changed = dict(settings)
    for key in sorted(_SETTINGS & patch.keys()):
        value = patch[key]
        if key == "labels" and isinstance(value, dict):
            merged = {**changed.get("labels", {}), **value}
            value = {name: text for name, text in merged.items() if text is not None} or None
        if key in {"retentionPolicy", "softDeletePolicy"} and isinstance(value, dict):
            policy = {name: inner for name, inner in value.items() if inner is not None}
            value = {"effectiveTime": rfc3339(microseconds()), **policy}
            if key == "softDeletePolicy":
                check_policy(value)
        if key == "encryption" and isinstance(value, dict):
            value = _encryption(changed.get("encryption") or {}, value)
        if key == "autoclass" and isinstance(value, dict):
            value = _autoclass(changed.get("autoclass") or {}, value)
        if key == "iamConfiguration" and isinstance(value, dict):
            _check_prevention(value)
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


def new_bucket_settings(resource: Mapping[str, Any], location: str) -> dict[str, Any]:
    """The writable fields of a new bucket, with the service's defaults."""
    defaults: dict[str, Any] = {
        "softDeletePolicy": {"retentionDurationSeconds": str(_WEEK)},
        "iamConfiguration": {
            "bucketPolicyOnly": {"enabled": True},
            "uniformBucketLevelAccess": {"enabled": True},
            "publicAccessPrevention": "inherited",
        },
    }
    settings = changed_bucket_settings({}, {**defaults, **resource})
    regions = (settings.get("customPlacementConfig") or {}).get("dataLocations")
    if regions is not None and (location not in _MULTI_REGIONS or len(regions) != 2):
        raise invalid("customPlacementConfig.dataLocations needs two regions, in one of the locations US, EU and ASIA.")
    check_replication(location, settings)
    if location_type(location, settings) != "region":
        settings.setdefault("rpo", "DEFAULT")
    return settings


def check_replication(location: str, settings: Mapping[str, Any]) -> None:
    """Turbo replication is between two regions."""
    rpo = settings.get("rpo")
    if rpo not in (None, "DEFAULT", "ASYNC_TURBO"):
        raise invalid(f"Invalid rpo: {rpo}")
    if rpo == "ASYNC_TURBO" and location_type(location, settings) != "dual-region":
        raise invalid(f"The rpo ASYNC_TURBO needs a bucket in two regions, and this one is in {location}.")


def _autoclass(before: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """https://cloud.google.com/storage/docs/autoclass"""
    now = rfc3339(microseconds())
    enabled = bool(patch.get("enabled"))
    class_ = patch.get("terminalStorageClass") or ("NEARLINE" if enabled else None)
    if class_ not in (None, "NEARLINE", "ARCHIVE"):
        raise invalid(f"Invalid terminal storage class: {class_}")
    toggled = now if enabled != bool(before.get("enabled")) else before.get("toggleTime", now)
    changed: dict[str, Any] = {"enabled": enabled, "toggleTime": toggled}
    if enabled:
        same = class_ == before.get("terminalStorageClass")
        updated = before.get("terminalStorageClassUpdateTime", now) if same else now
        changed |= {"terminalStorageClass": class_, "terminalStorageClassUpdateTime": updated}
    return changed


def check_encryption(settings: Mapping[str, Any], kms_key: str | None, customer_key: str | None) -> None:
    """Refuse a new object whose kind of encryption the bucket excludes."""
    kind = "customer-supplied" if customer_key else "customer-managed" if kms_key else "Google-managed"
    config = (settings.get("encryption") or {}).get(_ENFORCED[kind]) or {}
    if config.get("restrictionMode") == _RESTRICTED:
        raise ApiError(412, f"The bucket does not allow new objects with {kind} encryption.")


def _encryption(before: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any] | None:
    """The bucket's key, and the kinds of encryption that it excludes."""
    changed = {**before, **patch}
    for key, config in patch.items():
        if isinstance(config, dict):
            mode = config.get("restrictionMode", "NotRestricted")
            if mode not in ("NotRestricted", _RESTRICTED):
                raise invalid(f"Invalid restrictionMode: {mode}")
            since = {"effectiveTime": rfc3339(microseconds())} if mode == _RESTRICTED else {}
            changed[key] = {"restrictionMode": mode, **since}
    return {key: value for key, value in changed.items() if value is not None} or None


def _check_prevention(value: Mapping[str, Any]) -> None:
    prevention = value.get("publicAccessPrevention")
    if prevention not in (None, "inherited", "unspecified", "enforced"):
        raise invalid(f"Invalid publicAccessPrevention: {prevention}")
