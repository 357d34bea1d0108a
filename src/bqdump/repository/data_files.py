"""The data files of an export, read in parts, each at the generation recorded in a manifest or a listing."""

from __future__ import annotations

from bqdump.core.errors import NotFoundError
from bqdump.ports.store import ObjectStore


async def read_part(store: ObjectStore, name: str, generation: int, start: int, length: int) -> bytes | None:
    """A part of a file; None if this generation no longer exists."""
    try:
        stored = await store.read(name, start, length)
    except NotFoundError:
        return None
    return stored.data if stored.generation == generation else None
