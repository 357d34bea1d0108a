"""What latest.json becomes when this run is published.

Whether a run has ended already, by another task of it or because a later run has taken over.

A run that was published before this task started: when and by which task, from the documents of its publisher.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import NamedTuple

from bqdump.core.documents.manifest import ManifestFiles
from bqdump.core.documents.target import Latest
from bqdump.core.errors import DocumentError
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.times import rfc3339
from bqdump.export.task import RunningExport
from bqdump.repository.published import read_base
from bqdump.repository.repository import Loaded, exists, load, value_of

log = logging.getLogger(__name__)


async def has_manifest(export: RunningExport) -> bool:
    """Whether this run is complete, so that it is settled what it publishes."""
    return await exists(export.store, export.layout.manifest)


async def is_entered(export: RunningExport) -> bool:
    """Whether this run is in the log."""
    return await exists(export.store, export.settings.layout.entry(export.plan.run, export.plan.snapshot))


async def read_manifest_files(export: RunningExport) -> Loaded[ManifestFiles] | None:
    """Which objects this run's manifest names; None when there is none yet."""
    return await load(export.store, export.layout.manifest_files)


async def has_ended(export: RunningExport) -> bool:
    """Whether the run has its manifest, or a later run is published or has announced itself."""
    if await has_manifest(export):
        return True
    latest = await read_base(export.store, export.settings)
    announced = await value_of(export.store, export.settings.layout.publishing)
    return any(pointer and pointer.age > export.plan.age for pointer in (latest, announced))


async def pointer_to(export: RunningExport, manifest: ManifestFiles, generation: int) -> Latest:
    """latest.json that names this run, complete except for `uncleared`. generation: that of its manifest."""
    return Latest(
        run=export.plan.run,
        number=manifest.number,
        project=export.plan.project,
        dataset=export.plan.dataset,
        snapshot_time=rfc3339(export.plan.snapshot),
        snapshot=export.plan.snapshot,
        status=manifest.status,
        mode=export.plan.mode,
        manifest=export.layout.manifest.name,
        manifest_generation=generation,
        over=manifest.over,
        carried=manifest.totals.carried,
        oldest_snapshot_time=manifest.oldest_snapshot_time,
        iceberg=await export.extra.name(export, manifest),
    )


class Again(NamedTuple):
    """A run that was published before this task started.

    ended: when its last table was done, in milliseconds since 1970 UTC.
    same: this task's execution published it.
    """

    ended: int
    same: bool


async def report_again(export: RunningExport) -> Again:
    """Report that the run was published before. A restarted task expects that; any other execution exports nothing."""
    ended, same = export.plan.began, False
    # What another release or a copied bucket left out here changes no more than the wording.
    with suppress(DocumentError):
        # A task that was alone has published without a note that says so, but it has planned the run.
        notes = [await value_of(export.store, note) for note in (export.layout.publisher, export.layout.planner)]
        same = export.owner.execution in [note.execution for note in notes if note][:1]
        entry = await value_of(export.store, export.settings.layout.entry(export.plan.run, export.plan.snapshot))
        ended = entry.ended or ended if entry else ended
    again = Again(ended, same)
    if again.same:
        message = "run %s is published already: nothing to do"
        log.info(message, export.plan.run, extra=LogEvent.ALREADY_PUBLISHED.extra())
    else:
        exported, as_of = rfc3339(ended), rfc3339(export.plan.snapshot)
        message = (
            "nothing was exported: run %s was published already (exported at %s, as of %s). "
            "For a new export, omit the run id or use another one"
        )
        log.warning(message, export.plan.run, exported, as_of, extra=LogEvent.NOTHING_EXPORTED.extra())
    return again
