"""References: how a run that names files of an earlier one keeps prune from deleting them.

The run writes a reference and then looks for a tombstone; prune writes a tombstone and then looks for references. So at
least one of them sees the other. Where the run finds a tombstone that is decided, it does not rely on the files. Where
prune finds a reference of a run that has neither ended nor been abandoned, it withdraws the tombstone.

In the same way, a run that was abandoned, and is still alive after all, comes back only as long as nothing is decided:
it writes its manifest and then looks for its own tombstone; prune writes the tombstone and then looks for a manifest.

A tombstone that is only proposed is withdrawn by whoever finds it, too: a prune that was killed would never do so, and
one that is still alive decides by compare-and-swap, so that it notices.

The storage of a target: what each run names, and what it shares with others. It takes reading every manifest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Container
from contextlib import suppress
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from bqdump.concurrency import gathered
from bqdump.core.documents.document import Document
from bqdump.core.documents.layout import Layout
from bqdump.core.documents.manifest import ManifestFiles
from bqdump.core.documents.retention import Erasure, Reference, RetainedFiles
from bqdump.core.documents.run import Plan
from bqdump.core.documents.run_layout import RunLayout
from bqdump.core.errors import PLAN, DocumentError, UsageError
from bqdump.core.settings.settings import Settings
from bqdump.ports.store import ObjectStore
from bqdump.repository.objects import present
from bqdump.repository.repository import Loaded, create, delete, exists, load, value_of

if TYPE_CHECKING:
    from bqdump.core.retention.pruned import Storage


async def being_pruned(store: ObjectStore, names: RunLayout) -> bool:
    """Whether the deletion of a run is decided. A tombstone that is only proposed is withdrawn.

    Call it once the reason against the deletion is stored, so that the next prune that proposes it finds that reason.
    """
    tombstone = await load(store, names.tombstone)
    if tombstone and not tombstone.value.decided:
        await delete(store, [(names.tombstone.name, tombstone.generation)])
        tombstone = await load(store, names.tombstone)
    return tombstone is not None and tombstone.value.decided


async def refuse_pruned(store: ObjectStore, names: RunLayout, run: str) -> None:
    """Raise UsageError for the id of a run that is being pruned, or was as long as other runs name files of it."""
    if await exists(store, names.tombstone):
        cause = "a run of this id was pruned or is being pruned, and other runs may still name its files"
        raise UsageError(PLAN, f"run {run}", cause, "Use another run id.", setting="run_id")


async def pruned_early(store: ObjectStore, names: RunLayout, plan: Plan) -> bool:
    """Whether this run is being pruned, or was, while it was planned. Call it once its plan is stored."""
    pruned, stored = await _being_pruned(store, names)
    return pruned or plan.units not in stored


async def _being_pruned(store: ObjectStore, names: RunLayout) -> tuple[bool, list[str]]:
    """Whether the deletion of a run is decided, and the names of its documents that follow a tombstone's: its units.

    One listing shows both. In this order: prune deletes the tombstone last, when the units have gone.
    """
    documents = [info.name async for page in store.objects(names.root, names.tombstone.name) for info in page]
    return names.tombstone.name in documents and await being_pruned(store, names), documents


async def pruned_meanwhile(store: ObjectStore, names: RunLayout, plan: Plan) -> Literal["", "pruned", "planned anew"]:
    """Whether this run is being pruned, or was, so that its id may be that of a new run. Call it once its manifest is
    stored. "pruned": no new run had its id before this call.
    """
    pruned, documents = await _being_pruned(store, names)
    if pruned:
        return "pruned"
    if plan.units in documents:
        return ""
    # Prune deletes the tombstone last, when the plan has gone.
    stored = await value_of(store, names.plan)
    if stored is None:
        return "pruned"
    return "" if stored.nonce == plan.nonce else "planned anew"


async def refer(store: ObjectStore, layout: Layout, earlier: str, run: str) -> bool:
    """Record that `run` relies on files that the manifest of `earlier` names. False: that run is, or was, pruned.

    `run` must have its note as a planner, or its plan, before this; else prune takes the reference for one left behind.
    Only the run whose manifest is read needs a reference: as long as it is not pruned, prune deletes nothing that it
    names, also not what even earlier runs have made.
    """
    names = layout.run(earlier)
    await create(store, names.reference(run), Reference(run))
    # In this order: prune deletes the tombstone last, when the manifest has gone.
    return not await being_pruned(store, names) and await exists(store, names.manifest)


async def erasure_records(store: ObjectStore, layout: Layout, table: str = "") -> list[Loaded[Erasure]]:
    """The records of erasures, each with its generation. table: only those of this one."""
    records = list[Loaded[Erasure]]()
    async for page in store.objects(layout.erasures):
        for info in page:
            record = await load(store, Document(info.name, Erasure))
            if record and table in ("", record.value.erasing.table):
                records.append(record)
    return records


class BeingDeleted(Struct, frozen=True):
    """Files that prunes may be about to delete, by name and generation.

    relied_on: a run whose copy is in progress and relies on one of them, so that nobody may replace it; "" for none.
    """

    files: frozenset[tuple[str, int]]
    relied_on: str = ""


async def files_being_deleted(store: ObjectStore, layout: Layout, run: str, names: Container[str]) -> BeingDeleted:
    """The files of these names that prunes may be about to delete in a place of copies, for the copy of a run: those of
    runs that are deleted, and those of an erased table that a task of a copy had stored again.

    What a run names that is not being pruned stays: a prune that decides to delete that run later finds the copy that
    is in progress by then. Raises DocumentError for a manifest that cannot be read.
    """
    deleting, kept = set[tuple[str, int]](), list[str]()
    for record in await erasure_records(store, layout):
        deleting.update((file.name, file.generation) for file in record.value.deleting if file.name in names)
    for other in await store.folders(layout.runs):
        tombstone = await value_of(store, layout.run(other).tombstone)
        if tombstone and tombstone.decided:
            deleting.update((file.name, file.generation) for file in tombstone.files if file.name in names)
        else:
            kept.append(other)
    relying: dict[str, set[tuple[str, int]]] = {}

    async def spare(other: str) -> None:
        # After its tombstone was looked for: a run loses its manifest only once it has a tombstone.
        copied = set() if other == run else await _relies_on(store, layout.run(other), deleting)
        manifest = await value_of(store, Document(layout.run(other).manifest.name, ManifestFiles))
        if manifest:
            named.update((file.name, file.generation) for entry in manifest.tables for file in entry.files)
        elif copied:
            relying[other] = copied

    named = set[tuple[str, int]]()
    if deleting:
        await gathered(spare, kept, READS_AT_ONCE)
    left = frozenset(deleting - named)
    return BeingDeleted(left, min((other for other, files in relying.items() if files & left), default=""))


async def _relies_on(store: ObjectStore, names: RunLayout, files: Collection[tuple[str, int]]) -> set[tuple[str, int]]:
    """Of these files, those that the copy of a run relies on while it is in progress: that it does not move again."""
    copying = await load(store, names.copying)
    if copying is None or not (expected := set(copying.value.names)):
        return set()
    renewed = await value_of(store, names.renewed(copying.generation))
    return {file for file in files if file[0] in expected} - set(renewed.files if renewed else ())


async def is_left_over(store: ObjectStore, names: RunLayout, manifest: RetainedFiles) -> bool:
    """Whether a manifest is all that is left of a copy that was pruned, and lacks files.

    The request that stores it was carried out when the prune had ended, and its task was killed before it could take
    the manifest back. Prune has deleted copying.json and contents.json; every other copy has one of them at least. If
    all files are there, it is a copy.
    """
    if manifest.copy_of is None or manifest.copy_of.locked_until:
        return False
    if await exists(store, names.copying) or await exists(store, names.contents):
        return False
    files = {(file.name, file.generation) for table in manifest.tables for file in table.files}
    stored = await present(store, [name for name, _ in files]) if files else {}
    return not files <= {(info.name, info.generation) for info in stored.values()}


READS_AT_ONCE = 4


class PresentFiles:
    """The files below the target, listed when they are first needed.

    Where exports replace files, few of those that older manifests name are left.
    """

    def __init__(self, store: ObjectStore, settings: Settings) -> None:
        self._store, self._settings, self._lock = store, settings, asyncio.Lock()
        self._found: set[tuple[str, int]] | None = None

    async def of(self, manifest: RetainedFiles) -> Container[tuple[str, int]] | None:
        """Names and generations of what exists; None where everything that this manifest names does."""
        if not manifest.replaces:
            return None
        async with self._lock:
            if self._found is None:
                self._found = await self._list()
        return self._found

    async def _list(self) -> set[tuple[str, int]]:
        referenced, layout = set[tuple[str, int]](), self._settings.layout
        async for page in self._store.objects(self._settings.target.prefix):
            files = (info for info in page if info.name.startswith(layout.iceberg) or layout.root not in info.name)
            referenced.update((file.name, file.generation) for file in files)
        return referenced


async def read_storage(store: ObjectStore, settings: Settings) -> Storage:
    """The storage of all runs whose manifests can be read."""
    from bqdump.core.retention.pruned import Storage

    storage, present = Storage(), PresentFiles(store, settings)

    async def add(run: str) -> None:
        with suppress(DocumentError):
            document = Document(settings.layout.run(run).manifest.name, RetainedFiles)
            if manifest := await value_of(store, document):
                storage.add(run, manifest, await present.of(manifest))

    await gathered(add, await store.folders(settings.layout.runs), READS_AT_ONCE)
    return storage
