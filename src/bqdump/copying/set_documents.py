"""What names the copies of a set's datasets together: what it says, and where objects are locked, how it is stored.

It follows from the manifests of the datasets, as the copy has them. The source's project.json and notes are not signed:
they say which datasets and runs to look for, and a key that signs the document vouches for nothing that only they say.

Where objects are locked, each run of the set has a manifest and a pointer. Both are created once, like those of a
dataset, and follow the datasets. Readers take the newest pointer that is valid.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import NoReturn

from msgspec.structs import replace

from bqdump.copying.finish import extend_documents
from bqdump.copying.places import claim_place
from bqdump.copying.survey import COPY, Locking, Place, Task, signed_here
from bqdump.core.copy.manifest import pointer_to
from bqdump.core.copy.plan import CopiedRun
from bqdump.core.documents.codec import decode, encode_indented
from bqdump.core.documents.document import Document
from bqdump.core.documents.manifest import Manifest
from bqdump.core.documents.run_layout import names_beside
from bqdump.core.documents.sets import DatasetEntry, DatasetState, SetManifest
from bqdump.core.documents.target import Latest
from bqdump.core.errors import DocumentError, NotFoundError, VerificationError
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.sets.member import one_dataset
from bqdump.core.sizes import counted, listed
from bqdump.observe.history import list_runs
from bqdump.repository.complete_runs import uncover_documents
from bqdump.repository.objects import names_below, names_of_signatures
from bqdump.repository.repository import Loaded, create, load, value_of
from bqdump.repository.set_runs import NOT_EXPORTED, failed_entry, locked_set

log = logging.getLogger(__name__)
# The states of a run that the copy has.
HERE = ("copied", "there", "not trusted")
NOT_THERE = "it was not copied"


class OtherKeyError(Exception):
    """The copy of a dataset's run was there, signed by another key, and this copy has not proven it."""


async def set_as_copied(
    task: Task, manifest: SetManifest, names: Sequence[str], lines: Sequence[CopiedRun]
) -> SetManifest:
    """The set as the copy has it. A dataset that lacks its run has failed, with the last run that the copy has of it.

    manifest: what the source says.
    names: all datasets that the source has or had.
    lines: the runs of this copy.

    Raises VerificationError where the manifests of the datasets say otherwise: another snapshot time, a run that does
    not belong to the set's, or a dataset of the run that is not named.
    """
    await _refuse_unnamed(task.source, manifest, names)
    of = {(line.dataset, line.run): line for line in lines}
    entries = [await _entry(task, manifest, entry, of) for entry in manifest.datasets]
    if not any(entry.run == manifest.run for entry in entries):
        _refuse(manifest.run, "the copy has no dataset that its document names as exported by this run")
    whole = all(entry.state != "failed" and entry.status == "complete" for entry in entries)
    return replace(
        manifest,
        prefix=task.target.target.prefix,
        datasets=tuple(entries),
        status="complete" if whole else "partial",
        locked=task.lock is not None,
    )


async def _entry(
    task: Task, manifest: SetManifest, entry: DatasetEntry, lines: Mapping[tuple[str, str], CopiedRun]
) -> DatasetEntry:
    if entry.state == "published" and entry.run not in ("", manifest.run):
        _refuse(manifest.run, f"as published by it, its document names run {entry.run} of dataset {entry.dataset}")
    own = _of_dataset(task, entry.dataset)
    line = lines.get((entry.dataset, manifest.run))
    run, problem = manifest.run if line and line.state in HERE else entry.run, entry.problem or NOT_EXPORTED
    if run:
        line = lines.get((entry.dataset, run))
        stored, why = await _manifest_in_copy(own, manifest, run, line, proven=line is not None and run != manifest.run)
        if stored:
            _refuse_another_time(manifest, entry, stored.value)
            return _named(own.target, entry, "published" if run == manifest.run else entry.state, stored)
        problem = line.problem if line and line.problem else why
    failed = failed_entry(entry.dataset, entry.location, problem)
    last = await _last(own, manifest)
    return _named(own.target, failed, "failed", last) if last else failed


def _of_dataset(task: Task, dataset: str) -> Task:
    target = task.target._replace(settings=one_dataset(task.target.settings, dataset))
    return task._replace(target=target)


