"""The deletion of runs that is decided: manifest, then files, then documents, and the tombstone last.

Files of the run that other runs name stay, and with them the tombstone, so that no new run gets their names with the
run's id. It stays also for objects that may not be the run's own, which each prune names until they are deleted.

Every step may be repeated, by any prune: what a tombstone names is deleted only at its generation, and only where no
manifest names it. The manifests are read after those of the removed runs are deleted. So of two prunes that remove runs
with files in common, the one that comes later deletes these.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Sequence

import msgspec

from bqdump.concurrency import gathered
from bqdump.core.documents.retention import Erasure, ObjectVersion, Tombstone
from bqdump.core.documents.target import NAME
from bqdump.core.errors import BqdumpError
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.retention.pruned import Sweep, is_document
from bqdump.core.sizes import counted
from bqdump.repository.log import entries_of
from bqdump.repository.manifests import read_retained, refuse_missing
from bqdump.repository.references import READS_AT_ONCE, erasure_records
from bqdump.repository.repository import Loaded, delete, exists, load, replace, value_of
from bqdump.retain.leftovers import arrived, outermost
from bqdump.retain.plan import PrunePlan, Swept
from bqdump.retain.survey import Task

log = logging.getLogger(__name__)


async def sweep(task: Task, plan: PrunePlan) -> Swept:
    """Delete the runs of a plan that was examined, and what is left in folders that hold no run any more."""
    for tombstone in plan.deletions:
        await _delete_manifest(task, tombstone)
    present = await _removable(task, plan)
    if any(file.name.startswith(task.layout.iceberg) for file in present):
        # Imported where there are Iceberg tables only.
        from bqdump.retain.iceberg import forget_snapshots

        await forget_snapshots(task, present)
    answers = await task.store.delete([(file.name, file.generation) for file in present])
    for answer in answers:
        if isinstance(answer, BqdumpError):
            raise answer
    # Another prune may have deleted some of them.
    deleted = [file for file, was_there in zip(present, answers, strict=True) if was_there]
    left = list[str]()
    for run in plan.survey.orphans:
        left += await _delete_documents(task, run)
    for tombstone in plan.deletions:
        left += await _delete_documents(task, tombstone.value.run, tombstone.generation)
        left += await _close(task, tombstone)
    await _delete_late_entries(task)
    deleted += await delete_erased_again(task) if plan.of_copies else []
    return Swept(len(deleted), sum(file.size for file in deleted), tuple(left))


async def forecast(task: Task, plan: PrunePlan) -> Swept:
    """What `sweep` would delete, and what it would leave in the runs' folders."""
    present, left = await _removable(task, plan), list[str]()
    present += [file for _, files in await erased_again(task) for file in files] if plan.of_copies else []
    begun = {tombstone.value.run for tombstone in plan.survey.deleting}
    for run in plan.survey.orphans:
        left += await _foreign(task, run)
    for tombstone in (tombstone.value for tombstone in plan.deletions):
        left += await _foreign(task, tombstone.run)
        left += (await _remaining(task, tombstone))[1] if tombstone.run in begun else tombstone.left
    return Swept(len(present), sum(file.size for file in present), tuple(left))


async def erased_again(task: Task, table: str = "") -> list[tuple[Loaded[Erasure], list[ObjectVersion]]]:
    """Files of erased tables that are in a place of copies again, and that no run names, with the records of erasures.

    A task that is late has stored them, as another one had before they were erased. table: of this one only.
    """
    records = list[tuple[Loaded[Erasure], list[ObjectVersion]]]()
    for record in await erasure_records(task.store, task.layout, table):
        again = (await arrived(task, record.value.copied)).own if record.value.done else ()
        records.append((record, await _unnamed(task, again) if again else []))
    return [(record, files) for record, files in records if files]


