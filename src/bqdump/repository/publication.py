"""Publishing: the entry of a run in the log, which publishes it, and then latest.json, which is made from the log."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress

from msgspec import Struct
from msgspec.structs import replace

from bqdump.core.documents.codec import decode
from bqdump.core.documents.document import Document
from bqdump.core.documents.manifest import ManifestFiles
from bqdump.core.documents.target import Latest, LogEntry, Pointer, entry_of
from bqdump.core.errors import DocumentError, UnavailableError, UsageError, VerificationError
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.settings.settings import Settings
from bqdump.core.sizes import counted, named
from bqdump.core.times import rfc3339
from bqdump.ports.store import ObjectStore, Stored
from bqdump.repository.log import LogLine, entry_in, is_to_come, published_in, read_log
from bqdump.repository.manifests import contents_of
from bqdump.repository.prefix_owner import now
from bqdump.repository.repository import Loaded, create, read, value_of
from bqdump.repository.repository import replace as store_over

log = logging.getLogger(__name__)
NAMED = 10


class Moved(Struct, frozen=True):
    """The published run as latest.json names it now. before: the run that was published before this one."""

    stored: Loaded[Latest] | None
    before: Latest | None

    def shows(self, run: str) -> bool:
        """Whether this run is the published one."""
        return self.stored is not None and self.stored.value.run == run


async def enter(
    store: ObjectStore,
    settings: Settings,
    ready: Latest,
    entry: LogEntry | None = None,
    nothing_stale_of: Latest | None = None,
    *,
    guarded: bool = True,
) -> Moved:
    """Enter a run in the log, and write latest.json where that makes it the published one.

    A run that replaces files does not enter the log after a later one, as that has its files.

    ready: the run, complete except for what it replaces.
    entry: made of its manifest, where that is at hand.
    nothing_stale_of: a run all of whose files this one has replaced or kept.
    guarded: no table leaves the export without being named; a copy may have any runs.

    Raises UsageError if another run was published after the manifest was made and has tables that are missing from it.
    """
    before: Latest | None = None
    entered = False
    while True:
        # In this order: whoever publishes a later run after the log was read has another latest.json by then.
        shown = await _shown(store, settings)
        lines = await read_log(store, settings.layout)
        mine = next((line for line in lines if (line.snapshot, line.run) == ready.age), None)
        if mine:
            await entry_in(store, mine)
        others = [line for line in lines if (line.snapshot, line.run) != ready.age]
        latest = None
        with suppress(DocumentError, VerificationError):
            latest = await published_in(store, settings.layout, others)
        later = latest if latest and latest.age > ready.age else None
        before = before or latest
        if guarded and mine:
            # Of two runs that enter the log at the same time, neither may have seen the other one before.
            await _warn_unnamed(store, ready, lines, latest, entered=entered)
        if not mine and not (later and ready.replaces):
            if guarded and latest and not later and latest.run != ready.over:
                await _refuse_unnamed(store, latest, ready)
            await _create(store, settings, entry or await entry_at(store, ready))
            entered = not later
        if later:
            return Moved(Loaded(later, 0), before)
        if stored := await _show(store, settings, ready, shown, latest, nothing_stale_of):
            if guarded and not mine:
                published = LogEvent.RUN_PUBLISHED.extra(target=str(settings.target))
                log.info("published run %s, the dataset as of %s", ready.run, ready.snapshot_time, extra=published)
            return Moved(stored, before)


async def _create(store: ObjectStore, settings: Settings, entry: LogEntry) -> None:
    """Create the entry. Raises UnavailableError if the store's clock is so far behind that it does not count."""
    document = settings.layout.entry(entry.run, entry.snapshot)
    await create(store, document, entry)
    if store.abilities.dated and now() < entry.snapshot:
        info = await store.stat(document.name)
        if info and info.updated and is_to_come(entry.snapshot, info.updated):
            cause = f"it was stored at {rfc3339(info.updated)} by the store's clock, and is as of {entry.snapshot_time}"
            raise UnavailableError("publish", f"run {entry.run}", cause, "Set the clock, then start a new run.")


