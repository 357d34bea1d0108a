"""Looking at a run on both sides: what it is, what the copy has of it, and if the source has what the copy lacks.

What a copy works with.

What copies before this one have recorded about files of the place: those of its last run, and those of this run.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from contextlib import suppress
from typing import Literal, NamedTuple

from bqdump.core.copy.manifest import Item, Missing, content_of, items_of
from bqdump.core.copy.plan import CopyPlan, Present, plan_copy
from bqdump.core.documents.copying import ArrivedFiles
from bqdump.core.documents.document import Document
from bqdump.core.documents.layout import Layout
from bqdump.core.documents.manifest import Manifest
from bqdump.core.documents.run import Owner
from bqdump.core.errors import (
    BqdumpError,
    DocumentError,
    NotFoundError,
    UsageError,
    VerificationError,
)
from bqdump.core.progress.events import Listener, ignore
from bqdump.core.settings.file import setting_text
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target, record_of
from bqdump.core.sizes import counted
from bqdump.core.times import rfc3339
from bqdump.core.wording import placeholder
from bqdump.ports.mover import Mover
from bqdump.ports.signer import Signer, TrustedKeys
from bqdump.ports.store import Locks, ObjectInfo, ObjectStore
from bqdump.repository.manifests import load_manifest
from bqdump.repository.objects import looked_up, present, recorded_in, uncover_files
from bqdump.repository.pruned_runs import is_pruned
from bqdump.repository.published import read_latest, refuse_pruned
from bqdump.repository.repository import Loaded, exists, load, value_of

# How objects are locked: who has the permission may end a governance lock earlier, and nobody one for compliance.
Mode = Literal["governance", "compliance"]


class Place(NamedTuple):
    """One side of a copy: a store, and the settings that name its prefix.

    plain: the same store with all that is there, where `store` returns only manifests that are trusted.
    """

    store: ObjectStore
    settings: Settings
    plain: ObjectStore | None = None

    @property
    def target(self) -> Target:
        """Where the export is."""
        return self.settings.target

    @property
    def layout(self) -> Layout:
        """The object names of the place."""
        return self.settings.layout

    @property
    def words(self) -> dict[str, str]:
        """The settings that name the place in a command."""
        return {name: setting_text(name, value) for name, value in record_of(self.target).items() if value}


class Locking(NamedTuple):
    """How a copy is locked: by the target's store, which locks all that it writes until then. mode: see CopyPlace.

    clock: this machine's time. Like `until` in milliseconds since 1970 UTC.
    """

    store: Locks
    until: int
    mode: Mode
    clock: Callable[[], int]

    def refuse_ended(self, run: str) -> None:
        """Raise UsageError once the lock has ended: then prunes may delete what the copy of this run relies on."""
        if self.clock() >= self.until:
            cause = f"its lock ended at {rfc3339(self.until)}, before the copy was complete"
            raise UsageError(COPY, f"run {run}", cause, "Lock it for longer; what was copied is not moved again.")


class Task(NamedTuple):
    """One call of copy.

    source, target: the two places.
    mover: moves files from one to the other.
    now: this machine's time, in milliseconds since 1970 UTC.
    digests: compute the SHA-256 of files whose bytes pass inside the service, too.
    dry: only look.
    signer: signs the manifests of the copies.
    tasks: how many tasks share the work; the owner is one of them.
    lock: where it locks what it copies, with one task.
    proves: a locked run that other keys have signed is compared with the source, and signed.
    trusted: keys whose signatures are as good as that of the signer.
    """

    source: Place
    target: Place
    mover: Mover
    owner: Owner
    now: int
    digests: bool = False
    dry: bool = False
    tell: Listener = ignore
    signer: Signer | None = None
    tasks: int = 1
    lock: Locking | None = None
    proves: bool = True
    trusted: TrustedKeys | None = None


class Known(NamedTuple):
    """sha256: of files by name and generation. crc32c: by name, generation and size. last: the published copy."""

    sha256: dict[tuple[str, int], str]
    crc32c: dict[tuple[str, int, int], str]
    last: Manifest | None = None


async def known_files(task: Task, run: str, items: Iterable[Item]) -> Known:
    """What is recorded in the copy. run, items: what is copied now."""
    store, layout = task.target.store, task.target.layout
    known = Known({}, {})
    with suppress(DocumentError):
        latest = await read_latest(store, task.target.settings)
        if latest and task.signer and not await signed_here(task, latest.run):
            # Whoever can write there may have written it, and its files.
            latest = None
        manifest = await value_of(store, Document(latest.manifest, Manifest)) if latest else None
        known = known._replace(last=manifest)
        for entry in manifest.tables if manifest else ():
            known.sha256.update({(file.name, file.generation): file.sha256 for file in entry.files if file.sha256})
            known.crc32c.update({(file.name, file.generation, file.size): file.crc32c for file in entry.files})
    own = {item.target: item for item in items}
    if task.lock or task.signer:
        return known
    async for page in store.objects(layout.run(run).arrivals):
        for info in page:
            with suppress(DocumentError):
                record = await value_of(store, Document(info.name, ArrivedFiles))
                for file in record.files if record else ():
                    if file.sha256:
                        known.sha256[file.name, file.generation] = file.sha256
                    if item := own.get(file.name):
                        known.crc32c[file.name, file.generation, item.size] = item.crc32c
    return known


COPY = "copy"


async def signed_here(task: Task, run: str) -> bool:
    """Whether the key of this copy has signed the copy of a run that is there. False without a key."""
    if task.signer is None:
        return False
    from bqdump.repository.signatures import is_signed

    place = task.target
    return await is_signed(place.store, place.target, place.layout.run(run), task.signer)


class Surveyed(NamedTuple):
    """A run of the source. copied: the manifest of its copy, None where the copy is not complete.

    other: the manifest of another run of this id, or of this one before a table was erased in one of the places.
    signed: the copy is signed, and this call signs nothing.
    untrusted: why readers may refuse its signature, else "".
    """

    run: str
    manifest: Manifest
    content: str
    items: tuple[Item, ...]
    copied: Loaded[Manifest] | None
    other: Loaded[Manifest] | None = None
    signed: bool = False
    untrusted: str = ""


async def survey(task: Task, run: str) -> Surveyed:
    """The run on both sides. Raises NotFoundError, and UsageError where it cannot be copied to the place."""
    manifest = (await load_manifest(task.source.store, task.source.settings, run)).value
    content = content_of(manifest)
    items = items_of(manifest, task.source.target, task.target.target)
    place, names = task.target, task.target.layout.run(run)
    if not task.lock and await is_pruned(place.store, place.layout, run):
        mark = await value_of(place.store, place.layout.mark(run))
        if mark and mark.copied:
            cause = f"an abandoned copy of it is being deleted in {place.target}"
            hint = "Repeat this once a prune there has deleted it: it does a day later."
        else:
            cause, name = f"it was pruned in {place.target}", f"{place.store.url}/{place.layout.mark(run).name}"
            hint = f"Copy it to another place, or delete {name} once a prune there has deleted its files."
        raise UsageError(COPY, f"run {run}", cause, hint)
    copied = await load(place.store, names.manifest)
    if copied and content_of(copied.value) != content:
        return Surveyed(run, manifest, content, items, None, copied)
    if not copied and not task.lock and await exists(place.store, names.plan):
        raise UsageError(COPY, f"run {run}", f"a run of this id was begun in {place.target}", "Copy to another place.")
    if copied and not task.lock:
        copying = None
        with suppress(DocumentError):
            copying = await value_of(place.store, names.copying)
        if copying is None or copying.files:
            # Its copy was stopped, or what says that it was not is damaged, and made again.
            copied = None
    return Surveyed(run, manifest, content, items, copied)


def another_run(place: Place, run: str, of: Manifest | None = None, copied: Manifest | None = None) -> UsageError:
    """The error about a run of the same id and other content. of, copied: the manifests of source and copy."""
    cause, hint = (
        f"{place.target} has another run of this id",
        "Copy it to another place, or prune that run there first.",
    )
    if of and copied and (of.project, of.dataset, of.snapshot) == (copied.project, copied.dataset, copied.snapshot):
        in_source, in_copy = {note.table for note in of.erased}, {note.table for note in copied.erased}
        if lacking := sorted(in_source - in_copy):
            cause = f"table {lacking[0]} was erased from it in the source, and not in {place.target}"
            table = {"table": f"{of.dataset}.{lacking[0]}", "reason": "REASON"}
            hint = f"Erase it there as well: {placeholder('erase', table | place.words)}"
            if until := copied.copy_of.locked_until if copied.copy_of else 0:
                hint = f"It is locked there until {rfc3339(until)}: let prune delete it there after that."
        elif lacking := sorted(in_copy - in_source):
            cause = f"table {lacking[0]} was erased from it in {place.target}, and not in the source"
            erase = placeholder("erase", {"table": f"{of.dataset}.{lacking[0]}", "reason": "REASON"})
            hint = f"Erase it in the source as well, so that no copy brings it back: {erase}"
    return UsageError(COPY, f"run {run}", cause, hint)


def pruned_meanwhile(task: Task, run: str) -> NotFoundError:
    """The error about a copy that a prune has taken for an abandoned one."""
    cause = f"a prune of {task.target.target} has deleted what was copied of it"
    return NotFoundError(COPY, f"run {run}", cause, "Repeat the command.")


async def plan_of(task: Task, surveyed: Surveyed, again: Container[tuple[str, int]] = ()) -> CopyPlan:
    """What is to be moved. Raises VerificationError for files of others under the run's names.

    again: files of the copy that are moved again, by name and generation. They are known before this looks at what is
    there: what a prune has deleted by now is not listed any more, and what it was about to delete is among them.
    """
    store, known = task.target.store, Known({}, {})
    if not store.abilities.listed_checksums:
        known = await known_files(task, surveyed.run, surveyed.items)
    infos = await present(store, [item.target for item in surveyed.items], known.crc32c)
    if task.lock and known.last:
        # What that copy has locked is there, whatever hides it.
        targets = {item.target for item in surveyed.items}
        files = (file for entry in known.last.tables for file in entry.files if file.name in targets)
        hidden = await uncover_files(store, known.last, files, infos)
        infos |= {info.name: info for info in await looked_up(store, hidden) if info}
    here = {name: Present(info.generation, info.size, info.crc32c) for name, info in infos.items()}
    plan = plan_copy(surveyed.items, here, again)
    if plan.foreign:
        more = f"; so have {counted(len(plan.foreign) - 1, 'other object')}" if len(plan.foreign) > 2 else ""
        more = "; so has another object" if len(plan.foreign) == 2 else more
        cause = f"it is not a file of run {surveyed.run}: it has another size or checksum{more}"
        hint = "Nothing was copied over it. Find out who wrote it, and delete it."
        raise VerificationError(COPY, f"{task.target.store.url}/{plan.foreign[0]}", cause, hint)
    return plan


async def sources_of(task: Task, surveyed: Surveyed, missing: Iterable[Missing]) -> dict[str, ObjectInfo]:
    """The files of the source that are to be moved, by name. Raises if any is missing, or not as exported.

    Where keys are trusted, also one that was written again and has no SHA-256 to be compared with: a CRC32C can be met
    on purpose, and the manifest would vouch for other bytes.
    """
    wanted = {file.item.source: file.item for file in missing}
    store, files = task.source.store, [file for entry in surveyed.manifest.tables for file in entry.files]
    infos = await present(store, wanted, recorded_in(files))
    hidden = await uncover_files(store, surveyed.manifest, (file for file in files if file.name in wanted), infos)
    infos |= {info.name: info for info in await looked_up(store, hidden) if info}
    wrong = [name for name, item in wanted.items() if (info := infos.get(name)) is None or differs(info, item)]
    if wrong:
        raise await not_as_exported(task, surveyed, wrong, infos.get(wrong[0]))
    again = (item for name, item in wanted.items() if is_written_again(task, item, infos[name]))
    if unproven := [item.source for item in again if not item.sha256]:
        cause = f"it was written again since run {surveyed.run} was exported, and only its CRC32C can be compared"
        hint = "Find out by whom. Files that were moved with other tools are copied without {setting:trust}."
        raise VerificationError(COPY, f"{store.url}/{unproven[0]}", cause, hint)
    return infos


def is_written_again(task: Task, item: Item, info: ObjectInfo) -> bool:
    """Whether a file of the source has another generation than in its manifest, and keys are trusted."""
    return bool(task.source.settings.trust) and info.generation != item.generation


def differs(info: ObjectInfo, item: Item) -> bool:
    """Whether an object is not this file.

    Not by its generation: the same bytes written again are the same file, and a bucket that was moved has other ones.
    """
    return (info.size, info.crc32c) != (item.size, item.crc32c)


async def not_as_exported(task: Task, surveyed: Surveyed, wrong: list[str], info: ObjectInfo | None) -> BqdumpError:
    """The error about files that the source does not have any more as the run exported them. info: of the first.

    Raises NotFoundError if the run was pruned.
    """
    place = task.source
    await refuse_pruned(place.store, place.settings, COPY, surveyed.run, was_read=True)
    latest = await read_latest(place.store, place.settings)
    if surveyed.manifest.replaces and latest and latest.run != surveyed.run:
        cause = f"later runs have replaced {counted(len(wrong), 'file')} of it, such as {wrong[0]}"
        return NotFoundError(COPY, f"run {surveyed.run}", cause, f"Run {latest.run} is the published one.")
    how = "is missing" if info is None else "has another size or checksum than the manifest records"
    more = f", and {counted(len(wrong) - 1, 'other file')} of run {surveyed.run} as well" if len(wrong) > 1 else ""
    hint = f"All differences: {{call:verify run={surveyed.run}}}"
    return VerificationError(COPY, f"{place.store.url}/{wrong[0]}", f"it {how}{more}", hint)