async def _manifest_in_copy(
    task: Task, manifest: SetManifest, run: str, line: CopiedRun | None, *, proven: bool = False
) -> tuple[Loaded[Manifest] | None, str]:
    """The manifest of a run of one dataset that the copy has, or why that does not count.

    line: what this copy did about the run, None where it was copied before.
    proven: it was compared with the source, and may have the signature of another key.
    """
    place = task.target
    if line and line.state not in HERE:
        return None, NOT_THERE
    try:
        stored = await load(place.store, place.layout.run(run).manifest)
    except DocumentError as error:
        return None, error.cause
    if stored is None:
        return None, NOT_THERE
    member = stored.value
    if (member.project, member.dataset, member.run) != (manifest.project, place.settings.dataset, run):
        return None, f"what is stored in its place is run {member.run} of {member.project}.{member.dataset}"
    if task.signer and not proven and not await signed_here(task, run):
        if line and line.state != "copied":
            raise OtherKeyError
        return None, "its copy is not signed by the key of this copy"
    return stored, ""


async def _last(task: Task, manifest: SetManifest) -> Loaded[Manifest] | None:
    """The last run before the set's that the copy has of one dataset, and with a key, that this has signed."""
    place = task.target
    with suppress(DocumentError, NotFoundError, VerificationError):
        for line in await list_runs(place.store, place.settings):
            if line.whole:
                stored, _ = await _manifest_in_copy(task, manifest, line.run, None)
                if stored and stored.value.age < manifest.age:
                    return stored
    return None


def _named(place: Place, entry: DatasetEntry, state: DatasetState, stored: Loaded[Manifest]) -> DatasetEntry:
    member = stored.value
    return DatasetEntry(
        dataset=entry.dataset,
        location=entry.location,
        state=state,
        run=member.run,
        snapshot_time=member.snapshot_time,
        manifest=place.layout.run(member.run).manifest.name,
        manifest_generation=stored.generation,
        status=member.status,
        tables=member.totals.tables,
        # As in the summary of the run: where it is not known what was exported, what was planned.
        rows=sum(table.planned_rows if table.rows is None else table.rows for table in member.tables),
        files=member.totals.files,
        bytes=member.totals.bytes,
        problem=entry.problem if state == "failed" else "",
    )


def _refuse_another_time(manifest: SetManifest, entry: DatasetEntry, member: Manifest) -> None:
    if member.run == manifest.run and member.snapshot != manifest.snapshot:
        dataset = f"dataset {member.dataset} is of {member.snapshot_time}"
        _refuse(manifest.run, f"its document says {manifest.snapshot_time}, and its {dataset}")
    if member.run != manifest.run and entry.state == "superseded" and member.age <= manifest.age:
        named_run = f"run {member.run} of dataset {member.dataset}, of {member.snapshot_time}"
        _refuse(manifest.run, f"as later than it, its document names {named_run}")


async def _refuse_unnamed(place: Place, manifest: SetManifest, names: Sequence[str]) -> None:
    """Raise VerificationError where the run has exported a dataset that the source's document does not name."""
    for name in sorted({*names}.difference(entry.dataset for entry in manifest.datasets)):
        member = None
        with suppress(DocumentError, VerificationError):
            layout = one_dataset(place.settings, name).layout
            member = await value_of(place.store, layout.run(manifest.run).manifest)
        if member and (member.run, member.dataset, member.snapshot) == (manifest.run, name, manifest.snapshot):
            _refuse(manifest.run, f"it has exported dataset {name}, which its document does not name")


def _refuse(run: str, cause: str) -> NoReturn:
    hint = "What the source says of the set was modified outside bqdump: find out by whom. The datasets are copied."
    raise VerificationError(COPY, f"run {run} of the set", cause, hint)


async def lock_set(task: Task, copied: SetManifest, lock: Locking) -> None:
    """Store the manifest of a set's run once, sign it, and point to it. copied: what the place has of the datasets.

    Repeating it extends the locks. A copy that has more datasets of the run than an earlier one gets a manifest beside
    the first. project.json and latest.json, which the first copy creates, say what the place is. They come before the
    pointer: a reader who finds that finds the set. Raises VerificationError for another document under these names.
    """
    place, layout = task.target, task.target.layout
    before = await _stored_before(task, copied.run)
    # What an earlier copy has stored counts if it names all that this one does: the source may tell less by now. Not
    # where a dataset was pruned and copied again since.
    same = before is not None and before.age == copied.age and _manifests_of(copied) <= _manifests_of(before)
    manifest = before if before and same else copied
    await claim_place(task, manifest)
    lock.refuse_ended(manifest.run)
    document = layout.set_run(manifest.run).manifest(manifest.digest)
    pointer = layout.set_pointer(manifest.run, manifest.digest)
    stored = await create(place.store, document, manifest)
    if not stored.mine and (await place.store.read(document.name)).data != encode_indented(manifest):
        # Also where a member was added that this release does not read: what is signed is every byte.
        raise _planted(place, document.name)
    if stored.mine:
        await _log_missing(task, manifest)
    if task.signer:
        from bqdump.repository.signatures import sign_manifest

        names = names_beside(document.name)
        await sign_manifest(place.store, place.target, names, task.signer, once=True, written=manifest)
    latest = pointer_to(manifest, document.name, stored.generation)
    marked = await create(place.store, layout.set_manifest, manifest)
    first = await create(place.store, layout.latest, latest)
    pointed = await create(place.store, pointer, latest)
    if pointed.value != latest:
        raise _planted(place, pointer.name)
    if not (first.value.locked and first.value.of_set):
        raise _planted(place, layout.latest.name)
    if not marked.value.locked:
        raise _planted(place, layout.set_manifest.name)
    await _extend(task, manifest, lock)
    if stored.mine:
        copied_set = LogEvent.RUN_COPIED.extra(run=manifest.run, target=str(place.target))
        datasets = counted(manifest.published, "dataset")
        log.info("copied run %s of the set to %s (%s)", manifest.run, place.target, datasets, extra=copied_set)


