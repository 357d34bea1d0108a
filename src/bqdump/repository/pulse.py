"""A note that is rewritten regularly, so that others see that its writer is alive."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from bqdump.core.documents.document import Document
from bqdump.core.documents.run import Owner
from bqdump.ports.store import ObjectStore
from bqdump.repository.repository import overwrite

PULSE_SECONDS = 10.0


@asynccontextmanager
async def pulse(store: ObjectStore, note: Document[Owner], owner: Owner) -> AsyncIterator[None]:
    """Rewrite the note while the work inside continues."""

    async def beat() -> None:
        while True:
            await asyncio.sleep(PULSE_SECONDS)
            await overwrite(store, note, owner)

    beating = asyncio.create_task(beat())
    try:
        yield
    finally:
        beating.cancel()
        with suppress(asyncio.CancelledError):
            await beating