async def delete_erased_again(task: Task) -> list[ObjectVersion]:
    """Delete the same files, at the generations that they have now; those that were deleted.

    The record names them first: a copy that begins after that moves them again, and one before has announced them.
    """
    all_deleted = list[ObjectVersion]()
    for record, files in await erased_again(task):
        document, table = task.layout.erasure(record.value.erasing), record.value.erasing.table
        named = tuple(dict.fromkeys((*record.value.deleting, *files)))
        deleting = msgspec.structs.replace(record.value, deleting=named)
        if not (generation := await replace(task.store, document, deleting, record.generation)):
            # Another prune does the same.
            continue
        free = await _unnamed(task, named)
        answers = await task.store.delete([(file.name, file.generation) for file in free])
        held = [file for file, answer in zip(free, answers, strict=True) if isinstance(answer, BqdumpError)]
        deleted = [file for file, answer in zip(free, answers, strict=True) if answer is True]
        # A prune that was overtaken may still delete what a run names by now. So it stays named here.
        kept = tuple(file for file in named if file not in free)
        left = (*(file for file in record.value.files if file not in named), *held)
        ended = msgspec.structs.replace(record.value, files=left, deleting=kept)
        await replace(task.store, document, ended, generation)
        all_deleted += deleted
        if deleted:
            message = "deleted %s of table %s, which was erased: a copy that was late had stored it again"
            erased = LogEvent.TABLE_ERASED.extra(table=table)
            log.info(message, counted(len(deleted), "file"), table, extra=erased)
    return all_deleted


async def _removable(task: Task, plan: PrunePlan) -> list[ObjectVersion]:
    """The files of the runs to delete that exist and that no other run names.

    Raises DocumentError for a manifest that cannot be read.
    """
    tombstones = [tombstone.value for tombstone in plan.deletions]
    files = [file for tombstone in tombstones for file in tombstone.files]
    return await _present(task, await _unnamed(task, files, {tombstone.run for tombstone in tombstones}), tombstones)


async def _unnamed(task: Task, files: Iterable[ObjectVersion], own: Collection[str] = ()) -> list[ObjectVersion]:
    """Of these files, those that no run names which is not pruned itself. own: the runs that this prune deletes.

    A run may be pruned while manifests are read, and what it named may be in a manifest that was stored after it was
    looked for. But it was stored before the other run's deletion was decided. So all runs are looked at once more
    until no more of them are found to be pruned.
    """
    unnamed, marked = Sweep(files), set(own)
    pruned: set[tuple[str, int]] = set()

    async def look(run: str) -> None:
        names = task.layout.run(run)
        manifest = await read_retained(task.store, names.manifest.name)
        tombstone = await load(task.store, names.tombstone)
        if tombstone and tombstone.value.decided:
            pruned.add((run, tombstone.generation))
        elif manifest:
            unnamed.mark(manifest)
            marked.add(run)
        elif await refuse_missing(task.store, task.layout, run) or not await exists(task.store, names.plan):
            pruned.add((run, 0))
            await keep_copied(run)

    async def keep_copied(run: str) -> None:
        """A copy in progress relies on files that are here already. Without names, it is complete meanwhile."""
        names = task.layout.run(run)
        copying = await value_of(task.store, names.copying)
        if copying and not copying.names and (manifest := await read_retained(task.store, names.manifest.name)):
            unnamed.mark(manifest)
        unnamed.keep(copying.names if copying else ())

    known = None
    # Nothing may be left to look for: then no manifest is read.
    while unnamed.files and known != pruned:
        known = set(pruned)
        runs = await task.store.folders(task.layout.runs)
        await gathered(look, [run for run in runs if run not in marked], READS_AT_ONCE)
    return unnamed.files


async def _present(task: Task, files: Iterable[ObjectVersion], tombstones: Iterable[Tombstone]) -> list[ObjectVersion]:
    """Of these files, those that exist, and do not belong to an export below another prefix.

    Found by listings: where exports replace files, nearly all that an old manifest names have been replaced.
    """
    by_generation, ours = {(file.name, file.generation): file for file in files}, task.settings.target.prefix
    folders = [
        _common_folder(names)
        for tombstone in tombstones
        if (names := [file.name for file in tombstone.files if (file.name, file.generation) in by_generation])
    ]
    present = []
    for folder in outermost(folders):
        async for page in task.store.objects(folder):
            for info in page:
                file = by_generation.get((info.name, info.generation))
                if file and (info.origin.count("/") < 2 or info.origin.split("/", 2)[2] == ours):
                    present.append(file)
    return present


async def _delete_manifest(task: Task, tombstone: Loaded[Tombstone]) -> None:
    """Before the files, so that no manifest lacks any. The entry in the log goes first: from then on, it is no run."""
    run, names = tombstone.value.run, task.layout.run(tombstone.value.run)
    entries = [info.name for info in await entries_of(task.store, task.layout, run)]
    for name in (*entries, names.manifest.name, names.contents.name):
        if (info := await task.store.stat(name)) and await _still(task, tombstone.value.run, tombstone.generation):
            await delete(task.store, [(name, info.generation)])


