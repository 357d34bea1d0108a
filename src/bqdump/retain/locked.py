"""Pruning a place whose objects are locked: nothing is written there, and the store itself keeps what is locked.

A run goes once no rule keeps it and its lock has ended: first the documents by which readers find it, then the files
that no other run names, and the manifest last. So the next prune finishes one that was killed. A copy locks the files
that it relies on before its manifest names them: from then on, the store refuses to delete them.

Only manifests and tags decide: bqdump stores no plans, tombstones or other documents of exports there, but whoever may
create objects can. Where keys are trusted, what they have not signed and cannot be read is passed
over, and named. It may have replaced a manifest, so files that only this one would name stay: see `_hidden`.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from bqdump.concurrency import gathered
from bqdump.core.documents.document import RUN_ID
from bqdump.core.documents.layout import Layout
from bqdump.core.documents.sets import is_document
from bqdump.core.errors import BqdumpError, DeniedError, DocumentError, VerificationError
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.retention.pruned import Storage, files_of
from bqdump.core.sizes import counted
from bqdump.core.times import rfc3339
from bqdump.core.wording import COMMANDS, fill
from bqdump.ports.store import ObjectInfo, ObjectStore
from bqdump.repository.exports import SetAt
from bqdump.repository.manifests import read_retained, refuse_missing
from bqdump.repository.notes import readable_tags
from bqdump.repository.objects import present, uncover_generations
from bqdump.repository.references import READS_AT_ONCE, PresentFiles
from bqdump.retain.plan import NAMED, PrunePlan, Swept
from bqdump.retain.survey import Complete, Look, Survey, Task, complete

log = logging.getLogger(__name__)

LOCKED = "locked until"


async def survey_locked(task: Task, seen: Look) -> Survey:
    """What decides which runs of the place are deleted, and nothing is written.

    Raises DocumentError for a manifest, or the tags of a run, that cannot be read. Where keys are trusted, only for a
    manifest that one of them has signed.
    """
    storage, files, passed = Storage(), PresentFiles(task.store, task.settings), dict[str, str]()
    doubts = dict[str, _Doubt]()
    tags, damaged = await readable_tags(task.store, task.layout)

    async def state_of(run: str) -> Complete | str | None:
        try:
            if run in damaged and not task.trusted:
                raise damaged[run]
            manifest = await read_retained(task.store, task.layout.run(run).manifest.name)
            if manifest is None:
                await refuse_missing(task.store, task.layout, run)
                return run
            storage.add(run, manifest, await files.of(manifest))
            found = await complete(task, run, manifest)
            if found.untrusted and (doubt := await _doubt(task, run)):
                doubts[run] = doubt
        except DocumentError as error:
            if not task.trusted:
                raise _with_way_out(error) from None
            doubt = await _doubt(task, run)
            if doubt is None:
                hint = "A trusted key has signed it, so nothing was deleted. Use the release that has written it."
                raise DocumentError(error.operation, error.subject, error.cause, hint) from None
            doubts[run] = doubt
            passed[run] = ". ".join(filter(None, (fill(error.cause, COMMANDS), doubt.unsigned)))
            return None
        # Of one whose tags cannot be read, it is not known whether they keep it.
        return found._replace(untrusted=damaged[run].cause) if run in damaged and not found.untrusted else found

    runs = await gathered(state_of, await task.store.folders(task.layout.runs), READS_AT_ONCE)
    whole = tuple(run for run in runs if isinstance(run, Complete))
    orphans = tuple(run for run in runs if isinstance(run, str))
    replaced = frozenset(run for run, doubt in doubts.items() if doubt.replaced)
    notes = *_passed_over(task, passed), *_replaced(replaced)
    doubtful = frozenset(doubts)
    of = seen.bucket, whole, (), (), orphans, seen.latest, None, tags, storage
    return Survey(*of, passed=notes, doubtful=doubtful, replaced=replaced)


class _Doubt(NamedTuple):
    """unsigned: that no trusted key has signed a manifest, and why, "" where there is none. replaced: see Survey."""

    unsigned: str
    replaced: bool = False


async def _doubt(task: Task, run: str) -> _Doubt | None:
    """Whether no trusted key has signed what is stored as the manifest of a run, whatever it is; None if one has."""
    if task.trusted is None:
        return None
    # Imported where keys are trusted only.
    from bqdump.repository.signatures import ReplacedError

    try:
        found = await task.trusted.stat(task.layout.run(run).manifest.name)
    except (VerificationError, DocumentError) as error:
        why = f"No trusted key has signed it: {fill(error.cause, COMMANDS)}"
        return _Doubt(why, isinstance(error, ReplacedError))
    return None if found else _Doubt("")


def _passed_over(task: Task, passed: Mapping[str, str]) -> Iterator[str]:
    """What a person should know about the folders of runs that were passed over, and the same in the log."""
    for run, cause in sorted(passed.items())[:NAMED]:
        names = task.layout.run(run)
        note = f"{task.store.url}/{names.manifest.name} is passed over: {cause}."
        log.warning("%s", note, extra=LogEvent.MANIFEST_PASSED_OVER.extra(run=run))
        yield f"{note} Find out who stored it, and whether it replaced a signed one. The files of run {run} stay."
    if (more := len(passed) - NAMED) > 0:
        yield f"{counted(more, 'more folder')} of runs {'is' if more == 1 else 'are'} passed over."


def _replaced(runs: Collection[str]) -> Iterator[str]:
    for run in sorted(runs)[:NAMED]:
        what = f"A trusted key has signed another manifest of run {run} than the one that is there"
        yield f"{what}. It may name files of any run, so no file goes until it is back, or the run's folder is deleted."
    if (more := len(runs) - NAMED) > 0:
        yield f"{counted(more, 'more signed manifest')} {'was' if more == 1 else 'were'} replaced."


def _hidden(survey: Survey, name: str) -> bool:
    """Whether a manifest may name this file that another one has hidden.

    Its run's own files have its id in their names. With a signature of it, there was one, with files of any run.
    Without one, files of earlier runs are not kept: otherwise, whoever creates a folder would keep all of them.
    """
    return bool(survey.replaced) or any(run in name for run in survey.doubtful if RUN_ID.fullmatch(run))


def _with_way_out(error: DocumentError) -> DocumentError:
    way = "Where the copies are signed, {setting:trust} names the key and passes over what it has not signed."
    return DocumentError(error.operation, error.subject, error.cause, f"{error.hint} {way}")


async def keep_locked(task: Task, plan: PrunePlan) -> PrunePlan:
    """The plan without the runs whose lock has not ended, and a note about them."""
    ends = {run.run: await _locked_until(task, run) for run in plan.complete}
    held = {run: end for run, end in ends.items() if end > task.now}
    notes = plan.notes
    if held:
        longer = f"{counted(len(held), 'run')} that the policy does not keep {'is' if len(held) == 1 else 'are'} locked"
        notes = (*notes, f"{longer}; the first lock ends at {rfc3339(min(held.values()))}.")
    return plan.examined((), {run: f"{LOCKED} {rfc3339(end)}" for run, end in held.items()})._replace(notes=notes)


async def sweep_locked(task: Task, plan: PrunePlan) -> Swept:
    """Delete these runs, and what copies have left that were abandoned; or only find what would be deleted."""
    gone = {run.run for run in plan.complete}
    files = await _free_files(task, plan.survey, gone)
    if not task.delete:
        return Swept(len(files.free), sum(info.size for info in files.free), files.left)
    left = list(files.left)
    for run in gone:
        names = task.layout.run(run)
        readers = (task.layout.pointer(run).name, task.layout.summary(run).name, task.layout.tags(run).name)
        left += await _delete(task.store, (await present(task.store, readers)).values())
        others = [info async for page in task.store.objects(names.root) for info in page]
        left += await _delete(task.store, (info for info in others if info.name != names.manifest.name))
    refused = set(await _delete(task.store, files.free))
    for run in gone:
        manifest = await task.store.stat(task.layout.run(run).manifest.name)
        left += await _delete(task.store, [manifest] if manifest else [])
    for run in plan.survey.orphans:
        own = [info async for page in task.store.objects(task.layout.run(run).root) for info in page]
        unlocked = [info for info in await _with_locks(task.store, own) if info.locked_until <= task.now]
        await _delete(task.store, unlocked)
    deleted = [info for info in files.free if info.name not in refused]
    return Swept(len(deleted), sum(info.size for info in deleted), tuple(sorted({*left, *refused})))


class _Files(NamedTuple):
    """free: files to delete. left: what hidden manifests may name, and objects that were never locked: of no copy."""

    free: list[ObjectInfo]
    left: tuple[str, ...]


async def _free_files(task: Task, survey: Survey, gone: set[str]) -> _Files:
    """What no manifest names that is kept, and is not locked any more."""
    named: set[tuple[str, int]] = set()
    for run in survey.complete:
        if run.run in gone:
            continue
        if manifest := await read_retained(task.store, task.layout.run(run.run).manifest.name):
            named.update((file.name, file.generation) for file in files_of(manifest))
    doomed: set[tuple[str, int]] = set()
    for old in gone:
        if manifest := await read_retained(task.store, task.layout.run(old).manifest.name):
            doomed.update((file.name, file.generation) for file in files_of(manifest))
    outside = await _outside(task)
    seen = {(info.name, info.generation) for info in outside}
    # A version goes with all that is over it: under a name that a kept run has, that may be what this one names. Of
    # several versions of a name, the oldest is what is deleted with all of them.
    kept = {name for name, _ in named}
    alone = (version for version in doomed - seen if version[0] not in kept)
    if await uncover_generations(task.store, dict(sorted((*alone, *(named - seen)), reverse=True))):
        outside = await _outside(task)
    unnamed = [info for info in outside if (info.name, info.generation) not in named]
    free, left = list[ObjectInfo](), list[str]()
    for info in await _with_locks(task.store, unnamed):
        if info.locked_until > task.now:
            continue
        if _hidden(survey, info.name):
            left.append(info.name)
        elif info.locked_until or (info.name, info.generation) in doomed:
            free.append(info)
        else:
            left.append(info.name)
    return _Files(free, tuple(left))


async def _outside(task: Task) -> list[ObjectInfo]:
    """Every object that is no document of bqdump's."""
    pages = task.store.objects(task.settings.target.prefix)
    return [info async for page in pages for info in page if not info.name.startswith(task.layout.root)]


