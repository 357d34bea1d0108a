"""From the plan of a prune to files: which of them go now, which in a day, and their deletion.

A run is marked first: from then on no reader finds it. The first prune a day later deletes its files that no other
manifest names, then its documents, and the manifest last: so a prune that was killed is finished by the next one. No
other run can have come to rely on these files since: see `repository.pruned_runs`.

Every step may be repeated, by any prune: what a manifest names is deleted only at its generation.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from bqdump.concurrency import gathered
from bqdump.core.documents.retention import Erasure, ObjectVersion, PrunedRun
from bqdump.core.errors import BqdumpError, UsageError
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.retention.policy import KEEP_TAG
from bqdump.core.retention.pruned import Storage, Sweep, is_document, versions_of
from bqdump.core.sizes import counted
from bqdump.core.times import rfc3339
from bqdump.repository.log import entries_of
from bqdump.repository.manifests import lost, read_retained
from bqdump.repository.notes import read_tags
from bqdump.repository.published import read_latest
from bqdump.repository.repository import Loaded, create, delete, exists, replace, value_of
from bqdump.repository.storage import READS_AT_ONCE, PresentFiles, erasure_records
from bqdump.retain.leftovers import Leftovers, arrived, copies_of, leftovers_of, metadata_of, outermost
from bqdump.retain.plan import PrunePlan, Swept
from bqdump.retain.survey import Complete, Task, Unfinished, named

log = logging.getLogger(__name__)


class Files(NamedTuple):
    """The files of a plan that exist and that no other run names.

    now: those of runs that were pruned before.
    later: those of runs that are pruned now.
    left: objects at final names that are not a run's for certain.
    storage: what each run names; None where no manifest had to be read.
    """

    now: tuple[ObjectVersion, ...] = ()
    later: tuple[ObjectVersion, ...] = ()
    left: tuple[str, ...] = ()
    storage: Storage | None = None


async def files_of(task: Task, plan: PrunePlan) -> Files:
    """The files of a plan. Nothing is read where it prunes and deletes nothing.

    Raises DocumentError for a manifest that is missing or cannot be read: it may name these files.
    """
    leaving = {run.run for run in plan.leaving}
    if not plan.due and not leaving:
        return Files()
    storage, present = Storage(), PresentFiles(task.store, task.settings)
    entered = {run.run: run for run in plan.survey.complete}
    going, left = dict[str, Sequence[ObjectVersion]](), list[str]()
    for run in sorted({*plan.due, *leaving}):
        own = await _own(task, run)
        going[run] = own.own
        left += own.unowned if run in plan.due else ()
    now = Sweep(file for run in plan.due for file in going[run])
    total = Sweep(file for files in going.values() for file in files)
    for run in leaving:
        now.keep_versions(going[run])

    async def look(run: str) -> None:
        manifest = await read_retained(task.store, task.layout.run(run).manifest.name)
        if manifest:
            storage.add(run, manifest, await present.of(manifest))
        elif run in entered:
            raise await _lost(task, entered[run])
        if run in plan.due or run in leaving:
            return
        if manifest:
            now.mark(manifest)
            total.mark(manifest)
        # A copy in progress relies on files that are here already.
        elif copying := await value_of(task.store, task.layout.run(run).copying):
            now.keep(copying.names)
            total.keep(copying.names)

    await gathered(look, sorted({*plan.survey.runs, *entered}), READS_AT_ONCE)
    there = await _present(task, total.files, list(going.values()))
    first = {(file.name, file.generation) for file in now.files}
    return Files(
        tuple(file for file in there if (file.name, file.generation) in first),
        tuple(file for file in there if (file.name, file.generation) not in first),
        tuple(left),
        storage,
    )


async def _lost(task: Task, run: Complete) -> BqdumpError:
    entries = await entries_of(task.store, task.layout, run.run)
    entry = entries[-1].name if entries else task.layout.entry(run.run, run.snapshot).name
    return lost(task.layout, run.run, f"{entry} shows that the run was complete", entry)


async def _own(task: Task, run: str) -> Leftovers:
    """What goes with a run unless another one names it."""
    names = task.layout.run(run)
    if manifest := await read_retained(task.store, names.manifest.name):
        more = await metadata_of(task, run) if any(table.iceberg for table in manifest.tables) else ()
        return Leftovers(tuple(dict.fromkeys((*versions_of(manifest), *more))), ())
    if plan := await value_of(task.store, names.plan):
        return await leftovers_of(task, plan)
    copying = await value_of(task.store, names.copying)
    return await copies_of(task, run, copying.files if copying else ())


async def mark(task: Task, plan: PrunePlan) -> PrunePlan:
    """Take the runs to prune out of the log; the plan without those that something has spoken for meanwhile.

    Whoever tags, publishes or finishes a run looks at its mark afterwards, so one of the two sees the other.
    """
    for run in plan.leaving:
        await create(task.store, task.layout.mark(run.run), _mark(run))
    objections = await _objections(task, plan.leaving) if plan.leaving else {}
    await _delete_names(task, [task.layout.mark(name).name for name in (*objections, *sorted(plan.tagged))])
    return plan.without(objections)


def _mark(run: Complete | Unfinished) -> PrunedRun:
    if isinstance(run, Complete):
        (project, dataset), taken = run.dataset, run.snapshot_time
        return PrunedRun(run=run.run, project=project, dataset=dataset, snapshot_time=taken)
    plan = run.plan
    project, dataset, taken = (plan.project, plan.dataset, rfc3339(plan.snapshot)) if plan else ("", "", "")
    mark = PrunedRun(run=run.run, complete=False, project=project, dataset=dataset, snapshot_time=taken)
    return msgspec.structs.replace(mark, copied=bool(run.copied))


async def _objections(task: Task, runs: Sequence[Complete | Unfinished]) -> dict[str, str]:
    """Why runs must stay, by name: what has changed since they were chosen."""
    latest = await read_latest(task.store, task.settings)
    published = named(latest, await value_of(task.store, task.layout.publishing))
    tags = await read_tags(task.store, task.layout)
    objections: dict[str, str] = {}
    for run in runs:
        names = task.layout.run(run.run)
        if run.run in published:
            objections[run.run] = "being published"
        elif chosen := set(tags.get(run.run, ())).intersection((*task.policy.tags, KEEP_TAG)):
            objections[run.run] = f"tag {min(chosen)}"
        elif isinstance(run, Unfinished) and await exists(task.store, names.manifest):
            objections[run.run] = "it has been completed meanwhile"
        elif isinstance(run, Unfinished) and run.plan is None and await _pulse(task, run.run) != run.pulse:
            # Its task was not dead, or was started again.
            objections[run.run] = "it is needed again"
    return objections


async def _pulse(task: Task, run: str) -> int:
    planner = await task.store.stat(task.layout.run(run).planner.name)
    return planner.updated if planner else 0


def refuse_unfinished(task: Task, plan: PrunePlan) -> None:
    """Raise UsageError for files that are to be deleted at once while a run may come to rely on them."""
    if unfinished := [run.run for run in plan.survey.unfinished if plan.reasons[run.run]]:
        cause = f"run {unfinished[0]} has not ended, and may rely on files of the runs to delete"
        hint = "Let it end, or leave {setting:now} out: then a prune deletes these files in a day."
        raise UsageError("prune", str(task.settings.target), cause, hint)


async def sweep(task: Task, plan: PrunePlan, files: Files) -> Swept:
    """Delete these files and the runs of a plan that are due, and what is left in folders that hold no run any more."""
    if any(file.name.startswith(task.layout.iceberg) for file in files.now):
        # Imported where there are Iceberg tables only.
        from bqdump.retain.iceberg import forget_snapshots

        await forget_snapshots(task, files.now)
    answers = await task.store.delete([(file.name, file.generation) for file in files.now])
    for answer in answers:
        if isinstance(answer, BqdumpError):
            raise answer
    # Another prune may have deleted some of them.
    deleted = [file for file, was_there in zip(files.now, answers, strict=True) if was_there]
    left = list(files.left)
    for run in plan.survey.orphans:
        left += await _delete_documents(task, run, orphan=True)
    for run in sorted(plan.due):
        left += await _delete_documents(task, run)
    # Those of runs without a folder were entered after their prune had ended.
    late = [run for run in plan.survey.late if run in plan.due or run not in plan.survey.runs]
    await _delete_names(task, [name for run in late for name in plan.survey.late[run]])
    abandoned = {run.run for run in plan.survey.marked if run.mark.copied}
    for run in sorted(plan.due):
        await _delete_names(task, [task.layout.run(run).manifest.name])
        if run in abandoned:
            await _delete_names(task, [task.layout.mark(run).name])
    deleted += await delete_erased_again(task)
    return _swept(deleted, files, left)


async def forecast(task: Task, plan: PrunePlan, files: Files) -> Swept:
    """What `sweep` would delete, and what it would leave in the runs' folders."""
    if task.at_once:
        files = files._replace(now=(*files.now, *files.later), later=())
    gone, left = list(files.now), list(files.left)
    gone += [file for _, again in await erased_again(task) for file in again]
    for run in (*plan.survey.orphans, *sorted(plan.due)):
        names, pages = task.layout.run(run), task.store.objects(task.layout.run(run).root)
        left += [info.name async for page in pages for info in page if not is_document(info.name, names)]
    return _swept(gone, files, left)


