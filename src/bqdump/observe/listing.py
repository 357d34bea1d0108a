"""What a run of one dataset holds, read from its manifest."""

from __future__ import annotations

from bqdump.core.documents.manifest import Manifest
from bqdump.core.listing import Listing, Patterns, listed_names, listing_of, refuse_unmatched
from bqdump.core.settings.settings import Settings
from bqdump.ports.store import ObjectStore
from bqdump.repository.published import read_manifest, readable_latest


async def list_run(store: ObjectStore, settings: Settings, run: str, patterns: Patterns) -> Listing:
    """What a run (default: the published run) holds. Raises NotFoundError, UsageError for a pattern without a match."""
    manifest = await read_manifest(store, settings, run)
    refuse_unmatched(listed_names(manifest), patterns)
    return listing_of(manifest, patterns, replaced=await is_replaced(store, settings, manifest))


async def is_replaced(store: ObjectStore, settings: Settings, manifest: Manifest) -> bool:
    """Whether a later run has replaced the files of this one."""
    if not manifest.replaces:
        return False
    latest = await readable_latest(store, settings)
    return latest is not None and latest.run != manifest.run
