"""The log of a place: which runs are complete, which of them is published, and which are pruned.

One listing returns all entries, in the order of their snapshot times. An entry counts if it can be read, is not of a
time to come, and the manifest of its run is there. Any other one is passed over and named: it is one run that cannot be
read, and no reason to stop. A run that has a mark is pruned: for every reader, it is not in the log.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

import msgspec

from bqdump.concurrency import gathered
from bqdump.core.documents.codec import RESTORE, decode, decode_moved
from bqdump.core.documents.document import RUN_ID, Time
from bqdump.core.documents.layout import Layout
from bqdump.core.documents.manifest import Manifest
from bqdump.core.documents.target import NAME, Latest, LogEntry, time_in_name
from bqdump.core.errors import BqdumpError, DocumentError, OutdatedError, VerificationError
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.times import rfc3339
from bqdump.core.wording import COMMANDS, fill
from bqdump.ports.store import ObjectInfo, ObjectStore
from bqdump.repository.objects import read_object

log = logging.getLogger(__name__)
# How much later than the store's clock at the creation of an entry its snapshot time may be: BigQuery has set it by
# another clock, and the files of a run may be written within seconds.
CLOCKS_DIFFER_MS = 600_000
READS_AT_ONCE = 16
MARK = re.compile(rf"pruned/(?P<run>{RUN_ID.pattern})\.json")


def is_to_come(snapshot: int, written: int) -> bool:
    """Whether the snapshot time of an entry is later than its creation. written: by the store's clock."""
    return snapshot > written + CLOCKS_DIFFER_MS


class _Taken(msgspec.Struct, frozen=True):
    snapshot: Time


class LogLine(NamedTuple):
    """An entry of the log as a listing has it.

    name: of the object.
    run, snapshot: as the name says.
    data: its content, None where the listing has none.
    """

    name: str
    run: str
    snapshot: int
    data: bytes | None


class Log(NamedTuple):
    """The entries of runs that are not pruned, the newest first.

    pruned: when each run with a mark was pruned (ms, by the store's clock).
    hidden: the entries of these runs, which are not deleted yet.
    """

    lines: list[LogLine]
    pruned: Mapping[str, int]
    hidden: list[LogLine]


async def read_log(store: ObjectStore, layout: Layout) -> list[LogLine]:
    """All entries, the newest first: one request for 1,000. Those of a time to come do not count, and are logged."""
    return (await read_log_with_pruned(store, layout)).lines


async def read_log_with_pruned(store: ObjectStore, layout: Layout) -> Log:
    """The same with the marks of pruned runs."""
    lines, pruned = list[LogLine](), dict[str, int]()

    def add(name: str, written: int, data: bytes | None) -> None:
        if mark := MARK.fullmatch(name, len(layout.log)):
            pruned[mark["run"]] = written
            return
        match = NAME.fullmatch(name, len(layout.log))
        snapshot = time_in_name(match["time"]) if match else None
        if match is None or snapshot is None:
            log_refused(name, VerificationError("read", name, "it does not have the name of an entry"))
            return
        if store.abilities.dated and written and is_to_come(snapshot, written):
            times = f"it is as of {rfc3339(snapshot)}, and was written at {rfc3339(written)}"
            log_refused(name, VerificationError("read", name, times))
            return
        lines.append(LogLine(name, match["run"], snapshot, data))

    if store.abilities.listed_notes:
        async for notes in store.notes(layout.log):
            for note in notes:
                add(note.name, note.updated, note.data)
    else:
        async for page in store.objects(layout.log):
            for info in page:
                add(info.name, info.updated, None)
    kept, hidden = list[LogLine](), list[LogLine]()
    for line in lines:
        (kept if line.run not in pruned or await _is_locked(store, line) else hidden).append(line)
    return Log(sorted(kept, key=lambda line: (line.snapshot, line.run), reverse=True), pruned, hidden)


async def _is_locked(store: ObjectStore, line: LogLine) -> bool:
    """Whether an entry is of a locked copy: prune marks none, and whoever may create objects there could."""
    with suppress(DocumentError, VerificationError):
        return (await entry_in(store, line)).locked
    return False


async def logged_runs(store: ObjectStore, layout: Layout) -> dict[str, int]:
    """The snapshot time (ms) of each run that has an entry; of several of one id, that of the newest."""
    return {line.run: line.snapshot for line in reversed(await read_log(store, layout))}


async def entries_of(store: ObjectStore, layout: Layout, run: str) -> list[ObjectInfo]:
    """The entries of a run, as objects: one, unless runs had this id before."""
    return [
        info
        async for page in store.objects(layout.log)
        for info in page
        if (match := NAME.fullmatch(info.name, len(layout.log))) and match["run"] == run
    ]


async def entry_in(store: ObjectStore, line: LogLine) -> LogEntry:
    """The entry of a line. Raises DocumentError."""
    data = line.data
    if data is None:
        stored = await read_object(store, line.name)
        if stored is None:
            raise DocumentError("read", line.name, "it was deleted")
        data = stored.data
    return decode(data, LogEntry, line.name)


