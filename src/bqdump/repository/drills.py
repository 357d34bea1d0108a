"""The notes on drills, from one listing."""

from __future__ import annotations

from contextlib import suppress

from bqdump.core.documents.codec import decode
from bqdump.core.documents.layout import Layout
from bqdump.core.documents.target import Drill
from bqdump.core.errors import DocumentError
from bqdump.ports.store import ObjectStore


async def read_drills(store: ObjectStore, layout: Layout) -> list[Drill]:
    """All drills of a target, the earliest first. One request for 1,000 drills. Unreadable notes are left out."""
    drills = []
    async for page in store.notes(layout.drills):
        for note in page:
            with suppress(DocumentError):
                drills.append(decode(note.data, Drill, note.name))
    return sorted(drills, key=lambda drill: drill.began)
