"""What a request sets of a dataset or a table, and when it is refused."""

from __future__ import annotations

from typing import Any

from bqdump_local.bigquery.errors import invalid

# Maps whose keys a patch merges; null removes a key.
# https://cloud.google.com/bigquery/docs/updating-labels#delete_labels
MERGED = ("labels", "resourceTags")


def patched(properties: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
    """The properties after a patch: what the body has is replaced, and null removes it."""
    changed = {**properties, **body}
    for key in MERGED:
        if body.get(key) is not None:
            changed[key] = {**(properties.get(key) or {}), **body[key]}
            changed[key] = {name: value for name, value in changed[key].items() if value is not None}
    return {key: value for key, value in changed.items() if value not in (None, {})}


def check_expiration(properties: dict[str, Any], now_ms: int) -> None:
    """Refuse an expiration time that is not in the future."""
    expires = properties.get("expirationTime")
    if expires is not None and int(expires) <= now_ms:
        raise invalid(f"Invalid value for expirationTime: the expiration time {expires} is in the past")
