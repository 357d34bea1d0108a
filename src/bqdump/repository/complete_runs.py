"""The runs of a target that have their manifest, and which of them is published.

Where copies are locked, that is the newest one whose pointer is valid.
"""

from __future__ import annotations

import logging
from contextlib import suppress

import msgspec

from bqdump.concurrency import gathered
from bqdump.core.documents.codec import decode
from bqdump.core.documents.document import Document, RunId, Time
from bqdump.core.documents.layout import Layout
from bqdump.core.documents.sets import SetManifest
from bqdump.core.documents.target import Latest
from bqdump.core.errors import DocumentError, OutdatedError, UsageError, VerificationError
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.settings.settings import Settings
from bqdump.ports.store import Hidden, ObjectStore
from bqdump.repository.log import LogLine, counts, entry_in, log_refused, published_in, read_log, read_log_with_pruned
from bqdump.repository.objects import hidden_in, read_object, uncover
from bqdump.repository.repository import exists, read, value_of

log = logging.getLogger(__name__)
# Where earlier builds had a note for each run, and the last commit that reads their exports.
HISTORY, LAST_WITHOUT_LOG = "history/", "6fde4405"
READS_AT_ONCE = 16


class _Taken(msgspec.Struct, frozen=True):
    """What of a manifest makes its run the published one."""

    run: RunId
    snapshot: Time


async def complete_runs(store: ObjectStore, layout: Layout) -> dict[str, int]:
    """The snapshot time (ms) of each run that has its manifest, and is not pruned.

    Two listings, and a request for each run. A manifest that cannot be read counts as none.
    """
    entered = await read_log_with_pruned(store, layout)
    noted = {line.run: line.snapshot for line in reversed(entered.lines)}

    async def taken(run: str) -> int | None:
        names = layout.run(run)
        if run in noted:
            return noted[run] if await exists(store, names.manifest) else None
        manifest = await value_of(store, Document(names.manifest.name, _Taken))
        return manifest.snapshot if manifest and manifest.run == run else None

    async def look(run: str) -> int | None:
        with suppress(DocumentError):
            return await taken(run)
        return None

    runs = [run for run in await store.folders(layout.runs) if run in noted or run not in entered.pruned]
    times = await gathered(look, runs, READS_AT_ONCE)
    return {run: time for run, time in zip(runs, times, strict=True) if time is not None}


async def visible_log(store: ObjectStore, settings: Settings) -> list[LogLine]:
    """The log as it was written, the newest entry first: also entries that are hidden where objects are locked.

    From then on, the manifests of locked copies are read as they were written, too.

    Raises UsageError for what an earlier build has exported.
    """
    if store.abilities.markers:
        await _uncover_log(store, settings)
    if lines := await read_log(store, settings.layout):
        if store.abilities.markers and not await counts(store, settings.layout, lines[0]):
            # Its manifest may be hidden.
            await _uncover_locked(store, settings)
        return lines
    async for page in store.objects(f"{settings.layout.root}{HISTORY}"):
        if page:
            cause = f"an earlier build wrote it: {page[0].name} is there, and {settings.layout.log} has no entry"
            hint = f"The last commit that reads it is {LAST_WITHOUT_LOG}. Export to another {{setting:prefix}}."
            raise UsageError("read", f"{store.url}/{settings.layout.root}", cause, hint)
    return []


async def published_run(store: ObjectStore, settings: Settings) -> Latest | None:
    """The published run, None where there is none: see `repository.log`.

    Raises the error of the newest entry if none counts, and UsageError for what an earlier build has exported.
    """
    return await published_in(store, settings.layout, await visible_log(store, settings))


async def _uncover_log(store: ObjectStore, settings: Settings) -> bool:
    """Read what was hidden or replaced as it was first, if that is so of a locked entry. Returns whether it is."""
    hidden = await hidden_in(store, settings.layout.log, replaced=True)
    if any(entry.locked_until for entry in hidden.values()):
        await uncover_documents(store, settings)
        return True
    return False


async def _uncover_locked(store: ObjectStore, settings: Settings) -> None:
    """Read what was hidden or replaced as it was first, where an entry says that copies there are locked."""
    for line in await read_log(store, settings.layout):
        with suppress(DocumentError, VerificationError):
            if (await entry_in(store, line)).locked:
                await uncover_documents(store, settings)
                return


