"""Which task of an execution publishes its run."""

from __future__ import annotations

from bqdump.export.task import RunningExport
from bqdump.repository.repository import create, replace


async def becomes_publisher(export: RunningExport) -> bool:
    """Whether publishing is this task's: of several that see the run done, one of each execution is enough.

    As with claims, a restarted task is the same owner, and another execution takes over. This saves work only:
    publishing is safe to be done by several tasks at once.
    """
    document = export.layout.publisher
    stored = await create(export.store, document, export.owner)
    if stored.value.execution == export.owner.execution:
        return stored.value == export.owner
    return await replace(export.store, document, export.owner, stored.generation) is not None
