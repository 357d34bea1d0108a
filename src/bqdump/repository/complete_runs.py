"""The runs of a target that have their manifest."""

from __future__ import annotations

from contextlib import suppress

import msgspec

from bqdump.concurrency import gathered
from bqdump.core.documents.codec import decode
from bqdump.core.documents.document import Document, RunId, Time
from bqdump.core.documents.layout import Layout
from bqdump.core.documents.manifest_index import Summary
from bqdump.core.errors import DocumentError
from bqdump.core.times import parse_time
from bqdump.ports.store import ObjectStore
from bqdump.repository.repository import exists, value_of

READS_AT_ONCE = 16


class _Taken(msgspec.Struct, frozen=True):
    """The part of a manifest that dates its run."""

    run: RunId
    snapshot: Time


async def complete_runs(store: ObjectStore, layout: Layout, *, strict: bool = False) -> dict[str, int]:
    """The snapshot time (ms) of each run that has its manifest, and is not being pruned.

    Two listings, and two requests for each run. A manifest that cannot be read counts as none.
    strict: raise DocumentError for it.
    """
    noted = await _noted(store, layout)

    async def taken(run: str) -> int | None:
        names = layout.run(run)
        tombstone = await value_of(store, names.tombstone)
        if tombstone and tombstone.decided:
            return None
        if run in noted:
            return noted[run] if await exists(store, names.manifest) else None
        manifest = await value_of(store, Document(names.manifest.name, _Taken))
        return manifest.snapshot if manifest and manifest.run == run else None

    async def look(run: str) -> int | None:
        try:
            return await taken(run)
        except DocumentError:
            if strict:
                raise
            return None

    runs = await store.folders(layout.runs)
    times = await gathered(look, runs, READS_AT_ONCE)
    return {run: time for run, time in zip(runs, times, strict=True) if time is not None}


async def _noted(store: ObjectStore, layout: Layout) -> dict[str, int]:
    """The snapshot times in the summaries of ended runs, by run; those that cannot be read are left out."""
    found = {}
    async for page in store.notes(layout.history):
        for note in page:
            run = note.name.removeprefix(layout.history).removesuffix(".json")
            with suppress(DocumentError, ValueError):
                summary = decode(note.data, Summary, note.name)
                if summary.run == run:
                    found[run] = parse_time(summary.snapshot_time)
    return found