def _swept(deleted: Sequence[ObjectVersion], files: Files, left: Sequence[str]) -> Swept:
    later = sum(file.size for file in files.later)
    return Swept(len(deleted), sum(file.size for file in deleted), tuple(left), len(files.later), later)


async def _delete_documents(task: Task, run: str, *, orphan: bool = False) -> list[str]:
    """Delete the run's documents except its manifest; the names of objects in its folder that are none of them.

    orphan: it has no mark, so a new run may have its id: that one writes the note of its planner first.
    """
    names, left = task.layout.run(run), list[str]()
    async for page in task.store.objects(names.root):
        own = [info for info in page if is_document(info.name, names)]
        left += [info.name for info in page if info not in own]
        if orphan and (await exists(task.store, names.planner) or await exists(task.store, names.plan)):
            return left
        documents = [(info.name, info.generation) for info in own if info.name != names.manifest.name]
        await delete(task.store, documents)
    if not orphan:
        await _delete_names(task, [task.layout.stages(run).name, task.layout.tags(run).name])
    return left


async def _delete_names(task: Task, names: Iterable[str]) -> None:
    """Delete documents of runs that are pruned, at the generations that they have now."""
    for name in names:
        if info := await task.store.stat(name):
            await delete(task.store, [(name, info.generation)])


