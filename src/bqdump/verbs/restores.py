"""Restoring an export, and proving that it can be restored."""

from __future__ import annotations

import logging
import time

from msgspec.structs import replace

from bqdump.adapters.memory import MemoryStore
from bqdump.check.read_back import ReadOptions
from bqdump.core.documents.layout import Layout
from bqdump.core.documents.run import Owner
from bqdump.core.errors import DeniedError
from bqdump.core.exit_codes import DRILLED
from bqdump.core.notice import drill_ended, drill_failed
from bqdump.core.progress.events import Billed, Incomplete, Listener, ignore
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.restore.drill import Drilled, Sample
from bqdump.core.restore.listing import RestoreList
from bqdump.core.restore.result import Restoration
from bqdump.core.sets.restoring import EVERY, Choice
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target
from bqdump.core.sizes import size_text
from bqdump.core.wording import COMMANDS, fill
from bqdump.observe.notify import notify
from bqdump.ports.destination import Destination
from bqdump.ports.signer import PROBE
from bqdump.repository.exports import ExportAt, exports_at
from bqdump.restoration import drill as drills
from bqdump.restoration import listing
from bqdump.restoration import restore as restores
from bqdump.restoration.listing import Place
from bqdump.restoration.task import Request, Via
from bqdump.restoration.task import Task as RestoreTask
from bqdump.services.keys import open_signer, trusting, with_signed_drills
from bqdump.services.opened import Services
from bqdump.services.opening import open_destination, open_notifier, open_reader
from bqdump.telemetry import observed
from bqdump.verbs.pinging import pinged

log = logging.getLogger(__name__)


def restore_task(
    services: Services,
    settings: Settings,
    via: Target | None,
    request: Request,
    owner: Owner,
    tasks: int = 1,
    tell: Listener = ignore,
) -> RestoreTask:
    """The task of a restore. via: the bucket that it loads through."""
    through = Via(services.store_at(via), via) if via else None
    store_at = with_signed_drills(trusting(services.store_at, settings, request.run), settings)
    store = store_at(settings.target)
    return RestoreTask(store, services.destination, settings, request, owner, tasks, through, tell)


async def restore(task: RestoreTask, choice: Choice | None = None, *, values: bool = False) -> Restoration:
    """Do one task's part of a restore: of one dataset, or of the chosen datasets of a set (default: all).

    values: compare the values of restored tables with the files.
    """
    options = task.request.options
    about: dict[str, str | int] = {
        "bqdump.project": options.project,
        "bqdump.dataset": options.dataset,
        "bqdump.task": task.owner.task,
    }
    reader = open_reader() if values else None
    reading = ReadOptions(reader, checksums=True) if reader else None
    try:
        with observed("restore", task.owner.execution, about, task.tell) as hear:
            own = _observed_by(task.requesting(reading=reading, compares=values), hear)
            done = await restores.restore(own, choice or EVERY)
            if done.failed:
                hear(
                    Incomplete(
                        "; ".join(f"{failure.name}: {failure.reason}: {failure.message}" for failure in done.failed[:3])
                    )
                )
            return done
    finally:
        if reader:
            reader.close()


async def drill(task: RestoreTask, sample: Sample) -> Drilled:
    """Restore a sample of an export into a scratch dataset, compare every value with the files, and drop it.

    Of a set: of the export of each dataset.
    """
    # Its dataset has another name each time.
    about: dict[str, str | int] = {"bqdump.project": task.request.options.project, "bqdump.task": task.owner.task}
    if signer := open_signer(task.settings):
        # A key that cannot sign is refused before anything is restored.
        await signer.sign(PROBE)
    reader, notifier = open_reader(), open_notifier(task.settings)
    try:
        request = task.request._replace(compares=True, reading=ReadOptions(reader, checksums=True))
        with observed("drill", task.owner.execution, about, task.tell) as hear:
            # Nothing resumes a drill, so its receipts need not outlive it.
            own = task._replace(request=request, documents=MemoryStore(), signer=signer)
            async with pinged(task.settings) as outcome:
                done = await drills.drill(_observed_by(own, hear), sample)
                outcome.code = DRILLED[done.state]
            if done.problems:
                hear(Incomplete("; ".join(done.problems[:3])))
    except Exception as error:
        if notifier:
            await notify(notifier, drill_ended(task.settings, task.request.run, error))
        raise
    else:
        if notifier and done.state != "proven":
            await notify(notifier, drill_failed(task.settings, done))
        return done
    finally:
        reader.close()


def _observed_by(task: RestoreTask, hear: Listener) -> RestoreTask:
    """The task, all of whose events reach the listener, with the bytes that comparisons bill, which are logged."""

    def bill(bytes_billed: int) -> None:
        hear(Billed(bytes_billed))
        extra = LogEvent.QUERY_BILLED.extra()
        log.info("BigQuery bills %s for this comparison", size_text(bytes_billed), extra=extra)

    return task._replace(tell=hear).requesting(on_bill=bill)


async def plan_restore(task: RestoreTask, choice: Choice | None = None, *, values: bool = False) -> Restoration:
    """Show what the same would do, and what it would bill, without writing anything."""
    return await restores.plan_restore(task.requesting(compares=values), choice or EVERY)


async def plan_drill(task: RestoreTask, sample: Sample) -> Restoration:
    """Show what a drill would restore, and what it would bill, without writing anything."""
    return await drills.plan_drill(task.requesting(compares=True), sample)


async def list_restores(services: Services, settings: Settings, via: Target | None, abort: str = "") -> RestoreList:
    """The restores whose documents are next to an export, or below `via`; of a set, those of each dataset.

    abort: the restore that is ended first. Raises NotFoundError without it, UsageError if it is done.
    """
    exports = await exports_at(services.store_at, settings)
    places = [_place(services, export, via) for export in exports.each]
    all_restores = await listing.find_restores(places)
    found = all_restores.restores
    warehouses: dict[str, Destination] = {}

    def warehouse(project: str) -> Destination:
        if project not in warehouses:
            warehouses[project] = open_destination(replace(settings, project=project, job_project=""), 1)
        return warehouses[project]

    async def at_work(project: str, since: int) -> set[str]:
        try:
            return await warehouse(project).at_work(since)
        except DeniedError:
            # Without it, their documents still say when they were last at work.
            return set()

    try:
        ended = None
        if abort:
            restore_ = listing.chosen(all_restores, abort, via)
            ended = await listing.abort(restore_, warehouse(restore_.jobs_in(settings.job_project)))
            found = [other for other in found if other is not restore_]
        now, abandoned_ms = int(time.time() * 1000), settings.abandoned_seconds * 1000
        listed = await listing.list_restores(found, at_work, now, abandoned_ms, settings.job_project)
        damaged = {
            name: fill(f"{error.subject}: {error.cause}", COMMANDS) for name, error in all_restores.damaged.items()
        }
        return RestoreList(restores=tuple(listed), aborted=ended, damaged=damaged)
    finally:
        for destination in warehouses.values():
            await destination.close()


def _place(services: Services, export: ExportAt, via: Target | None) -> Place:
    """Where restores of an export have their documents."""
    if via is None:
        return Place(export.store, export.settings.layout, export.dataset)
    folder = f"{export.dataset}/" if export.dataset else ""
    return Place(services.store_at(via), Layout(f"{via.prefix}{folder}"), export.dataset)