async def set_pointer(store: ObjectStore, settings: Settings, run: str = "") -> Latest | None:
    """The pointer to the published run of a set whose copies are locked; None where there is none.

    It is the newest one of those below `pointers` that is valid. One is skipped and logged if its run is missing, has
    another snapshot time, or lacks a required signature. Raises its error if none is valid.

    run: the pointer to this one.
    """
    latest, damaged, name = None, None, settings.layout.latest.name
    try:
        latest = await value_of(store, settings.layout.latest)
    except DocumentError as error:
        damaged = error
    if latest and latest.locked:
        return await _newest_locked(store, settings, latest, run)
    if not await has_locked_pointers(store, settings):
        return None
    # Whoever may put objects there can put another latest.json over the first one, or hide it.
    why = "it cannot be read" if damaged else "it says that they are not" if latest else "it does not exist"
    unused = LogEvent.LATEST_UNREADABLE.extra()
    log.warning("%s is not used: copies there are locked, and %s", name, why, extra=unused)
    return await _newest_locked(store, settings, None, run)


async def has_locked_pointers(store: ObjectStore, settings: Settings) -> bool:
    """Whether the store has locked a pointer there: then it is a place of locked copies, whatever latest.json says.

    Looked for only where a locked object can be hidden: elsewhere, latest.json is the first one. Where a bucket locks
    by default, so are documents of copies that are replaced all the time, but only locked copies have pointers.
    """
    if not store.abilities.markers:
        return False
    async for page in store.objects(settings.layout.pointers.folder):
        for info in page:
            pointer = await store.stat(info.name)
            if pointer and pointer.locked_until:
                return True
    hidden = await hidden_in(store, settings.layout.pointers.folder, replaced=True)
    return any(pointer.locked_until for pointer in hidden.values())


async def holds_export(store: ObjectStore, settings: Settings) -> bool:
    """Whether the export of one dataset is published there, or its copies are, so that it is the place of no set.

    Where copies of a set are locked, latest.json says that from the first one on.
    """
    document, latest = settings.layout.latest, None
    stored = await read(store, document)
    with suppress(DocumentError):
        latest = decode(stored.data, document.type, document.name) if stored else None
    if not (latest and latest.locked) and await read_log(store, settings.layout):
        return True
    first = latest is not None and latest.locked
    if store.abilities.markers:
        if not first and not await has_locked_pointers(store, settings):
            return stored is not None
        if not first or document.name in await hidden_in(store, document.name, replaced=True):
            # Another one was put over the first one, or hides it.
            with suppress(DocumentError, VerificationError):
                latest = await _newest_locked(store, settings, None)
            return latest is not None and not latest.of_set
    return stored is not None and not (latest and latest.locked and latest.of_set)


async def _newest_locked(store: ObjectStore, settings: Settings, latest: Latest | None, run: str = "") -> Latest | None:
    """The newest valid pointer, of these of this run. latest: the first one, None where it is not known."""
    layout, pointers, first = settings.layout, list[Latest](), None
    hidden = await uncover_documents(store, settings)
    async for page in store.notes(layout.pointers.folder):
        for note in page:
            try:
                pointers.append(decode(note.data, Latest, note.name))
            except DocumentError as error:
                log_refused(note.name, error)
    if latest is None or layout.latest.name in hidden:
        # As it was first, from now on.
        with suppress(DocumentError):
            latest = await value_of(store, layout.latest)
    kind = latest if latest and latest.locked else None
    wanted = [pointer for pointer in pointers if run in ("", pointer.run)]
    for pointer in sorted(wanted, key=lambda pointer: (pointer.age, pointer.number), reverse=True):
        try:
            _refuse_kind(pointer, kind)
            await _check_manifest(store, layout, pointer)
        except OutdatedError:
            # So are all others, and nothing is wrong with the pointer.
            raise
        except (DocumentError, VerificationError) as error:
            log_refused(_name_of(layout, pointer), error)
            first = first or error
        else:
            return msgspec.structs.replace(pointer, locked=True)
    if first:
        raise first
    return latest if latest and run in ("", latest.run) else None


