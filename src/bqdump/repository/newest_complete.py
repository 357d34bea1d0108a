"""Which run latest.json named, or was about to name, where it cannot be read: the newest one that is complete."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress

import msgspec

from bqdump.core.documents.codec import decode
from bqdump.core.documents.damage import COPIED, RESTORE
from bqdump.core.documents.document import Document
from bqdump.core.documents.fields import Time
from bqdump.core.documents.manifest_index import Summary
from bqdump.core.errors import DocumentError
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.written import resume_call, settings_of_run
from bqdump.core.times import parse_time
from bqdump.ports.store import ObjectStore
from bqdump.repository.repository import exists, value_of

READS_AT_ONCE = 4


class _Dated(msgspec.Struct, frozen=True):
    """The part of a manifest that orders runs."""

    snapshot: Time


async def newest_complete(store: ObjectStore, settings: Settings) -> str:
    """The run with the latest snapshot time of those that have a manifest, "" for none. Raises DocumentError."""
    ages, layout = await _summarized(store, settings), settings.layout
    slots = asyncio.Semaphore(READS_AT_ONCE)

    async def look(run: str) -> tuple[int, str] | None:
        async with slots:
            if not await exists(store, layout.run(run).manifest):
                return None
            tombstone = await value_of(store, layout.run(run).tombstone)
            if tombstone and tombstone.decided:
                return None
            if run in ages:
                return ages[run], run
            manifest = await value_of(store, Document(layout.run(run).manifest.name, _Dated))
            return (manifest.snapshot, run) if manifest else None

    found = await asyncio.gather(*map(look, await store.folders(layout.runs)))
    return max(filter(None, found), default=(0, ""))[1]


async def _summarized(store: ObjectStore, settings: Settings) -> Mapping[str, int]:
    """The snapshot times of runs that have a readable summary."""
    ages = {}
    async for page in store.notes(settings.layout.history):
        for note in page:
            with suppress(DocumentError, ValueError):
                summary = decode(note.data, Summary, note.name)
                ages[summary.run] = parse_time(summary.snapshot_time)
    return ages


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