async def _present(
    task: Task, files: Iterable[ObjectVersion], runs: Iterable[Sequence[ObjectVersion]]
) -> list[ObjectVersion]:
    """Of these files, those that exist, and do not belong to an export below another prefix. runs: those of each.

    Found by listings: where exports replace files, nearly all that an old manifest names have been replaced.
    """
    by_generation, ours = {(file.name, file.generation): file for file in files}, task.settings.target.prefix
    folders = [
        _common_folder(names)
        for run in runs
        if (names := [file.name for file in run if (file.name, file.generation) in by_generation])
    ]
    present = []
    for folder in outermost(folders):
        async for page in task.store.objects(folder):
            for info in page:
                file = by_generation.get((info.name, info.generation))
                if file and (info.origin.count("/") < 2 or info.origin.split("/", 2)[2] == ours):
                    present.append(file)
    return present


def _common_folder(names: Sequence[str]) -> str:
    first, last = min(names), max(names)
    same = next((at for at, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))
    return first[: first.rfind("/", 0, same) + 1]


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


async def _unnamed(task: Task, files: Iterable[ObjectVersion]) -> list[ObjectVersion]:
    """Of these files, those that no run names, and no copy in progress."""
    unnamed = Sweep(files)

    async def look(run: str) -> None:
        names = task.layout.run(run)
        if manifest := await read_retained(task.store, names.manifest.name):
            unnamed.mark(manifest)
        elif copying := await value_of(task.store, names.copying):
            unnamed.keep(copying.names)

    await gathered(look, await task.store.folders(task.layout.runs), READS_AT_ONCE)
    return unnamed.files
