"""What readers see: the pointer that they follow, and the manifest that it names."""

from __future__ import annotations

import logging
from collections.abc import Awaitable
from contextlib import suppress
from typing import TypeVar

import msgspec

from bqdump.core.documents.codec import decode, encode_indented
from bqdump.core.documents.manifest import Latest, Manifest, ManifestFiles, Pointer
from bqdump.core.errors import BqdumpError, ConflictError, NotFoundError, UsageError
from bqdump.core.settings.settings import Settings
from bqdump.core.sizes import counted
from bqdump.ports.store import ObjectStore

log = logging.getLogger(__name__)
Answer = TypeVar("Answer")
NAMED = 10


async def read_latest(store: ObjectStore, settings: Settings) -> tuple[Latest | None, int]:
    """The pointer that readers follow and its generation; (None, 0) when nothing was ever published here."""
    name = settings.layout.latest
    try:
        stored = await store.read(name)
    except NotFoundError:
        return None, 0
    return decode(stored.data, Latest, name), stored.generation


async def with_bucket(store: ObjectStore, answer: Awaitable[Answer]) -> Answer:
    """The answer. Raises NotFoundError, about the bucket where that is what does not exist."""
    try:
        return await answer
    except NotFoundError as error:
        try:
            await store.describe()
        except NotFoundError:
            raise
        except BqdumpError:
            # Whoever may not see the bucket's settings has heard what is missing.
            raise error from None
        raise


async def move_latest(store: ObjectStore, settings: Settings, ready: Latest) -> bool:
    """Let latest.json name this run, unless it does or names a later one; whether readers see the run now.

    ready: all but its `uncleared`, the exports that it replaces, which follow from what is there.
    Raises UsageError where its manifest was made before another run was published, and says nothing of tables of that.
    """
    while True:
        latest, seen = await read_latest(store, settings)
        if latest and latest.run == ready.run:
            return True
        if latest and latest.age > ready.age:
            return False
        if latest and latest.run != ready.over:
            await _refuse_unnamed(store, latest, ready)
        uncleared = latest.uncleared if latest else ()
        if latest and latest.mode == "replace":
            uncleared = (*uncleared, Pointer(latest.run, latest.snapshot, latest.manifest))
        new = msgspec.structs.replace(ready, uncleared=uncleared)
        with suppress(ConflictError):
            await store.write(settings.layout.latest, encode_indented(new), seen)
            log.info("published run %s, the dataset as of %s", new.run, new.snapshot_time)
            return True


async def _refuse_unnamed(store: ObjectStore, latest: Latest, ready: Latest) -> None:
    try:
        had, has = [
            decode((await store.read(name)).data, ManifestFiles, name) for name in (latest.manifest, ready.manifest)
        ]
    except NotFoundError:
        return
    if unnamed := sorted({one.table for one in (*had.tables, *had.left)} - has.named):
        raise UsageError(
            "publish", f"run {ready.run}",
            f"it does not have {counted(len(unnamed), 'table')} of run {latest.run}, which was published meanwhile "
            f"({', '.join(unnamed[:NAMED])}{', …' if len(unnamed) > NAMED else ''})",
            "Nothing was removed. Start a new run.",
        )  # fmt: skip


async def read_manifest(store: ObjectStore, settings: Settings, run: str = "") -> Manifest:
    """The manifest of a run, or of the one that readers see. Raises NotFoundError."""
    name = settings.layout.run(run).manifest
    if not run:
        latest, _ = await read_latest(store, settings)
        if latest is None:
            cause = "nothing has been published there yet"
            raise NotFoundError("find", f"an export in {store.url}/{settings.prefix}", cause, "Start one: bqdump run")
        run, name = latest.run, latest.manifest
    try:
        stored = await store.read(name)
    except NotFoundError:
        hint = "bqdump status shows how far a run is."
        raise NotFoundError("find", f"the manifest of run {run}", "there is none", hint) from None
    return decode(stored.data, Manifest, name)
