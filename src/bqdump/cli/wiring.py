"""What the commands open, in a process that imports no more than it needs."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable
from typing import TypeVar

from bqdump import services
from bqdump.adapters.lean_imports import import_lean
from bqdump.core.settings.settings import Settings
from bqdump.ports.store import ObjectStore
from bqdump.repository.published import with_bucket
from bqdump.services import Services

Answer = TypeVar("Answer")


def open_store(settings: Settings, *, patient: bool = False) -> ObjectStore:
    """The target of the export. patient: see services.open_store."""
    import_lean()
    return services.open_store(settings, patient=patient)


def open_services(settings: Settings, tasks: int, *, patient: bool = False) -> Services:
    """Source and target of the export, for one of so many tasks. patient: see services.open_store."""
    import_lean()
    opened = services.open_services(settings, tasks, patient=patient)
    # What imports have made stays: garbage collection need not look at it, now or later.
    gc.freeze()
    return opened


def ask_store(
    settings: Settings, question: Callable[[ObjectStore], Awaitable[Answer]], *, patient: bool = False
) -> Answer:
    """What the question finds out from the target, which is opened for it and closed behind it."""

    async def ask() -> Answer:
        store = open_store(settings, patient=patient)
        try:
            return await with_bucket(store, question(store))
        finally:
            await store.close()

    return asyncio.run(ask())
