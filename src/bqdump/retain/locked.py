"""Pruning a place whose objects are locked: nothing is written there, and the store itself keeps what is locked.

A run goes once no rule keeps it and its lock has ended: first the documents by which readers find it, then the files
that no other run names, and the manifest last. So the next prune finishes one that was killed. A copy locks the files
that it relies on before its manifest names them: from then on, the store refuses to delete them.

Only manifests and tags decide: bqdump stores no plans, marks or other documents of exports there, but whoever may
create objects can. Where keys are trusted, what they have not signed and cannot be read is passed
over, and named. It may have replaced a manifest, so files that only this one would name stay: see `_hidden`.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from bqdump.concurrency import gathered
from bqdump.core.documents.document import RUN_ID
from bqdump.core.errors import DeniedError, DocumentError, VerificationError
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.retention.pruned import Storage, files_of
from bqdump.core.sizes import counted
from bqdump.core.wording import COMMANDS, fill
from bqdump.ports.store import ObjectInfo
from bqdump.repository.log import entries_of
from bqdump.repository.manifests import lost, read_retained
from bqdump.repository.notes import readable_tags
from bqdump.repository.objects import present, uncover_generations
from bqdump.repository.storage import READS_AT_ONCE, PresentFiles
from bqdump.retain.old_documents import delete_unlocked, with_locks
from bqdump.retain.plan import NAMED, PrunePlan, Swept
from bqdump.retain.survey import Complete, Place, Survey, Task, complete

log = logging.getLogger(__name__)


class _Doubt(NamedTuple):
    """unsigned: that no trusted key has signed a manifest, and why, "" where there is none.
    replaced: see Survey.
    """

    unsigned: str
    replaced: bool = False


class _Folder(NamedTuple):
    """A folder of a run.

    complete: the run, if its manifest can be read.
    passed: why it was passed over, "" if not.
    """

    run: str
    complete: Complete | None = None
    doubt: _Doubt | None = None
    passed: str = ""


async def survey_locked(task: Task, place: Place) -> Survey:
    """What decides which runs of the place are deleted, and nothing is written.

    Raises DocumentError for a manifest, or the tags of a run, that cannot be read. Where keys are trusted, only for a
    manifest that one of them has signed. DeniedError: see _refuse_unseen.
    """
    storage, files = Storage(), PresentFiles(task.store, task.settings)
    tags, damaged = await readable_tags(task.store, task.layout)

    async def folder_of(run: str) -> _Folder:
        try:
            return await _read_folder(task, run, damaged.get(run), storage, files)
        except DocumentError as error:
            return await _passed(task, run, error)

    folders = await gathered(folder_of, await task.store.folders(task.layout.runs), READS_AT_ONCE)
    _refuse_unseen(task, [folder.complete.locked_until for folder in folders if folder.complete])
    replaced = frozenset(folder.run for folder in folders if folder.doubt and folder.doubt.replaced)
    return Survey(
        place.bucket,
        complete=tuple(folder.complete for folder in folders if folder.complete),
        orphans=tuple(folder.run for folder in folders if not folder.complete and not folder.passed),
        latest=place.latest,
        tags=tags,
        storage=storage,
        passed=(*_passed_over(task, [folder for folder in folders if folder.passed]), *_replaced(replaced)),
        doubtful=frozenset(folder.run for folder in folders if folder.doubt),
        replaced=replaced,
    )


def _refuse_unseen(task: Task, locks: Sequence[int]) -> None:
    """Raise DeniedError where no manifest shows a lock, although a copy locks each that it stores.

    S3 leaves locks out of its answers to an account that may not read them. What is locked would get a delete marker,
    and would count as deleted.
    """
    if task.store.abilities.markers and locks and not any(locks):
        cause = "this account cannot see how long objects are locked"
        hint = "Nothing was deleted. Requires s3:GetObjectRetention."
        raise DeniedError("prune", str(task.settings.target), cause, hint)


async def _read_folder(
    task: Task, run: str, damaged: DocumentError | None, storage: Storage, files: PresentFiles
) -> _Folder:
    """The folder of a run. damaged: why its tags cannot be read. Raises DocumentError."""
    if damaged and not task.trusted:
        raise damaged
    name = task.layout.run(run).manifest.name
    manifest = await read_retained(task.store, name)
    if manifest is None:
        if entries := await entries_of(task.store, task.layout, run):
            raise lost(task.layout, run, f"{entries[-1].name} shows that the run was complete", entries[-1].name)
        return _Folder(run)
    storage.add(run, manifest, await files.of(manifest))
    found, info = await complete(task, run, manifest), await task.store.stat(name)
    found = found._replace(locked_until=info.locked_until if info else 0)
    doubt = await _doubt(task, run) if found.untrusted else None
    if damaged and not found.untrusted:
        # It is not known whether its tags keep it.
        found = found._replace(untrusted=damaged.cause)
    return _Folder(run, found, doubt)


async def _passed(task: Task, run: str, error: DocumentError) -> _Folder:
    """The folder of a run that is passed over. Raises DocumentError, unless no trusted key has signed its manifest."""
    if not task.trusted:
        way = "Where the copies are signed, {setting:trust} names the key and passes over what it has not signed."
        raise DocumentError(error.operation, error.subject, error.cause, f"{error.hint} {way}") from None
    doubt = await _doubt(task, run)
    if doubt is None:
        hint = "A trusted key has signed it, so nothing was deleted. Use the release that has written it."
        raise DocumentError(error.operation, error.subject, error.cause, hint) from None
    why = ". ".join(filter(None, (fill(error.cause, COMMANDS), doubt.unsigned)))
    return _Folder(run, doubt=doubt, passed=why)


async def _doubt(task: Task, run: str) -> _Doubt | None:
    """Whether no trusted key has signed what is stored as the manifest of a run, whatever it is; None if one has."""
    if task.trusted is None:
        return None
    # Imported where keys are trusted only.
    from bqdump.repository.signatures import ReplacedError

    try:
        manifest = await task.trusted.stat(task.layout.run(run).manifest.name)
    except (VerificationError, DocumentError) as error:
        why = f"No trusted key has signed it: {fill(error.cause, COMMANDS)}"
        return _Doubt(why, isinstance(error, ReplacedError))
    return None if manifest else _Doubt("")


def _passed_over(task: Task, passed: Sequence[_Folder]) -> Iterator[str]:
    """What a person should know about the folders of runs that were passed over, and the same in the log."""
    for run, cause in sorted((folder.run, folder.passed) for folder in passed)[:NAMED]:
        note = f"{task.store.url}/{task.layout.run(run).manifest.name} is passed over: {cause}."
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


class FreeFiles(NamedTuple):
    """The files of a plan.

    free: those to delete.
    left: what hidden manifests may name, and what was never locked.
    """

    free: tuple[ObjectInfo, ...]
    left: tuple[str, ...]

    @property
    def swept(self) -> Swept:
        """What is deleted if the store keeps none of them."""
        return Swept(len(self.free), sum(info.size for info in self.free), self.left)


async def examine_locked(task: Task, plan: PrunePlan) -> FreeFiles:
    """Find what no manifest names that is kept, and is not locked any more."""
    named, deleted = set[tuple[str, int]](), set[tuple[str, int]]()
    for run in plan.survey.complete:
        if manifest := await read_retained(task.store, task.layout.run(run.run).manifest.name):
            files = named if plan.reasons[run.run] else deleted
            files.update((file.name, file.generation) for file in files_of(manifest))
    outside = await _outside(task)
    seen = {(info.name, info.generation) for info in outside}
    # A version goes with all that is over it: under a name that a kept run has, that may be what this one names. Of
    # several versions of a name, the oldest is what is deleted with all of them.
    kept = {name for name, _ in named}
    alone = (version for version in deleted - seen if version[0] not in kept)
    if await uncover_generations(task.store, dict(sorted((*alone, *(named - seen)), reverse=True))):
        outside = await _outside(task)
    unnamed = [info for info in outside if (info.name, info.generation) not in named]
    unlocked = [info for info in await with_locks(task.store, unnamed) if info.locked_until <= task.now]
    free = tuple(
        info
        for info in unlocked
        if (info.locked_until or (info.name, info.generation) in deleted) and not _hidden(plan.survey, info.name)
    )
    names = {info.name for info in free}
    return FreeFiles(free, tuple(info.name for info in unlocked if info.name not in names))


async def _outside(task: Task) -> list[ObjectInfo]:
    """Every object that is no document of bqdump's."""
    pages = task.store.objects(task.settings.target.prefix)
    return [info async for page in pages for info in page if not info.name.startswith(task.layout.root)]


