"""The end of a copy: the manifest once every file is there, the documents made from it, and the pointer last."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress

import msgspec

from bqdump.copying.move import prove_manifest, refuse_gone
from bqdump.copying.sharing import Begun, is_pruned
from bqdump.copying.survey import COPY, Locking, Place, Surveyed, Task, another_run, pruned_meanwhile, signed_here
from bqdump.core.copy.manifest import Here, content_of, copied_manifest, pointer_to
from bqdump.core.documents.codec import decode, encode
from bqdump.core.documents.copying import CopyOf
from bqdump.core.documents.manifest import Manifest
from bqdump.core.documents.retention import Tags
from bqdump.core.documents.target import Latest
from bqdump.core.errors import AnswerError, BqdumpError, DeniedError, TargetError, VerificationError
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.sizes import counted
from bqdump.core.version import VERSION
from bqdump.ports.signer import Signer
from bqdump.repository.manifests import contents_of
from bqdump.repository.objects import names_of_signatures, present, write_object
from bqdump.repository.publication import enter, entry_at
from bqdump.repository.repository import Loaded, create, delete, exists, load, replace, store_first, value_of

log = logging.getLogger(__name__)


async def store_manifest(task: Task, surveyed: Surveyed, begun: Begun, here: Mapping[str, Here]) -> Loaded[Manifest]:
    """Store the manifest of the copy, unless another task has. Raises if a file has gone meanwhile, or the run, or
    the lock has ended, which keeps prunes from deleting the files.

    One that names files of other generations is of a task that was overtaken by a prune, and is replaced.
    """
    await refuse_gone(task, surveyed, here)
    place, names = task.target, task.target.layout.run(surveyed.run)
    until = task.lock.until if task.lock else 0
    origin = CopyOf(str(task.source.target), surveyed.content, VERSION, task.now, until)
    manifest = copied_manifest(surveyed.manifest, task.source.target, place.target, here, origin)
    if not task.lock and any(entry.iceberg for entry in surveyed.manifest.tables):
        from bqdump.copying.iceberg import with_iceberg

        manifest = await with_iceberg(task, surveyed, manifest)
    if task.lock:
        task.lock.refuse_ended(surveyed.run)
    before = 0
    while not (generation := await replace(place.store, names.manifest, manifest, before)):
        stored = await load(place.store, names.manifest)
        if stored is None or await is_pruned(task, surveyed, begun):
            raise pruned_meanwhile(task, surveyed.run)
        if content_of(stored.value) != surveyed.content:
            raise another_run(place, surveyed.run, surveyed.manifest, stored.value)
        if task.lock or _generations(stored.value) == _generations(manifest):
            return stored
        before = stored.generation
    if await is_pruned(task, surveyed, begun):
        await delete(place.store, [(names.manifest.name, generation)])
        raise pruned_meanwhile(task, surveyed.run)
    return Loaded(manifest, generation, mine=True)


def _generations(manifest: Manifest) -> list[tuple[str, int]]:
    return [(file.name, file.generation) for entry in manifest.tables for file in entry.files]


async def complete(task: Task, surveyed: Surveyed, manifest: Loaded[Manifest]) -> int:
    """Store what is made of the manifest and is not there yet, then enter the run in the log.

    Returns until when the run's documents are locked, 0 for not at all. Raises VerificationError once a locked copy is
    complete if the index or the summary had been stored there before.
    """
    place, names = task.target, task.target.layout.run(surveyed.run)
    entered = place.layout.entry(surveyed.run, surveyed.manifest.snapshot)
    # One that was killed once it had its manifest did not come to look whose they are.
    lacking = manifest.mine or not await exists(place.store, entered) or not await exists(place.store, names.contents)
    planted = await _documents(task, surveyed) if lacking else ""
    if task.signer:
        manifest = await _sign(task, surveyed, manifest, task.signer)
    ready = pointer_to(manifest.value, names.manifest.name, manifest.generation)
    if task.lock:
        until = await _point_locked(task, surveyed, ready, task.lock)
        if planted:
            cause = f"it was stored before run {surveyed.run} was copied, and is not of this run's manifest"
            hint = "The copy is complete, but lists of runs and tables show what is said there. Find out who stored it."
            raise VerificationError(COPY, f"{place.store.url}/{planted}", cause, hint)
        return until
    iceberg = any(entry.iceberg for entry in manifest.value.tables)
    if iceberg:
        from bqdump.copying.iceberg import name_metadata

        ready = msgspec.structs.replace(ready, iceberg=await name_metadata(task, manifest.value))
    moved = await enter(place.store, place.settings, ready, guarded=False)
    if iceberg and moved.shows(surveyed.run):
        from bqdump.copying.iceberg import show_metadata

        await show_metadata(task, manifest.value)
    done = await load(place.store, names.copying)
    if done and done.value.files:
        await replace(place.store, names.copying, msgspec.structs.replace(done.value, files=()), done.generation)
    for folder in (names.arrivals, names.shared) if task.tasks > 1 else (names.arrivals,):
        records = [(info.name, info.generation) async for page in place.store.objects(folder) for info in page]
        if records:
            await _discard(place, records)
    if place.store.abilities.leaves_uploads:
        # Those of killed tasks. The files are there, so a late task that uploads one again has nothing to lose.
        with suppress(TargetError, DeniedError, AnswerError):
            await place.store.discard_uploads([item.target for item in surveyed.items])
    return 0


async def _discard(place: Place, records: list[tuple[str, int]]) -> None:
    """Delete notes that a complete copy does not need; where the bucket locks each object, they stay until a prune."""
    try:
        await delete(place.store, records)
    except DeniedError as error:
        message = "the copy is complete, and %s of how it was made cannot be deleted: %s"
        log.warning(message, counted(len(records), "note"), error.cause, extra=LogEvent.CLEANUP_FAILED.extra())


async def publish_stopped(task: Task, surveyed: Surveyed, manifest: Loaded[Manifest]) -> None:
    """Publish a copy that was stopped once it had its manifest, and whose source has lost a table to an erasure since.

    So it can be erased there as well: an erasure waits for a run that is about to be published.
    """
    store, names = task.target.store, task.target.layout.run(surveyed.run)
    copying = await value_of(store, names.copying)
    erased_here = {note.table for note in surveyed.manifest.erased} - {note.table for note in manifest.value.erased}
    stopped = copying and copying.files and copying.content == content_of(manifest.value)
    if stopped and erased_here and (not task.signer or await signed_here(task, surveyed.run)):
        await complete(task, surveyed, manifest)


async def _sign(task: Task, surveyed: Surveyed, manifest: Loaded[Manifest], signer: Signer) -> Loaded[Manifest]:
    """Sign the manifest, once it is proven. Returns the manifest as it is stored then."""
    from bqdump.repository.signatures import sign_manifest

    place, names = task.target, task.target.layout.run(surveyed.run)
    if surveyed.signed:
        return manifest
    if not manifest.mine and not await signed_here(task, surveyed.run):
        manifest = await _proven(task, surveyed, manifest)
    await sign_manifest(place.store, place.target, names, signer, once=task.lock is not None, written=manifest.value)
    return manifest


async def _proven(task: Task, surveyed: Surveyed, manifest: Loaded[Manifest]) -> Loaded[Manifest]:
    """A manifest that this call has not made. Raises VerificationError unless it is what it would have made.

    Whoever can write there may have changed it since, and files with it. Iceberg metadata is made anew, and the
    manifest replaced unless it is the same.
    """
    stored = manifest.value
    if task.lock or not any(entry.iceberg for entry in surveyed.manifest.tables):
        await prove_manifest(task, surveyed, stored)
        return manifest
    from bqdump.copying.iceberg import rename_metadata, with_iceberg, without_iceberg

    renewed = await with_iceberg(task, surveyed, await prove_manifest(task, surveyed, without_iceberg(stored)))
    if encode(renewed) == encode(stored):
        return manifest
    names = task.target.layout.run(surveyed.run)
    generation = await replace(task.target.store, names.manifest, renewed, manifest.generation)
    if not generation:
        raise pruned_meanwhile(task, surveyed.run)
    made_of_it = (names.contents.name, task.target.layout.entry(surveyed.run, stored.snapshot).name)
    old = await present(task.target.store, made_of_it)
    await delete(task.target.store, [(info.name, info.generation) for info in old.values()])
    await _documents(task, surveyed)
    await rename_metadata(task, renewed)
    return Loaded(renewed, generation, mine=True)


async def lock_files(task: Task, surveyed: Surveyed, here: Mapping[str, Here]) -> None:
    """Lock files that were there before as long as those of this copy. Raises VerificationError if one is gone."""
    if task.lock:
        await _extend(task, surveyed.run, {name: file.generation for name, file in here.items()}, task.lock)


async def lock_again(task: Task, surveyed: Surveyed, manifest: Loaded[Manifest], lock: Locking) -> int:
    """Lock a run that is there already for as long as a new copy, if that is longer. Returns until when it is then."""
    files = {file.name: file.generation for entry in manifest.value.tables for file in entry.files}
    ends = await _extend(task, surveyed.run, files, lock), await complete(task, surveyed, manifest)
    return min(ends)


async def _point_locked(task: Task, surveyed: Surveyed, ready: Latest, lock: Locking) -> int:
    """Enter the run in the log, once its documents are locked as long as its files. Returns until when they are."""
    store, layout = task.target.store, task.target.layout
    names, entry = layout.run(surveyed.run), layout.entry(surveyed.run, surveyed.manifest.snapshot)
    own = (names.manifest, names.contents, layout.tags(surveyed.run))
    signatures = await names_of_signatures(store, names)
    documents = await present(store, [names.report, *signatures, *(document.name for document in own)])
    generations = {name: info.generation for name, info in documents.items()}
    # A prune may have deleted the manifest, as its lock had ended, while this copy looked at the run.
    generations[ready.manifest] = ready.manifest_generation
    until = await _extend(task, surveyed.run, generations, lock)
    await create(store, entry, await entry_at(store, ready, locked=True))
    shared = (entry, layout.copies, layout.owner)
    await extend_documents(task, surveyed.run, [document.name for document in shared], lock)
    return until


async def extend_documents(task: Task, run: str, names: list[str], lock: Locking) -> int:
    """Lock the documents of these names that are there, unless they are for longer. Returns the end of the first."""
    documents = await present(task.target.store, names)
    return await _extend(task, run, {name: info.generation for name, info in documents.items()}, lock)


async def _extend(task: Task, run: str, objects: Mapping[str, int], lock: Locking) -> int:
    """Lock these objects, by name with their generations, unless they are for longer. Returns the end of the first."""
    infos = await present(task.target.store, objects) if objects else {}
    same = {name: info for name, info in infos.items() if info.generation == objects[name]}
    short = [(info.name, info.generation) for info in same.values() if info.locked_until < lock.until]
    answers = await lock.store.extend(short, lock.until) if short else []
    for answer in answers:
        if isinstance(answer, BqdumpError):
            raise answer
    deleted = (name for (name, _), stays in zip(short, answers, strict=True) if not stays)
    if gone := [*(objects.keys() - same.keys()), *deleted]:
        cause = f"it was deleted or replaced while run {run} was copied"
        raise VerificationError(COPY, f"{task.target.store.url}/{min(gone)}", cause, "Repeat the command.")
    return min((max(info.locked_until, lock.until) for info in same.values()), default=lock.until)


async def _documents(task: Task, surveyed: Surveyed) -> str:
    """The index, the tags and the page.

    Returns the name of one that was there and is not of the manifest, and stays, as objects are locked; else "".
    """
    from bqdump.pages.report import render_report

    place, names = task.target, task.target.layout.run(surveyed.run)
    data = (await place.store.read(names.manifest.name)).data
    contents = contents_of(data, names.manifest.name)
    once = task.lock is not None
    planted = "" if await store_first(place.store, names.contents, contents, once=once) else names.contents.name
    try:
        page = render_report(decode(data, Manifest, names.manifest.name), None)
        await write_object(place.store, names.report, page, 0)
    except (BqdumpError, OSError, ImportError) as error:
        message = "run %s is copied, but its report could not be written: %s"
        log.warning(message, surveyed.run, error, extra=LogEvent.REPORT_FAILED.extra())
    tags = await value_of(task.source.store, task.source.layout.tags(surveyed.run))
    if tags and tags.tags:
        await create(place.store, place.layout.tags(surveyed.run), Tags(surveyed.run, tags.tags))
    return planted
