"""What the settings of a bucket mean for a prune: whether anything can be deleted, and what stays billed."""

from __future__ import annotations

from bqdump.core.errors import DeniedError, UsageError
from bqdump.retain.task import Task


async def bucket_notes(task: Task) -> tuple[str, ...]:
    """What a person should know about the bucket, in sentences. Raises UsageError if it keeps all objects.

    Without permission to read its settings there are none.
    """
    try:
        bucket = await task.store.describe()
    except DeniedError:
        return ()
    url = task.store.url
    if bucket.retention_seconds:
        cause = f"its retention policy keeps objects for {bucket.retention_seconds:,} seconds"
        raise UsageError("prune", url, cause, "Nothing was deleted. Remove the policy first.")
    if bucket.holds:
        hint = "Nothing was deleted. Remove the default event-based hold and the holds of the objects first."
        raise UsageError("prune", url, "its objects are under a hold", hint)
    notes = []
    if bucket.soft_delete_seconds:
        notes.append(f"Soft delete is on: deleted files stay billed for {bucket.soft_delete_seconds / 86_400:g} days.")
    if bucket.versions:
        notes.append("Versioning is on: deleted files stay billed as noncurrent versions.")
    return tuple(notes)
