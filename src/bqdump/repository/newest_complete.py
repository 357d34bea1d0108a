"""Which run latest.json named, or was about to name, where it cannot be read: the newest one that is complete."""

from __future__ import annotations

from contextlib import suppress

from bqdump.core.documents.codec import COPIED, RESTORE
from bqdump.core.errors import DocumentError
from bqdump.core.settings.file import resume_call, settings_of_run
from bqdump.core.settings.settings import Settings
from bqdump.ports.store import ObjectStore
from bqdump.repository.complete_runs import complete_runs
from bqdump.repository.repository import value_of


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