async def _delete_documents(task: Task, run: str, tombstone: int = 0) -> list[str]:
    """Delete the run's documents; the names of objects in its folder that are none of them. tombstone: see _still.

    Also what a publisher has entered in the log since.
    """
    names, left = task.layout.run(run), list[str]()
    async for page in task.store.objects(names.root):
        own = [info for info in page if is_document(info.name, names)]
        left += [info.name for info in page if info not in own and info.name != names.tombstone.name]
        if own and await _still(task, run, tombstone):
            await delete(task.store, [(info.name, info.generation) for info in own])
    entries = [info.name for info in await entries_of(task.store, task.layout, run)]
    for name in (task.layout.stages(run).name, task.layout.tags(run).name, *entries):
        if (info := await task.store.stat(name)) and await _still(task, run, tombstone):
            await delete(task.store, [(name, info.generation)])
    return left


async def _foreign(task: Task, run: str) -> list[str]:
    """The names of objects in the run's folder that are none of its documents."""
    names, pages = task.layout.run(run), task.store.objects(task.layout.run(run).root)
    found = [info.name async for page in pages for info in page if not is_document(info.name, names)]
    return [name for name in found if name != names.tombstone.name]


async def _still(task: Task, run: str, tombstone: int) -> bool:
    """Whether what was listed before this is of the run that is pruned, not of a new one that has its id.

    tombstone: the generation of its tombstone. As long as it is there, no new run begins. 0: what is left of a run
    without one; a new run writes the note of its planner first.
    """
    names = task.layout.run(run)
    if tombstone:
        stored = await task.store.stat(names.tombstone.name)
        return stored is not None and stored.generation == tombstone
    return not await exists(task.store, names.planner) and not await exists(task.store, names.plan)


async def _delete_late_entries(task: Task) -> None:
    """Delete the entries of runs that have no folder: they were entered in the log after their prune had ended."""
    entries = [
        (match["run"], info.name, info.generation)
        async for page in task.store.objects(task.layout.log)
        for info in page
        if (match := NAME.fullmatch(info.name, len(task.layout.log)))
    ]
    # In this order: a run has its folder before it has an entry.
    runs = set(await task.store.folders(task.layout.runs)) if entries else set()
    await delete(task.store, [(name, generation) for run, name, generation in entries if run not in runs])


async def _close(task: Task, tombstone: Loaded[Tombstone]) -> tuple[str, ...]:
    """Delete the tombstone, unless own files of the run are left: then it keeps their names taken.

    Returns objects at its names that are not the run's for certain.
    """
    document = task.layout.run(tombstone.value.run).tombstone
    files, left = await _remaining(task, tombstone.value)
    if not files and not left:
        await delete(task.store, [(document.name, tombstone.generation)])
    elif (files, left) != (tombstone.value.files, tombstone.value.left) or not tombstone.value.emptied:
        emptied = msgspec.structs.replace(tombstone.value, emptied=True, files=files, left=left)
        # Where this loses, another prune has done the same.
        await replace(task.store, document, emptied, tombstone.generation)
    return left


async def _remaining(task: Task, tombstone: Tombstone) -> tuple[tuple[ObjectVersion, ...], tuple[str, ...]]:
    """What is left at the names of a run, where each run has names of its own: its files, which other runs name, and
    objects that are not its own for certain. Files that it has carried over keep the names of other runs taken.
    """
    if tombstone.replaces:
        return (), ()
    own = {file.name: file for file in tombstone.files if tombstone.run in file.name}
    names = {*own, *tombstone.left}
    generations: dict[str, int] = {}
    for folder in outermost(name[: name.rfind("/") + 1] for name in names):
        async for page in task.store.objects(folder):
            generations.update((info.name, info.generation) for info in page if info.name in names)
    files = tuple(file for file in own.values() if generations.get(file.name) == file.generation)
    return files, tuple(sorted(generations.keys() - {file.name for file in files}))


def _common_folder(names: Sequence[str]) -> str:
    first, last = min(names), max(names)
    same = next((at for at, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))
    return first[: first.rfind("/", 0, same) + 1]
