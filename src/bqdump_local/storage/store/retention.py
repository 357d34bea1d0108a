"""What keeps an object from being deleted: holds, the bucket's retention policy, and its own retention.

Sources: https://cloud.google.com/storage/docs/object-lock, https://cloud.google.com/storage/docs/object-holds and
https://cloud.google.com/storage/docs/bucket-lock
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from bqdump_local import clock
from bqdump_local.storage.errors import ApiError, invalid, retained
from bqdump_local.storage.store.records import microseconds, rfc3339

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bqdump_local.storage.store.records import BucketRecord, ObjectRecord

_MODES = ("Unlocked", "Locked")
_LONGEST = timedelta(seconds=3_155_760_000)
_SECOND = 1_000_000


def expiration(record: ObjectRecord, bucket: BucketRecord) -> int | None:
    """When an object can be deleted, in microseconds since 1970; None if nothing retains it, or that is not known yet.

    The clock of the bucket's policy starts when an event-based hold is released.
    """
    if record.settings.get("eventBasedHold"):
        return None
    ends = []
    if bucket.retention_seconds:
        ends.append((record.released or record.created) + bucket.retention_seconds * _SECOND)
    if retention := record.settings.get("retention"):
        ends.append(int(_moment(retention["retainUntilTime"]).timestamp() * _SECOND))
    return max(ends, default=None)


def check_unprotected(record: ObjectRecord, bucket: BucketRecord) -> None:
    """Raise 403 if a hold or a retention protects the object."""
    if record.settings.get("temporaryHold") or record.settings.get("eventBasedHold"):
        message = f"Object '{record.bucket}/{record.name}' is under active hold and cannot be deleted or overwritten."
        raise ApiError(403, message, reason="objectUnderActiveHold")
    until = expiration(record, bucket)
    if until is not None and microseconds() < until:
        raise retained(record.bucket, record.name, rfc3339(until))


def changed_retention(value: Any) -> dict[str, str] | None:
    """A retention as a client wrote it: complete, or none."""
    retention = {key: inner for key, inner in (value or {}).items() if inner is not None}
    if not retention:
        return None
    if retention.keys() != {"mode", "retainUntilTime"} or retention["mode"] not in _MODES:
        raise invalid("A retention needs a mode, which is Unlocked or Locked, and a retainUntilTime.")
    until = _moment(retention["retainUntilTime"])
    if until > clock.now() + _LONGEST:
        raise invalid("retainUntilTime must be at most 3,155,760,000 seconds (100 years) from now.")
    return {"mode": retention["mode"], "retainUntilTime": rfc3339(int(until.timestamp() * _SECOND))}


def check_change(
    bucket: BucketRecord, before: Mapping[str, Any], after: Mapping[str, Any], *, overriding: bool = False
) -> None:
    """Refuse a retention that the bucket does not allow, or that takes back what was promised.

    before, after: an object's settings.
    overriding: the request has `overrideUnlockedRetention`.
    """
    old, new = before.get("retention"), after.get("retention")
    if old == new:
        return
    if new and not bucket.object_retention:
        raise invalid(f"The bucket {bucket.name} does not have object retention enabled.")
    if new and _moment(new["retainUntilTime"]) <= clock.now():
        raise invalid("retainUntilTime must be in the future.")
    if not old:
        return
    shorter = not new or _moment(new["retainUntilTime"]) < _moment(old["retainUntilTime"])
    other_mode = not new or new["mode"] != old["mode"]
    if old["mode"] == "Locked" and (shorter or other_mode):
        raise ApiError(403, "A locked retention cannot be removed, shortened or unlocked.")
    if (shorter or other_mode) and not overriding:
        message = "To remove, shorten or lock an unlocked retention, the request needs overrideUnlockedRetention=true."
        raise ApiError(403, message)


def without_retention(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that a copy takes over: the retention is that of one object."""
    return {key: value for key, value in settings.items() if key != "retention"}


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        raise invalid(f"Invalid retainUntilTime: {text}") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
