"""Permissions that are denied on request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class Access:
    """All permissions are granted unless `deny` names them; `*` stands for every resource.

    kind: the kind of resource ("buckets").
    denied, invalid: the service's errors for a missing permission and for an invalid request.
    """

    def __init__(self, kind: str, denied: Callable[[str], Exception], invalid: Callable[[str], Exception]) -> None:
        self._kind, self._refusal, self._invalid = kind, denied, invalid
        self._denied: dict[str, frozenset[str]] = {}

    def deny(self, resource: dict[str, Any]) -> None:
        """Replace what is denied: `{"buckets": {"name": ["storage.objects.create", ...]}}`."""
        named = resource.get(self._kind, {})
        if not isinstance(named, dict) or not all(isinstance(value, list) for value in named.values()):
            raise self._invalid(f"{self._kind} must map names to lists of permissions")
        self._denied = {name: frozenset(permissions) for name, permissions in named.items()}

    def resource(self) -> dict[str, Any]:
        """The permissions that are denied now."""
        return {self._kind: {name: sorted(permissions) for name, permissions in self._denied.items()}}

    def allows(self, name: str, permission: str, item: str = "") -> bool:
        """Whether the caller has a permission on a resource and its contents, of which `item` is one."""
        return not any(permission in self._denied.get(principal, ()) for principal in (name, "*"))

    def require(self, name: str, *permissions: str, item: str = "") -> None:
        """Raise 403 for the first permission that is denied on a resource, or on this item of its contents."""
        for permission in permissions:
            if not self.allows(name, permission, item):
                raise self._refusal(permission)

    def granted(self, name: str, permissions: Iterable[str]) -> list[str]:
        """The permissions among these that the caller has."""
        return [permission for permission in permissions if self.allows(name, permission)]
