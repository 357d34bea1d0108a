"""Permissions that the caller is made to lack."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bqdump_local.storage.errors import denied, invalid

if TYPE_CHECKING:
    from collections.abc import Iterable


class Access:
    """Everything is allowed until `deny` says otherwise; `*` stands for every bucket."""

    def __init__(self) -> None:
        self._denied: dict[str, frozenset[str]] = {}

    def deny(self, resource: dict[str, Any]) -> None:
        """Replace what is denied: `{"buckets": {"name": ["storage.objects.create", ...]}}`."""
        buckets = resource.get("buckets", {})
        if not isinstance(buckets, dict) or not all(isinstance(value, list) for value in buckets.values()):
            raise invalid("buckets must map names to lists of permissions")
        self._denied = {name: frozenset(permissions) for name, permissions in buckets.items()}

    def resource(self) -> dict[str, Any]:
        """What is denied now."""
        return {"buckets": {name: sorted(permissions) for name, permissions in self._denied.items()}}

    def allows(self, bucket: str, permission: str) -> bool:
        """Whether the caller has a permission on a bucket and its objects."""
        return not any(permission in self._denied.get(name, ()) for name in (bucket, "*"))

    def require(self, bucket: str, *permissions: str) -> None:
        """Pass, or raise 403 for the first permission that is denied."""
        if self._denied:
            for permission in permissions:
                if not self.allows(bucket, permission):
                    raise denied(permission)

    def granted(self, bucket: str, permissions: Iterable[str]) -> list[str]:
        """Those of the permissions that the caller has."""
        return [permission for permission in permissions if self.allows(bucket, permission)]
