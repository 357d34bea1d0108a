"""The data files of an export: read in parts, each at its recorded generation, and uploaded."""

from __future__ import annotations

from collections.abc import Callable
from typing import IO

from bqdump.core.errors import ConflictError, NotFoundError
from bqdump.ports.store import ObjectInfo, ObjectStore


async def read_part(store: ObjectStore, name: str, generation: int, start: int, length: int) -> bytes | None:
    """A part of a file; None if this generation no longer exists."""
    try:
        stored = await store.read(name, start, length)
    except NotFoundError:
        return None
    return stored.data if stored.generation == generation else None


async def upload_once(store: ObjectStore, name: str, fill: Callable[[IO[bytes]], None]) -> ObjectInfo | None:
    """Upload a file, unless another task has uploaded it meanwhile: then that one; None if it is deleted again."""
    try:
        return (await store.upload(name, fill, 0))[0]
    except ConflictError:
        return await store.stat(name)
