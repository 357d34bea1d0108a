"""Object contexts: keys and values of an object that listings can filter by.

Source: https://cloud.google.com/storage/docs/object-contexts
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from bqdump_local.storage.errors import invalid
from bqdump_local.storage.store.records import microseconds, rfc3339

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bqdump_local.storage.store.records import ObjectRecord

_MOST = 50
_FILTER = re.compile(r'(?P<absent>-?)contexts\."(?P<key>[^"]+)"(?:="(?P<value>[^"]*)"|(?P<any>:\*))')


def changed_contexts(before: Mapping[str, Any] | None, patch: Any) -> dict[str, Any] | None:
    """Contexts after a patch: null removes a context, or all."""
    custom = patch.get("custom") if isinstance(patch, dict) else None
    if custom is None:
        return None
    known = dict((before or {}).get("custom") or {})
    now = rfc3339(microseconds())
    for key, payload in custom.items():
        value = (payload or {}).get("value")
        if value is None:
            known.pop(key, None)
        elif not (isinstance(value, str) and 0 < len(value.encode()) <= 256 and 0 < len(key.encode()) <= 256):
            raise invalid(f"The key and the value of an object context must have 1 to 256 bytes: {key}")
        elif known.get(key, {}).get("value") != value:
            known[key] = {"value": value, "createTime": known.get(key, {}).get("createTime", now), "updateTime": now}
    if len(known) > _MOST:
        raise invalid(f"An object can have at most {_MOST} contexts, and this one would have {len(known)}.")
    return {"custom": known} if known else None


def selected(text: str | None) -> Callable[[ObjectRecord], bool]:
    """What a listing's filter selects: objects with a context, with a value of it, or those without."""
    if not text:
        return lambda _: True
    match = _FILTER.fullmatch(text.strip())
    if not match:
        raise invalid(f"Invalid filter: {text}")

    def matches(record: ObjectRecord) -> bool:
        payload = (record.settings.get("contexts") or {}).get("custom", {}).get(match["key"])
        has_it = payload is not None and (bool(match["any"]) or payload["value"] == match["value"])
        return has_it != bool(match["absent"])

    return matches
