"""Grants on buckets: roles, each with a condition about names if need be. Without any, everything is permitted.

https://cloud.google.com/storage/docs/access-control/iam-roles
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from bqdump_local.access import Access
from bqdump_local.storage.store.conditions import ConditionError, parse

if TYPE_CHECKING:
    from collections.abc import Callable

    from bqdump_local.storage.store.conditions import Condition

ROLES: dict[str, frozenset[str]] = {
    "roles/storage.objectCreator": frozenset({"storage.objects.create"}),
    "roles/storage.objectViewer": frozenset({"storage.objects.get", "storage.objects.list"}),
    "roles/storage.objectUser": frozenset(
        f"storage.objects.{verb}" for verb in ("create", "delete", "get", "list", "move", "update")
    ),
    "roles/storage.legacyBucketReader": frozenset({"storage.buckets.get", "storage.objects.list"}),
}


class _Grant(NamedTuple):
    role: str
    permissions: frozenset[str]
    expression: str
    condition: Condition | None

    def gives(self, permission: str, resource: str) -> bool:
        """Whether it gives this permission on a resource, projects/_/buckets/B or projects/_/buckets/B/objects/O."""
        return permission in self.permissions and (self.condition is None or self.condition(resource))


class BucketAccess(Access):
    """What is denied, and what is granted: on a bucket that `grant` names, nothing else is permitted."""

    def __init__(self, denied: Callable[[str], Exception], invalid: Callable[[str], Exception]) -> None:
        super().__init__("buckets", denied, invalid)
        self._granted: dict[str, list[_Grant]] = {}

    def grant(self, resource: dict[str, Any]) -> None:
        """Replace what is granted: `{"buckets": {"name": [{"role": "roles/…", "condition": "…"}]}}`.

        In place of a role, `permissions` are those of a custom role.
        """
        try:
            self._granted = {
                bucket: [_grant(grant) for grant in grants] for bucket, grants in resource.get("buckets", {}).items()
            }
        except (ConditionError, KeyError, TypeError, AttributeError) as error:
            raise self._invalid(f"a grant has a known role, and a condition that can be evaluated: {error}") from None

    def grants(self) -> dict[str, Any]:
        """What is granted now."""
        return {"buckets": {bucket: [_shown(grant) for grant in grants] for bucket, grants in self._granted.items()}}

    def allows(self, name: str, permission: str, item: str = "") -> bool:
        """Whether the caller has a permission on a bucket, or on the object `item` of it."""
        granted = self._granted.get(name)
        resource = f"projects/_/buckets/{name}{'/objects/' if item else ''}{item}"
        if granted is not None and not any(grant.gives(permission, resource) for grant in granted):
            return False
        return super().allows(name, permission)


def _grant(resource: dict[str, Any]) -> _Grant:
    role, expression = resource.get("role", ""), resource.get("condition", "")
    permissions = frozenset(resource["permissions"]) if "permissions" in resource else ROLES[role]
    return _Grant(role, permissions, expression, parse(expression) if expression else None)


def _shown(grant: _Grant) -> dict[str, Any]:
    what = {"role": grant.role} if grant.role else {"permissions": sorted(grant.permissions)}
    return {**what, "condition": grant.expression}
