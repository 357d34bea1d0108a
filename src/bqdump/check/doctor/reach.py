"""What the account could destroy, tried on a generation that no object has, and what the bucket would bring back."""

from __future__ import annotations

from typing import NamedTuple

from bqdump.check.doctor.checks import CheckOutcome, Checks
from bqdump.core.documents.document import Document
from bqdump.core.documents.manifest import ManifestFiles
from bqdump.core.documents.path_template import shard_name
from bqdump.core.errors import NO_ANSWER, BqdumpError, DeniedError
from bqdump.core.settings.settings import Settings
from bqdump.core.sizes import counted
from bqdump.core.times import period_text, rfc3339
from bqdump.ports.store import BucketInfo, ObjectStore
from bqdump.repository.published import read_latest
from bqdump.repository.repository import value_of

DELETES = "storage.objects.delete"
# Generations are times in microseconds, or count the changes of a folder: none is ever this one.
NEVER = (1 << 63) - 1
HIDES = "but it can hide all of them as noncurrent versions: turn Object Versioning off"
NOTHING = "this account cannot delete or overwrite anything"


class Reach(NamedTuple):
    """What the account may delete and so overwrite.

    runs: the files and manifests of runs.
    pointers: what every run replaces.
    notes: what the tasks of a run divide its work by, and replace where one takes over from another.
    own: the objects of the doctor.
    locks: in a place of locked copies, until when each run is locked, in milliseconds since 1970 UTC.
    governance: whether an account that has the permission may end these locks earlier.
    """

    runs: bool
    pointers: bool
    notes: bool
    own: bool
    locks: tuple[int, ...] = ()
    governance: bool = False


async def reach_of(store: ObjectStore, settings: Settings, own: str) -> Reach:
    """Try it, with requests that delete nothing. own: the name of an object of the doctor."""
    layout = settings.layout
    run = layout.run("doctor")
    pointers = [layout.latest.name, layout.newest.name]
    notes = [run.planner.name, run.publisher.name, run.claim("00000-00000").name]
    manifest, file = await _published(store, settings)
    names = [manifest, file, *pointers, *notes, own]
    allowed = dict(zip(names, await _may_delete(store, names), strict=True))

    def every(some: list[str]) -> bool:
        return all(allowed[name] for name in some)

    runs = allowed[manifest] or allowed[file]
    return Reach(runs, every(pointers), every(notes), allowed[own], *await _locks(store, settings))


async def _locks(store: ObjectStore, settings: Settings) -> tuple[tuple[int, ...], bool]:
    """Until when each run is locked, as its manifest is, and whether by governance; nothing where none is locked."""
    try:
        latest = await read_latest(store, settings)
        if latest is None or not latest.locked:
            return (), False
        copies = await value_of(store, settings.layout.copies)
        runs = await store.folders(settings.layout.runs)
        manifests = [await store.stat(settings.layout.run(run).manifest.name) for run in runs]
    except NO_ANSWER:
        raise
    except BqdumpError:
        # Reported by the check of the prefix.
        return (), False
    return tuple(info.locked_until for info in manifests if info), copies is None or copies.lock != "compliance"


async def _may_delete(store: ObjectStore, names: list[str]) -> list[bool]:
    """Whether each name may be deleted. Raises errors that say nothing about it."""
    results = await store.delete([(name, NEVER) for name in names])
    for result in results:
        if isinstance(result, NO_ANSWER) or (isinstance(result, BqdumpError) and not isinstance(result, DeniedError)):
            raise result
    return [not isinstance(result, DeniedError) for result in results]


async def _published(store: ObjectStore, settings: Settings) -> tuple[str, str]:
    """The names of the published manifest and of one of its files; names that a run could have, where there is none."""
    run = settings.layout.run("doctor")
    manifest, file = run.manifest.name, shard_name(f"{settings.target.prefix}doctor/doctor_*.csv", 0)
    try:
        if latest := await read_latest(store, settings):
            manifest = latest.manifest
            stored = await value_of(store, Document(manifest, ManifestFiles))
            file = next((entry.name for table in stored.tables for entry in table.files), file) if stored else file
    except NO_ANSWER:
        raise
    except BqdumpError:
        # What cannot be read is reported by the check of the prefix. The names that a run could have serve as well.
        pass
    return manifest, file


