"""The runs of a target that have their manifest.

Which run latest.json named, or was about to name, where it cannot be read: the newest one that is complete.
"""

from __future__ import annotations

from contextlib import suppress

import msgspec

from bqdump.concurrency import gathered
from bqdump.core.documents.codec import COPIED, RESTORE, decode
from bqdump.core.documents.document import Document, RunId, Time
from bqdump.core.documents.layout import Layout
from bqdump.core.documents.manifest_index import Summary
from bqdump.core.errors import DocumentError
from bqdump.core.settings.file import resume_call, settings_of_run
from bqdump.core.settings.settings import Settings
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
    times = {}
    async for page in store.notes(layout.history):
        for note in page:
            run = note.name.removeprefix(layout.history).removesuffix(".json")
            with suppress(DocumentError, ValueError):
                summary = decode(note.data, Summary, note.name)
                if summary.run == run:
                    times[run] = parse_time(summary.snapshot_time)
    return times


async def newest_complete(store: ObjectStore, settings: Settings) -> str:
    """The run with the latest snapshot time of those that have a manifest, "" for none. Raises DocumentError."""
    runs = await complete_runs(store, settings.layout, strict=True)
    return max(runs, key=lambda run: (runs[run], run), default="")


async def with_way_out(store: ObjectStore, settings: Settings, error: DocumentError) -> DocumentError:
    """The error about a latest.json that cannot be read, with the complete command that writes it again."""
    if error.hint == COPIED:
        return error
    with suppress(DocumentError, ValueError):
        run = await newest_complete(store, settings)
        plan = await value_of(store, settings.layout.run(run).plan) if run else None
        if plan:
            call = resume_call(run, settings_of_run(plan.settings, settings.target))
            hint = f"{RESTORE}, or let the newest complete run, which exports nothing, write it again: {call}"
            return DocumentError(error.operation, error.subject, error.cause, hint)
    return error