def _refuse_kind(pointer: Latest, latest: Latest | None) -> None:
    """Raise VerificationError for a pointer of a set in the place of one dataset, and the other way round."""
    if latest and pointer.of_set != latest.of_set:
        kinds = ("of one dataset", "of a set of datasets")
        cause = f"it is {kinds[pointer.of_set]}, and the copies there are {kinds[latest.of_set]}"
        raise VerificationError("read", f"the pointer to run {pointer.run}", cause)


def _name_of(layout: Layout, pointer: Latest) -> str:
    return layout.set_pointer(pointer.run, pointer.manifest.split("/")[-2]).name


async def uncover_documents(store: ObjectStore, settings: Settings) -> dict[str, Hidden]:
    """The documents of locked copies that were hidden or replaced, by name: read as they were first from now on.

    Call it for a place of locked copies only: elsewhere, documents are replaced all the time. One listing for 1,000
    versions, where locks do not prevent that; none elsewhere.
    """
    if not store.abilities.markers:
        return {}
    layout = settings.layout
    # Tags are each place's own.
    written = (layout.pointers.folder, layout.runs, layout.set_runs, layout.log, layout.drills)
    once = (layout.latest.name, layout.copies.name, layout.owner.name, layout.set_manifest.name)
    versions = await hidden_in(store, layout.root, replaced=True)
    hidden = {
        name: document
        for name, document in versions.items()
        if document.locked_until and (name.startswith(written) or name in once)
    }
    await uncover(store, hidden)
    return hidden


async def uncover_run(store: ObjectStore, settings: Settings, run: str) -> None:
    """The same for a run that was named, and not found by a pointer, whatever the place is one of."""
    if not store.abilities.markers:
        return
    hidden = await hidden_in(store, settings.layout.run(run).root, replaced=True)
    if any(document.locked_until for document in hidden.values()) and not await _uncover_log(store, settings):
        await _uncover_locked(store, settings)


async def why_unpublished(store: ObjectStore, settings: Settings) -> str:
    """Why there is no published run: somebody may have deleted what names it."""
    hidden = await hidden_in(store, settings.layout.log)
    if hidden:
        name = max(hidden)
        return f"{name} is {hidden[name].text}"
    return "nothing has been published there yet"


async def _check_manifest(store: ObjectStore, layout: Layout, pointer: Latest) -> None:
    """Raise unless the manifest is the one that the pointer names, and of that run and time.

    Otherwise a run that was pruned, and is created again as it was signed, would be the published one for ever.
    """
    try:
        manifest = await read_object(store, pointer.manifest)
        taken = decode(manifest.data, _Taken, pointer.manifest) if manifest else None
    except OutdatedError as error:
        if error.snapshot == pointer.snapshot:
            raise
        raise _untrue(pointer, f"is of another time than {pointer.snapshot_time}") from None
    if manifest is None or taken is None or manifest.generation != pointer.manifest_generation:
        hidden = (await hidden_in(store, pointer.manifest, replaced=True)).get(pointer.manifest)
        otherwise = "is another one than that which it names" if manifest else "does not exist"
        raise _untrue(pointer, f"is {hidden.text}" if hidden else otherwise)
    if (taken.run, taken.snapshot) != (pointer.run, pointer.snapshot):
        raise _untrue(pointer, f"is of another run or time than {pointer.run}, {pointer.snapshot_time}")
    if pointer.of_set:
        _check_set(manifest.data, layout, pointer)


def _check_set(content: bytes, layout: Layout, pointer: Latest) -> None:
    """Raise unless all of a set's manifest is as copies write it: readers take it as it is."""
    manifest = decode(content, SetManifest, pointer.manifest)
    if not manifest.datasets:
        raise _untrue(pointer, "names no dataset")
    if (manifest.project, manifest.published) != (pointer.project, pointer.number):
        raise _untrue(pointer, "is of another project, or has published another number of datasets")
    for entry in manifest.datasets:
        own = Layout(f"{layout.prefix}{entry.dataset}/").run(entry.run).manifest.name if entry.run else ""
        if entry.manifest not in ("", own):
            raise _untrue(pointer, f"names {entry.manifest!r} as the manifest of dataset {entry.dataset}")


def _untrue(pointer: Latest, what: str) -> VerificationError:
    return VerificationError("read", f"the pointer to run {pointer.run}", f"{pointer.manifest} {what}")
