"""What readers see: the pointer that they follow, and the manifest that it names."""

from __future__ import annotations

from bqdump.core.codec import decode
from bqdump.core.errors import NotFoundError
from bqdump.core.manifest import Latest, Manifest
from bqdump.core.settings import Settings
from bqdump.ports.store import ObjectStore


async def read_latest(store: ObjectStore, settings: Settings) -> tuple[Latest | None, int]:
    """The pointer that readers follow and its generation; (None, 0) when nothing was ever published here."""
    name = settings.layout.latest
    try:
        stored = await store.read(name)
    except NotFoundError:
        return None, 0
    return decode(stored.data, Latest, name), stored.generation


async def read_manifest(store: ObjectStore, settings: Settings, run: str = "") -> Manifest:
    """The manifest of a run, or of the one that readers see. Raises NotFoundError."""
    name = settings.layout.run(run).manifest
    if not run:
        latest, _ = await read_latest(store, settings)
        if latest is None:
            cause = "nothing has been published there yet"
            raise NotFoundError("find", f"an export in {store.url}/{settings.prefix}", cause, "Start one: bqdump run")
        name = latest.manifest
    try:
        stored = await store.read(name)
    except NotFoundError:
        hint = "bqdump status shows how far a run is."
        raise NotFoundError("find", f"the manifest of run {run}", "there is none", hint) from None
    return decode(stored.data, Manifest, name)
