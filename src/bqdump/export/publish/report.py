"""What is stored for people when a run has ended: index and report of a published one, or why it failed."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from bqdump.core.documents.codec import decode
from bqdump.core.documents.manifest import Manifest
from bqdump.core.errors import BqdumpError
from bqdump.core.progress.events import Cleared
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.settings.settings import Settings
from bqdump.export.publish.clear import published_manifest
from bqdump.export.publish.publish import Published
from bqdump.export.task import RunningExport
from bqdump.pool.tables import Ledger, read_ledger
from bqdump.ports.store import ObjectStore
from bqdump.repository.objects import write_object
from bqdump.repository.published import missing_run, read_if_complete, read_manifest, refuse_set
from bqdump.repository.repository import replace, value_of

log = logging.getLogger(__name__)

# Comparing with the export before reads a second complete manifest: not worth the memory of a small task beyond this.
COMPARED_TABLES = 20_000


async def has_report(export: RunningExport) -> bool:
    """Whether publishing is complete: the report is the last object that a publisher writes."""
    return await export.store.stat(export.layout.report) is not None


async def store_report(export: RunningExport, published: Published, cleared: Sequence[Cleared]) -> None:
    """Write the index and report.html. An error is only logged, because the export is published."""
    try:
        # Imported at the end of a run, by the one task that gets here.
        from bqdump.core.documents.changes import compare
        from bqdump.pages.report import render_report
        from bqdump.repository.manifests import contents_of

        document, before = export.layout.manifest, published.before
        data = published.document or (await export.store.read(document.name)).data
        contents = contents_of(data, document.name)
        await replace(export.store, export.layout.contents, contents, 0)
        manifest = decode(data, document.type, document.name)
        changes = None
        if before and before.run != export.plan.run and len(manifest.tables) <= COMPARED_TABLES:
            earlier = await published_manifest(export, before, Manifest)
            changes = compare(earlier, manifest) if earlier else None
        report = render_report(manifest, changes, cleared=cleared)
        await write_object(export.store, export.layout.report, report, 0)
    except (BqdumpError, OSError, ImportError) as error:
        # Such as too many open files: what is imported this late is read from the disk.
        message = "the export is published, but its report could not be written: %s"
        log.warning(message, error, extra=LogEvent.REPORT_FAILED.extra())


async def store_failed_report(export: RunningExport, ledger: Ledger) -> None:
    """Write the page of an execution that publishes nothing, once. Errors are only logged: the run has failed."""
    name = export.layout.failed_report(export.owner.execution)
    try:
        from bqdump.pages.report import render_unpublished

        if await export.store.stat(name) is None:
            page = render_unpublished(export.plan, len(ledger.done), ledger.receipts, ledger.failed)
            await write_object(export.store, name, page, 0)
    except (BqdumpError, OSError, ImportError) as error:
        log.warning("the failed run's report could not be written: %s", error, extra=LogEvent.REPORT_FAILED.extra())


async def report_page(store: ObjectStore, settings: Settings, run: str = "", since: str = "") -> tuple[str, bytes]:
    """The name of a run (default: the published run) and its page, rendered again.

    since: show what changed since this run. Raises NotFoundError where there is no such run.
    """
    from bqdump.core.documents.changes import compare
    from bqdump.pages.report import render_report, render_unpublished
    from bqdump.repository.drills import read_proof

    layout = settings.layout.run(run)
    manifest = await (read_if_complete(store, settings, run) if run else read_manifest(store, settings))
    if manifest is None:
        plan = await value_of(store, layout.plan)
        if plan is None:
            await refuse_set(store, settings)
            raise missing_run(run, settings)
        ledger = await read_ledger(store, layout, plan)
        return run, render_unpublished(plan, len(ledger.done), ledger.receipts, ledger.failed)
    changes = compare(await read_manifest(store, settings, since), manifest) if since else None
    # The caller stores the page elsewhere.
    folder = settings.target.folder
    root = f"{Path(folder).absolute().as_uri()}/" if folder else ""
    proven = await read_proof(store, settings.layout, manifest.run)
    return manifest.run, render_report(manifest, changes, root, proven=proven)