async def _with_locks(store: ObjectStore, infos: Sequence[ObjectInfo]) -> list[ObjectInfo]:
    if store.abilities.listed_checksums:
        return list(infos)
    asked = [await store.stat(info.name) for info in infos]
    return [info for info in asked if info]


async def _locked_until(task: Task, run: Complete) -> int:
    """Of the manifest, which is locked as long as all files of its run."""
    info = await task.store.stat(task.layout.run(run.run).manifest.name)
    return info.locked_until if info else 0


async def sweep_locked_set(at: SetAt, now: int) -> list[str]:
    """Delete what names together the runs of a set that no dataset has any more; the names of what is left.

    Pointers first, so that no reader finds one whose manifest is gone. A copy locks its documents as it creates them.
    Every folder counts: whether a dataset belongs to the set may be known from these documents only.
    """
    layout, left = at.settings.layout, list[str]()
    folders = [f"{at.settings.target.prefix}{name}/" for name in await at.store.folders(at.settings.target.prefix)]
    runs = await gathered(lambda folder: at.store.folders(Layout(folder).runs), folders, READS_AT_ONCE)
    alive = {run for there in runs for run in there}
    pointers = [info async for page in at.store.objects(layout.pointers.folder) for info in page]
    for run in await at.store.folders(layout.set_runs):
        if run in alive:
            continue
        names = layout.set_run(run)
        own = [info for info in pointers if info.name.startswith(f"{layout.pointers.folder}{run}.")]
        documents = [info async for page in at.store.objects(names.root) for info in page]
        ours = [*own, *(info for info in documents if is_document(info.name, names))]
        ended = [info for info in await _with_locks(at.store, ours) if info.locked_until <= now]
        for some in ([info for info in ended if info in own], [info for info in ended if info not in own]):
            left += await _delete(at.store, some)
        if ended:
            log.info("removed the set's documents of run %s", run, extra=LogEvent.RUN_REMOVED.extra(run=run))
    return left


async def _delete(store: ObjectStore, infos: Iterable[ObjectInfo]) -> list[str]:
    """Delete these objects; the names of those that the store keeps, by a hold or a lock. Raises any other error."""
    objects = [(info.name, info.generation) for info in infos]
    answers = await store.delete(objects) if objects else []
    for answer in answers:
        if isinstance(answer, BqdumpError) and not isinstance(answer, DeniedError):
            raise answer
    return [name for (name, _), answer in zip(objects, answers, strict=True) if isinstance(answer, DeniedError)]