async def published_in(store: ObjectStore, layout: Layout, lines: Sequence[LogLine]) -> Latest | None:
    """The published run of a log, None where the log is empty. lines: as `read_log` returns them.

    Entries that do not count are logged. Raises the error of the first one if none does.
    """
    first: BqdumpError | None = None
    for line in lines:
        try:
            return await _latest_of(store, layout, line)
        except OutdatedError:
            # So are all others, and nothing is wrong with the entry.
            raise
        except (DocumentError, VerificationError) as error:
            log_refused(line.name, error)
            first = first or error
    if first:
        raise first
    return None


async def counts(store: ObjectStore, layout: Layout, line: LogLine) -> bool:
    """Whether an entry counts."""
    with suppress(DocumentError, VerificationError):
        await _latest_of(store, layout, line)
        return True
    return False


def latest_of(entry: LogEntry, layout: Layout, generation: int) -> Latest:
    """The run of an entry as latest.json names it. generation: of its manifest."""
    names = layout.run(entry.run)
    return Latest(
        run=entry.run,
        number=entry.number,
        dataset=entry.dataset,
        project=entry.project,
        snapshot_time=entry.snapshot_time,
        snapshot=entry.snapshot,
        status=entry.status,
        mode=entry.mode,
        manifest=names.manifest.name,
        manifest_generation=generation,
        over=entry.over,
        carried=entry.totals.carried,
        oldest_snapshot_time=entry.oldest_snapshot_time,
        iceberg=names.iceberg.name if entry.iceberg else "",
        locked=entry.locked,
    )


async def entries_in(store: ObjectStore, layout: Layout, lines: Sequence[LogLine]) -> dict[str, LogEntry]:
    """The entry of each run that has one that can be read; of several, the one that the run's manifest is of.

    A request for each where listings have no notes, and for the manifest of a run with several.
    """
    entries = dict[str, list[LogEntry]]()

    async def add(line: LogLine) -> None:
        with suppress(DocumentError, VerificationError):
            entry = await entry_in(store, line)
            entries.setdefault(line.run, []).append(entry)

    await gathered(add, lines, READS_AT_ONCE)

    async def true(run: str) -> LogEntry:
        found = sorted(entries[run], key=lambda entry: entry.age, reverse=True)
        if len(found) > 1:
            with suppress(DocumentError, VerificationError):
                name = layout.run(run).manifest.name
                stored = await read_object(store, name)
                taken = decode(stored.data, _Taken, name) if stored else None
                found.sort(key=lambda entry: taken is None or entry.snapshot != taken.snapshot)
        return found[0]

    runs = sorted(entries)
    return dict(zip(runs, await gathered(true, runs, READS_AT_ONCE), strict=True))


async def manifests_in(store: ObjectStore, layout: Layout) -> dict[str, int]:
    """The generation of the manifest of each run that has one, from one listing. None where keys are trusted: there,
    each manifest is read.
    """
    if store.abilities.trusting:
        return {}
    found = await store.in_folders(layout.runs, "manifest.json")
    return {info.name.removeprefix(layout.runs).partition("/")[0]: info.generation for info in found}


async def _latest_of(store: ObjectStore, layout: Layout, line: LogLine) -> Latest:
    entry = await entry_in(store, line)
    return latest_of(entry, layout, await check_manifest(store, layout, entry))


async def check_manifest(
    store: ObjectStore, layout: Layout, entry: LogEntry, listed: Mapping[str, int] | None = None
) -> int:
    """The generation of the manifest of an entry. Raises DocumentError if it is missing or damaged.

    listed: see manifests_in. Of one that is listed as it was stored, nothing more is asked.

    It is read only if it was written again since: by an erasure, as part of a copy, or by whoever damaged it; and where
    keys are trusted, as an entry is not signed.
    """
    if listed and listed.get(entry.run) == entry.generation:
        return entry.generation
    name = layout.run(entry.run).manifest.name
    if not store.abilities.trusting:
        info = await store.stat(name)
        if info is None:
            raise DocumentError("read", name, "it does not exist", f"{RESTORE}.")
        if info.generation == entry.generation:
            return info.generation
    try:
        stored = await read_object(store, name)
    except OutdatedError as error:
        if error.snapshot == entry.snapshot:
            raise
        raise DocumentError("read", name, f"it is of another time than {entry.snapshot_time}", f"{RESTORE}.") from None
    manifest = decode_moved(stored.data, Manifest, name) if stored else None
    if stored is None or manifest is None:
        raise DocumentError("read", name, "it does not exist", f"{RESTORE}.")
    if manifest.age != entry.age:
        here, there = rfc3339(manifest.snapshot), rfc3339(entry.snapshot)
        cause = f"it is of run {manifest.run}, {here}, and not of {entry.run}, {there}"
        raise DocumentError("read", name, cause, f"{RESTORE}.")
    return stored.generation


def log_refused(name: str, error: BqdumpError) -> None:
    """Log that an entry of the log, a pointer, or the record of a drill is passed over."""
    if error.subject == name:
        why = fill(error.cause, COMMANDS)
    elif error.hint.startswith(RESTORE):
        # Of what is planted there, no earlier version is to be restored.
        why = DocumentError(error.operation, error.subject, error.cause).sentence(COMMANDS)
    else:
        why = error.sentence(COMMANDS)
    log.warning("%s is not used: %s", name, why, extra=LogEvent.LATEST_UNREADABLE.extra())
