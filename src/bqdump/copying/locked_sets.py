"""What names together the locked copies of a set's datasets: a manifest and a pointer for each of its runs.

Both are created once, like those of a dataset, and follow the datasets. Readers take the newest pointer that is valid.
"""

from __future__ import annotations

import logging
from contextlib import suppress

from msgspec.structs import replace

from bqdump.copying.finish import extend_documents
from bqdump.copying.places import claim_place
from bqdump.copying.survey import COPY, Locking, Place, Task
from bqdump.core.documents.run_layout import RunLayout
from bqdump.core.documents.sets import SetManifest
from bqdump.core.documents.target import SET, Latest
from bqdump.core.errors import DocumentError, VerificationError
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.sizes import counted, listed
from bqdump.repository.repository import create
from bqdump.repository.set_runs import locked_set

log = logging.getLogger(__name__)


async def lock_set(task: Task, copied: SetManifest, lock: Locking) -> None:
    """Store the manifest of a set's run once, sign it, and point to it. copied: what the place has of the datasets.

    Repeating it extends the locks. A copy that has more datasets of the run than an earlier one gets a manifest beside
    the first. project.json and latest.json, which the first copy creates, say what the place is, and that pointers
    decide. Raises VerificationError for a document that somebody else has stored under one of these names.
    """
    place, layout = task.target, task.target.layout
    made = await _stored_before(task, replace(copied, locked=True))
    await claim_place(task, made)
    lock.refuse_ended(made.run)
    document, pointer = layout.set_run(made.run).manifest(made.digest), layout.set_pointer(made.run, made.digest)
    stored = await create(place.store, document, made)
    _refuse(place, document.name, forged=stored.value != made)
    names = RunLayout(document.name.removesuffix("manifest.json"))
    if task.signer:
        await _sign(task, names, made)
    latest = _pointer_to(made, document.name, stored.generation)
    pointed = await create(place.store, pointer, latest)
    _refuse(place, pointer.name, forged=pointed.value != latest)
    first = await create(place.store, layout.latest, latest)
    _refuse(place, layout.latest.name, forged=not (first.value.locked and first.value.of_set))
    marked = await create(place.store, layout.set_manifest, made)
    _refuse(place, layout.set_manifest.name, forged=not marked.value.locked)
    own = (document, names.signature, pointer)
    shared = (layout.latest, layout.set_manifest, layout.copies, layout.owner)
    await extend_documents(task, made.run, [one.name for one in (*own, *shared)], lock)
    if stored.mine:
        copied_set = LogEvent.RUN_COPIED.extra(run=made.run, target=str(place.target))
        datasets = counted(made.published, "dataset")
        log.info("copied run %s of the set to %s (%s)", made.run, place.target, datasets, extra=copied_set)


async def _stored_before(task: Task, made: SetManifest) -> SetManifest:
    """What an earlier copy of the run has stored, if it names all that this one does: the source may tell less by now.

    Not where a dataset was pruned and copied again since. With a key, only what that has signed.
    """
    place, before = task.target, None
    with suppress(DocumentError, VerificationError):
        before = await locked_set(place.store, place.settings, made.run)
    if before is None or not _manifests_of(made) <= _manifests_of(before):
        return made
    if task.signer:
        from bqdump.repository.signatures import is_signed

        manifest = place.layout.set_run(made.run).manifest(before.digest)
        names = RunLayout(manifest.name.removesuffix("manifest.json"))
        return before if await is_signed(place.store, place.target, names, task.signer) else made
    return before


def _manifests_of(manifest: SetManifest) -> set[tuple[str, str, int]]:
    return {(entry.dataset, entry.run, entry.manifest_generation) for entry in manifest.datasets if entry.run}


async def _sign(task: Task, names: RunLayout, made: SetManifest) -> None:
    """Sign the manifest. One that another key has signed stays as it is, since nothing is written again."""
    from bqdump.repository.signatures import is_signed, sign_manifest, signatures_there

    place = task.target
    if not task.signer or await is_signed(place.store, place.target, names, task.signer):
        return
    if envelope := await signatures_there(place.store, place.target, names):
        keys = listed([signature.keyid for signature in envelope.signatures], "and")
        message = "run %s of the set is signed by %s, and not by the key of this copy: nothing is written again in %s"
        log.info(message, made.run, keys, place.target, extra=LogEvent.RUN_COPIED.extra(run=made.run))
        return
    await sign_manifest(place.store, place.target, names, task.signer, once=True, written=made)


def _pointer_to(made: SetManifest, name: str, generation: int) -> Latest:
    return Latest(
        run=made.run,
        number=made.published,
        dataset=SET,
        project=made.project,
        snapshot_time=made.snapshot_time,
        snapshot=made.snapshot,
        status=made.status,
        mode="keep",
        manifest=name,
        manifest_generation=generation,
        locked=True,
    )


def _refuse(place: Place, name: str, *, forged: bool) -> None:
    if forged:
        cause = "it is not what this copy stores there: somebody else has stored it"
        hint = "Find out by whom. If the copy of the next run ends like this, copy to another place."
        raise VerificationError(COPY, f"{place.store.url}/{name}", cause, hint)