async def lock_set_again(task: Task, run: str, lock: Locking) -> None:
    """Lock what names the datasets of a run together as long as these, where this copy stores nothing of the set.

    Where that was signed by another key, all that is there: which of it readers trust is not known here.
    """
    if before := await _stored_before(task, run):
        await _extend(task, before, lock)
    elif task.signer:
        store, layout = task.target.store, task.target.layout
        pointers = await names_below(store, f"{layout.pointers.folder}{run}.")
        await extend_documents(task, run, [*pointers, *await names_below(store, layout.set_run(run).root)], lock)


async def _extend(task: Task, manifest: SetManifest, lock: Locking) -> None:
    """Lock the documents of a run of the set, and those of the place, unless they are locked for longer."""
    store, layout = task.target.store, task.target.layout
    document = layout.set_run(manifest.run).manifest(manifest.digest)
    own = (document, layout.set_pointer(manifest.run, manifest.digest))
    shared = (layout.latest, layout.set_manifest, layout.copies, layout.owner)
    signatures = await names_of_signatures(store, names_beside(document.name))
    await extend_documents(task, manifest.run, [*signatures, *(one.name for one in (*own, *shared))], lock)


async def _stored_before(task: Task, run: str = "") -> SetManifest | None:
    """The set's manifest that earlier copies have stored last, None where there is none. run: of this run.

    With a key, only one that this has signed: whoever may create objects there can store another, with a pointer to it.
    """
    place, layout = task.target, task.target.layout
    if task.signer is None:
        with suppress(DocumentError, VerificationError):
            return await locked_set(place.store, place.settings, run)
        return None
    from bqdump.repository.signatures import is_signed

    await uncover_documents(place.store, place.settings)
    pointers = list[Latest]()
    async for page in place.store.notes(layout.pointers.folder):
        for note in page:
            with suppress(DocumentError):
                pointers.append(decode(note.data, Latest, note.name))
    of_sets = (pointer for pointer in pointers if pointer.of_set and run in ("", pointer.run))
    for pointer in sorted(of_sets, key=lambda pointer: (pointer.age, pointer.number), reverse=True):
        with suppress(DocumentError):
            if await is_signed(place.store, place.target, names_beside(pointer.manifest), task.signer):
                manifest = await value_of(place.store, Document(pointer.manifest, SetManifest))
                if manifest and manifest.age == pointer.age:
                    return manifest
    return None


async def _log_missing(task: Task, manifest: SetManifest) -> None:
    """Log datasets of the last set of the copy that this one neither names nor says to have left."""
    last = await _stored_before(task)
    named = {entry.dataset for entry in manifest.datasets} | {entry.dataset for entry in manifest.removed}
    gone = [entry.dataset for entry in last.datasets if entry.dataset not in named] if last else []
    if last and gone and last.age < manifest.age:
        message = "run %s of the set does not name %s of run %s, the last one in %s, nor say why"
        datasets = f"{'datasets' if len(gone) > 1 else 'dataset'} {listed(gone, 'and')}"
        log.warning(message, manifest.run, datasets, last.run, task.target.target, extra=LogEvent.RUN_COPIED.extra())


def _manifests_of(manifest: SetManifest) -> set[tuple[str, str, int]]:
    return {(entry.dataset, entry.run, entry.manifest_generation) for entry in manifest.datasets if entry.run}


def _planted(place: Place, name: str) -> VerificationError:
    cause = "it is not what this copy stores there: it was stored before"
    hint = "Find out by whom. If the copy of the next run ends like this, copy to another place."
    return VerificationError(COPY, f"{place.store.url}/{name}", cause, hint)