async def sweep_locked(task: Task, plan: PrunePlan, files: FreeFiles) -> Swept:
    """Delete the runs of a plan, its files, and what copies have left that were abandoned."""
    left, held = list[str](), set[str]()
    runs = [run.run for run in plan.complete]
    for run in runs:
        names = task.layout.run(run)
        readers = (*(info.name for info in await entries_of(task.store, task.layout, run)), task.layout.tags(run).name)
        left += await delete_unlocked(task.store, (await present(task.store, readers)).values())
        documents = [info async for page in task.store.objects(names.root) for info in page]
        left += await delete_unlocked(task.store, (info for info in documents if info.name != names.manifest.name))
    refused = set(await delete_unlocked(task.store, files.free))
    for run in runs:
        manifest = await task.store.stat(task.layout.run(run).manifest.name)
        if kept := await delete_unlocked(task.store, [manifest] if manifest else []):
            held.add(run)
            left += kept
    for run in plan.survey.orphans:
        own = [info async for page in task.store.objects(task.layout.run(run).root) for info in page]
        unlocked = [info for info in await with_locks(task.store, own) if info.locked_until <= task.now]
        left += await delete_unlocked(task.store, unlocked)
    swept = FreeFiles(tuple(info for info in files.free if info.name not in refused), files.left).swept
    return swept._replace(left=tuple(sorted({*files.left, *left, *refused})), held=frozenset(held))