async def entry_at(store: ObjectStore, ready: Latest, *, locked: bool = False) -> LogEntry:
    """The entry of a run, made from its manifest. locked: see LogEntry."""
    manifest = await store.read(ready.manifest)
    contents = contents_of(manifest.data, ready.manifest)
    return entry_of(contents, manifest.data, manifest.generation, iceberg=bool(ready.iceberg), locked=locked)


async def _shown(store: ObjectStore, settings: Settings) -> Stored | None:
    """latest.json as it is stored; without its content if that is no such document."""
    name = settings.layout.latest.name
    try:
        return await read(store, settings.layout.latest)
    except DocumentError:
        info = await store.stat(name)
        return Stored(b"", info.generation) if info else None


async def _show(
    store: ObjectStore,
    settings: Settings,
    ready: Latest,
    shown: Stored | None,
    before: Latest | None,
    nothing_stale_of: Latest | None,
) -> Loaded[Latest] | None:
    """Write latest.json over what was there before the log was read; None where it was written meanwhile.

    Whatever is there is replaced: it is made from the log. Only stale files that it names are named again.
    """
    now: Latest | None = None
    with suppress(DocumentError):
        document = settings.layout.latest
        now = decode(shown.data, document.type, document.name) if shown else None
    if now and now.run == ready.run and now.manifest_generation == ready.manifest_generation and shown:
        return Loaded(now, shown.generation)
    uncleared = (*ready.uncleared, *(now.uncleared if now else ()))
    if before and before.replaces and before != nothing_stale_of:
        uncleared = (*uncleared, Pointer(before.run, before.snapshot, before.manifest))
    ready = replace(ready, uncleared=uncleared)
    generation = await store_over(store, settings.layout.latest, ready, shown.generation if shown else 0)
    return Loaded(ready, generation, mine=True) if generation else None


async def show_latest(store: ObjectStore, settings: Settings) -> None:
    """Let latest.json name the published run, with its manifest as it is now."""
    while True:
        shown = await _shown(store, settings)
        latest = await published_in(store, settings.layout, await read_log(store, settings.layout))
        if latest is None or await _show(store, settings, latest, shown, None, None):
            return


async def _refuse_unnamed(store: ObjectStore, latest: Latest, ready: Latest) -> None:
    if unnamed := await _unnamed(store, latest, ready):
        cause = (
            f"it does not have {counted(len(unnamed), 'table')} of run {latest.run}, which was published meanwhile "
            f"({named(unnamed, NAMED)})"
        )
        raise UsageError("publish", f"run {ready.run}", cause, "Nothing was removed. Start a new run.")


async def _warn_unnamed(
    store: ObjectStore, ready: Latest, lines: Sequence[LogLine], latest: Latest | None, *, entered: bool
) -> None:
    """Log the tables of a run that the next one of the log does not have, and did not know of when it was planned.

    ready: a run of the log. latest: the newest one that counts of all others.
    entered: this process has entered it as the newest one.
    """
    if latest is None or (latest.age > ready.age and not entered):
        return
    earlier, next_one = (ready, latest) if latest.age > ready.age else (latest, ready)
    known = next(((line.snapshot, line.run) for line in lines if line.run == next_one.over), (0, ""))
    if known >= earlier.age or (next_one.over and not known[1]):
        return
    if unnamed := await _unnamed(store, earlier, next_one):
        message = "run %s does not have %s of run %s, which was published at the same time (%s): run %s has them"
        tables = counted(len(unnamed), "table"), earlier.run, named(unnamed, NAMED), earlier.run
        log.warning(message, next_one.run, *tables, extra=LogEvent.TABLE_REMOVED.extra())


async def _unnamed(store: ObjectStore, latest: Latest, ready: Latest) -> list[str]:
    """The tables of a run that are missing from the next one, and that its manifest does not name."""
    had = await value_of(store, Document(latest.manifest, ManifestFiles))
    has = await value_of(store, Document(ready.manifest, ManifestFiles)) if had else None
    if had is None or has is None:
        return []
    return sorted({table.table for table in (*had.tables, *had.left)} - has.named)
