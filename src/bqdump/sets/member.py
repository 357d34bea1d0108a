"""One dataset of a set: the task of its export, and what its end, or its failure, leaves in the set's notes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from bqdump.core.documents.notes import shortened
from bqdump.core.documents.project import DatasetFailure, Ended, Listings, ProjectPlan
from bqdump.core.documents.target import Latest
from bqdump.core.errors import BqdumpError, DocumentError
from bqdump.core.progress.log_events import LogEvent, about
from bqdump.core.sets.member import member_settings
from bqdump.core.settings.settings import Settings
from bqdump.core.wording import UNFILLED
from bqdump.export.task import OfSet, Task
from bqdump.ports.store import ObjectStore
from bqdump.repository.published import read_latest
from bqdump.repository.repository import replace, value_of
from bqdump.sets.task import RunningSet, SetTask

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bqdump.export.watch import InFlight

log = logging.getLogger(__name__)

MESSAGE_BYTES, MESSAGE_CHARACTERS = 3000, 1000


def member_task(running: RunningSet, number: int, in_flight: Callable[[str], InFlight]) -> Task:
    """The task that exports one dataset of a set."""
    return draft_task(running.task, running.plan, running.listings, number, in_flight)


def _nothing_in_flight(location: str) -> InFlight:
    raise RuntimeError(f"this task was not given what is in flight in {location}")


def draft_task(
    task: SetTask,
    plan: ProjectPlan,
    listings: Listings,
    number: int,
    in_flight: Callable[[str], InFlight] = _nothing_in_flight,
) -> Task:
    """The same for a set whose plan may not be stored yet. Without `in_flight`, it can plan, and not work."""
    listing = listings.datasets[number]
    settings = member_settings(task.settings, plan, plan.datasets[number].dataset, listing)
    return Task(
        task.store,
        task.warehouse,
        settings,
        task.run,
        task.owner,
        task.tasks,
        task.hear(settings.dataset),
        task.open_read_route,
        OfSet(number, listing, plan.planned, in_flight),
        task.signer,
    )


@contextmanager
def named(running: RunningSet, number: int) -> Iterator[str]:
    """Log lines within this `with` name the dataset. Its name."""
    dataset = running.plan.datasets[number].dataset
    with about(dataset):
        yield dataset


async def note_failure(running: RunningSet, number: int, error: BqdumpError) -> None:
    """Note why a dataset cannot be exported, for this execution."""
    task = running.task
    failed = LogEvent.DATASET_FAILED.extra(dataset=running.plan.datasets[number].dataset)
    log.error("the dataset is not exported: %s", error, extra=failed)
    text = shortened(error.sentence(UNFILLED), MESSAGE_BYTES, MESSAGE_CHARACTERS)
    failure = DatasetFailure(number, text, task.owner)
    await replace(task.store, task.layout.failure(number, task.owner.execution), failure, 0)


async def note_end(running: RunningSet, number: int, export: Task) -> None:
    """Note that a dataset's export has ended: latest.json names this run, or a later one.

    Nothing is noted while a later run is still publishing: it is not known yet what the dataset will be.
    """
    latest = await read_latest(export.store, export.settings)
    if latest is None or latest.age < running.plan.age:
        return
    ended, billed = await end_of(export.store, export.settings, export.run, number, latest)
    await replace(running.task.store, running.task.layout.ended(number), ended, 0)
    published = LogEvent.DATASET_PUBLISHED.extra(
        dataset=export.settings.dataset,
        target=str(export.settings.target),
        bytes_billed=billed if latest.run == export.run else 0,
    )
    log.info("the dataset is %s", ended.state, extra=published)


async def end_of(store: ObjectStore, settings: Settings, run: str, number: int, latest: Latest) -> tuple[Ended, int]:
    """How run `run` of a dataset ended, and the bytes that the published one billed. settings: of this dataset.

    Numbers are 0 where the summary of the published run cannot be read: they are for display only.
    """
    summary = None
    with suppress(DocumentError):
        summary = await value_of(store, settings.layout.summary(latest.run))
    totals = summary.totals if summary else None
    ended = Ended(
        number=number,
        state="published" if latest.run == run else "superseded",
        run=latest.run,
        snapshot=latest.snapshot,
        manifest_generation=latest.manifest_generation,
        status=latest.status,
        tables=totals.tables if totals else 0,
        rows=summary.rows if summary else 0,
        files=totals.files if totals else 0,
        bytes=totals.bytes if totals else 0,
    )
    return ended, totals.billed if totals else 0