def note_reach(
    checks: Checks, store: ObjectStore, settings: Settings, reach: Reach, bucket: BucketInfo | None, now: int
) -> None:
    """Report what the account could destroy, in one line, and whether what it may suffices for a run.

    now: in milliseconds since 1970 UTC.
    """
    name, url = "could destroy", store.url
    if reach.locks:
        deletes = reach.runs or reach.own
        # There, a locked object can be made noncurrent; in S3, commands read what is under a delete marker.
        hides = deletes and bucket is not None and bucket.versions and not store.abilities.markers
        free = deletes and any(end <= now for end in reach.locks)
        outcome = CheckOutcome.WARNING if free or hides else CheckOutcome.OK
        what = _held(reach, now) if deletes else NOTHING
        checks.note(name, url, outcome, f"{what}; {HIDES}" if hides else what)
        return
    if reach.runs:
        back, lost = _brings_back(bucket)
        outcome = CheckOutcome.WARNING if lost else CheckOutcome.OK
        checks.note(name, url, outcome, f"this account can delete all runs; {back}")
        return
    if not settings.template.keeps:
        detail = "each run replaces the files of the last one; add {run} to {setting:path}, or grant the permission"
        checks.note("replace files", url, CheckOutcome.DENIED, detail, DELETES)
    elif not reach.pointers:
        detail = f"a run replaces {settings.layout.latest.name} and {settings.layout.newest.name}"
        checks.note("replace pointers", url, CheckOutcome.DENIED, detail, DELETES)
    elif not reach.notes:
        detail = "a task cannot take over from another one, and planning for over 10 s fails: "
        detail += "{call:render.iam region=REGION append_only} prints the grant"
        checks.note("replace notes of a run", url, CheckOutcome.WARNING, detail)
    if settings.prune:
        detail = "a run that prunes deletes earlier runs; set {setting:prune} to false, and prune with a job and an "
        detail += "account of its own: {call:render.job region=REGION image=IMAGE command=prune}"
        checks.note("prune", url, CheckOutcome.DENIED, detail)
    pointer = f"; it can replace {settings.layout.latest.name}, so that readers find another run or none"
    detail = (
        f"append-only: this account cannot delete or overwrite files and manifests of runs{pointer * reach.pointers}"
    )
    checks.note(name, url, CheckOutcome.OK, detail)


def _held(reach: Reach, now: int) -> str:
    """What of locked copies may be deleted, and until when the others cannot be."""
    held = [end for end in reach.locks if end > now]
    if not held:
        return "this account can delete all runs: their locks have ended"
    free = len(reach.locks) - len(held)
    what = f"only {counted(free, 'run')}, and no other" if free else "no run"
    earlier = "; an account that may override governance locks can" if reach.governance else ""
    return f"this account can delete {what} before {rfc3339(min(held))} (the last one: {rfc3339(max(held))}){earlier}"


def _brings_back(bucket: BucketInfo | None) -> tuple[str, bool]:
    """What would bring deleted files back and until when, and whether nothing would."""
    if bucket is None:
        return "whether the bucket would bring them back cannot be seen", False
    if not bucket.location:
        return "a folder keeps no deleted files", False
    if bucket.retention_seconds:
        return f"the retention policy keeps each object for {period_text(bucket.retention_seconds)}", False
    if bucket.soft_delete_seconds:
        return f"soft delete keeps them for {period_text(bucket.soft_delete_seconds)}", False
    if bucket.versions:
        return "the bucket keeps noncurrent versions, which this account can delete, too", True
    return "nothing brings them back: soft delete is off", True
