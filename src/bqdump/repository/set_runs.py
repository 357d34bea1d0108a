"""The manifest of a set: which exports of its datasets belong together.

It is project.json, which each run replaces. Where objects are locked, nothing is replaced: there it is the manifest
that the newest valid pointer names, and all else about a run of the set follows from its manifest.
"""

from __future__ import annotations

import logging

from msgspec.structs import replace

from bqdump.core.documents.document import Document
from bqdump.core.documents.sets import (
    DatasetEntry,
    Ended,
    Member,
    SetManifest,
    SetPlan,
)
from bqdump.core.errors import DocumentError
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.settings.settings import Settings
from bqdump.core.wording import COMMANDS
from bqdump.ports.store import ObjectStore
from bqdump.repository.complete_runs import has_locked_pointers, set_pointer
from bqdump.repository.log import log_refused
from bqdump.repository.repository import value_of

log = logging.getLogger(__name__)
NOT_EXPORTED = "it was not exported"


async def read_set_manifest(store: ObjectStore, settings: Settings) -> SetManifest | None:
    """The exports that belong together, None where no set was ever published here.

    Raises DocumentError, and VerificationError where none of a place of locked copies is valid.
    """
    manifest, damaged = None, None
    try:
        manifest = await value_of(store, settings.layout.set_manifest)
    except DocumentError as error:
        damaged = error
    if (manifest and manifest.locked) or await has_locked_pointers(store, settings):
        return await locked_set(store, settings)
    if damaged:
        raise damaged
    return manifest


async def set_before(store: ObjectStore, settings: Settings) -> SetManifest | None:
    """The same for the next run, which writes it again. Where it cannot be read, a warning says so."""
    try:
        return await read_set_manifest(store, settings)
    except DocumentError as error:
        message = "datasets that leave the set cannot be named: %s"
        log.warning(message, error.sentence(COMMANDS), extra=LogEvent.MANIFEST_MISSING.extra())
        return None


async def locked_set(store: ObjectStore, settings: Settings, run: str = "") -> SetManifest | None:
    """The newest valid manifest of a set, where objects are locked. run: of this run. None where there is none."""
    pointer = await set_pointer(store, settings, run)
    if pointer is None or not pointer.of_set:
        return None
    manifest = await value_of(store, Document(pointer.manifest, SetManifest))
    # Also where somebody has stored one that does not say so.
    return replace(manifest, locked=True) if manifest else None


async def newest_set_plan(
    store: ObjectStore, settings: Settings, published: SetManifest | None = None
) -> SetPlan | None:
    """The plan of the set's run that was planned last, None if there is none. published: the set that is published.

    Where a set is published, a plan that cannot be read is passed over, and logged: nothing depends on it.
    """
    if published and published.locked:
        return plan_in(published)
    try:
        newest = await value_of(store, settings.layout.newest)
        return await value_of(store, settings.layout.set_run(newest.run).plan) if newest else None
    except DocumentError as error:
        if published is None:
            raise
        log_refused(error.subject, error)
        return plan_in(published)


async def set_plan(store: ObjectStore, settings: Settings, published: SetManifest | None, run: str) -> SetPlan | None:
    """The plan of a run of the set, None where there is none. published: the set that is published.

    Where objects are locked, nobody has stored one: it is as the run's manifest says.
    """
    if published is None or not published.locked:
        return await value_of(store, settings.layout.set_run(run).plan)
    manifest = await locked_run(store, settings, published, run)
    return plan_in(manifest) if manifest else None


async def locked_run(store: ObjectStore, settings: Settings, published: SetManifest, run: str) -> SetManifest | None:
    """The manifest of a run of the set, where objects are locked. published: the set that is published."""
    return published if published.run == run else await locked_set(store, settings, run)


def plan_in(manifest: SetManifest) -> SetPlan:
    """What a run of the set was planned to have, as its manifest says."""
    return SetPlan(
        run=manifest.run,
        tool=manifest.tool,
        nonce="0",
        project=manifest.project,
        names=",".join(entry.dataset for entry in manifest.datasets),
        snapshot=manifest.snapshot,
        settings={},
        digest="",
        listing="",
        datasets=tuple(Member(entry.dataset, entry.location, entry.tables) for entry in manifest.datasets),
        skipped=manifest.skipped,
        removed=manifest.removed,
    )


def ended_as(number: int, entry: DatasetEntry, snapshot: int) -> Ended:
    """The note that the export of this dataset has ended.

    number: in the plan.
    snapshot: of the set's run.
    """
    return Ended(
        number=number,
        state="superseded" if entry.state == "superseded" else "published",
        run=entry.run,
        snapshot=snapshot,
        manifest_generation=entry.manifest_generation,
        status=entry.status or "complete",
        tables=entry.tables,
        rows=entry.rows,
        files=entry.files,
        bytes=entry.bytes,
    )


def failed_entry(dataset: str, location: str, problem: str) -> DatasetEntry:
    """A dataset that the set has nothing of, and why."""
    return DatasetEntry(
        dataset=dataset,
        location=location,
        state="failed",
        run="",
        snapshot_time="",
        manifest="",
        manifest_generation=0,
        problem=problem,
    )
