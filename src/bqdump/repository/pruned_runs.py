"""Runs that were pruned: each has a mark, and from then on no reader finds it. Files are deleted by age, not by proof.

The first prune a day after the mark deletes what no other manifest names. A run reuses only files of runs that were in
the log when it was planned. Before it enters the log itself, it looks at their marks once more: it is refused if one of
them is older than 20 hours. So whatever a published run names was there to stay when it was published, and no two
processes have to find each other. All ages are those of the store's clock.
"""

from __future__ import annotations

from collections.abc import Container, Iterable

from msgspec import Struct

from bqdump.concurrency import gathered
from bqdump.core.documents.document import Document
from bqdump.core.documents.layout import Layout
from bqdump.core.documents.manifest import ManifestFiles
from bqdump.core.errors import PLAN, UnavailableError, UsageError
from bqdump.core.settings.settings import Settings
from bqdump.ports.store import ObjectStore
from bqdump.repository.log import read_log_with_pruned
from bqdump.repository.repository import exists, load, value_of
from bqdump.repository.storage import READS_AT_ONCE, erasure_records

HOUR_MS = 3_600_000
# A mark of this age lets a prune delete the files of its run.
DELETABLE_MS = 24 * HOUR_MS
# A mark of this age lets no run that relies on these files enter the log, be its last requests hours late.
LATE_MS = 20 * HOUR_MS


async def is_pruned(store: ObjectStore, layout: Layout, run: str) -> bool:
    """Whether a run was pruned. A locked copy has no mark of bqdump's, so whoever has marked it, it is there."""
    if not await exists(store, layout.mark(run)):
        return False
    manifest = await store.stat(layout.run(run).manifest.name)
    if manifest and manifest.locked_until:
        return False
    return all(line.run != run for line in (await read_log_with_pruned(store, layout)).lines)


async def refuse_pruned_id(store: ObjectStore, layout: Layout, run: str) -> None:
    """Raise UsageError for the id of a run that was pruned: later runs may still name its files."""
    if await is_pruned(store, layout, run):
        raise UsageError(PLAN, f"run {run}", "a run of this id was pruned", "Use another run id.", setting="run_id")


async def time_by_store(store: ObjectStore, layout: Layout) -> int:
    """The time by the store's clock, in milliseconds since 1970 UTC; 0 if it has none. Writes a small object."""
    await store.write(layout.clock, b"{}\n", None)
    info = await store.stat(layout.clock)
    return info.updated if info else 0


async def refuse_late(store: ObjectStore, settings: Settings, run: str, bases: Iterable[str]) -> None:
    """Raise UnavailableError if this run came too late for the log: a run whose files it names was pruned long ago.

    bases: the runs whose manifests it has taken entries from. They name also what even earlier runs have made.
    """
    for base in sorted(set(bases)):
        mark = await store.stat(settings.layout.mark(base).name)
        if mark and await time_by_store(store, settings.layout) - mark.updated > LATE_MS:
            cause = f"it reuses files of run {base}, which was pruned more than {LATE_MS // HOUR_MS} hours ago"
            raise UnavailableError("publish", f"run {run}", cause, "Start a new run.")


class BeingDeleted(Struct, frozen=True):
    """Files that prunes may be about to delete, by name and generation.

    relied_on: a run whose copy is in progress and relies on one of them, so that nobody may replace it; "" for none.
    """

    files: frozenset[tuple[str, int]]
    relied_on: str = ""


async def files_being_deleted(store: ObjectStore, layout: Layout, run: str, names: Container[str]) -> BeingDeleted:
    """The files of these names that prunes may be about to delete in a place of copies, for the copy of a run: those of
    runs that were pruned more than 20 hours ago, and those of an erased table that a task of a copy had stored again.

    Raises DocumentError for a manifest that cannot be read.
    """
    deleting, kept = set[tuple[str, int]](), list[str]()
    for record in await erasure_records(store, layout):
        deleting.update((file.name, file.generation) for file in record.value.deleting if file.name in names)
    pruned = (await read_log_with_pruned(store, layout)).pruned
    folders = await store.folders(layout.runs)
    now = await time_by_store(store, layout) if pruned.keys() & {*folders} else 0
    for other in folders:
        if other in pruned and now - pruned[other] > LATE_MS:
            deleting.update(file for file in await _named_by(store, layout, other) if file[0] in names)
        else:
            kept.append(other)
    relying: dict[str, set[tuple[str, int]]] = {}
    named = set[tuple[str, int]]()

    async def spare(other: str) -> None:
        files = await _named_by(store, layout, other)
        if files:
            named.update(files)
        elif other != run and (copied := await _relies_on(store, layout, other, deleting)):
            relying[other] = copied

    if deleting:
        await gathered(spare, kept, READS_AT_ONCE)
    left = frozenset(deleting - named)
    return BeingDeleted(left, min((other for other, files in relying.items() if files & left), default=""))


async def _named_by(store: ObjectStore, layout: Layout, run: str) -> set[tuple[str, int]]:
    """The files of the tables of a run, as its manifest names them; none without one."""
    manifest = await value_of(store, Document(layout.run(run).manifest.name, ManifestFiles))
    tables = manifest.tables if manifest else ()
    return {(file.name, file.generation) for entry in tables for file in entry.files}


async def _relies_on(store: ObjectStore, layout: Layout, run: str, files: set[tuple[str, int]]) -> set[tuple[str, int]]:
    """Of these files, those that the copy of a run relies on while it is in progress: that it does not move again."""
    copying = await load(store, layout.run(run).copying)
    if copying is None or not (expected := set(copying.value.names)):
        return set()
    renewed = await value_of(store, layout.run(run).renewed(copying.generation))
    return {file for file in files if file[0] in expected} - set(renewed.files if renewed else ())
