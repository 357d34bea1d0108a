"""Which task of an execution restores what follows the tables."""

from __future__ import annotations

from bqdump.repository.repository import create, replace
from bqdump.restoration.task import RunningRestore


async def becomes_finisher(restore: RunningRestore) -> bool:
    """Whether what follows the tables is this task's: of several that see all tables done, one is enough.

    A restarted task is the same owner, and another execution takes over. This saves work only: it is safe to be done
    by several tasks at once.
    """
    document = restore.layout.finisher
    stored = await create(restore.state, document, restore.owner)
    if stored.value.execution == restore.owner.execution:
        return stored.value == restore.owner
    return await replace(restore.state, document, restore.owner, stored.generation) is not None
