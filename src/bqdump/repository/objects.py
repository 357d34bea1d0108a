"""Objects that are not typed documents, such as reports and Iceberg metadata: absence and lost races are answers."""

from __future__ import annotations

from bqdump.core.errors import ConflictError, NotFoundError
from bqdump.ports.store import ObjectStore, Stored


async def read_object(store: ObjectStore, name: str) -> Stored | None:
    """The object, or None if there is none."""
    try:
        return await store.read(name)
    except NotFoundError:
        return None


async def write_object(store: ObjectStore, name: str, data: bytes, expect: int) -> int | None:
    """Store the object over exactly this generation (0: none). The new one, None if another writer was faster."""
    try:
        return await store.write(name, data, expect)
    except ConflictError:
        return None


async def write_once(store: ObjectStore, name: str, data: bytes) -> int:
    """Store an object that all its writers store with the same bytes. The generation, whichever has stored it.

    What has other bytes was damaged since, and is replaced.
    """
    if generation := await write_object(store, name, data, 0):
        return generation
    found = await read_object(store, name)
    return (
        found.generation
        if found and found.data == data
        else await store.write(name, data, found.generation if found else 0)
    )
