"""One dataset of a set: the task of its export, and what its end, or its failure, leaves in the set's notes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple

from bqdump.core.documents.notes import shortened
from bqdump.core.documents.project import DatasetFailure, Ended, Listings, ProjectPlan
from bqdump.core.documents.publication import Latest
from bqdump.core.errors import BqdumpError, DocumentError
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.progress.subject import about
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

    from bqdump.export.in_flight import InFlight

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
    numbers = await numbers_of(export.store, export.settings, latest.run)
    ended = _ended(export, number, latest, numbers)
    await replace(running.task.store, running.task.layout.ended(number), ended, 0)
    billed = numbers.billed if latest.run == export.run else 0
    published = LogEvent.DATASET_PUBLISHED.extra(
        dataset=export.settings.dataset, target=str(export.settings.target), bytes_billed=billed
    )
    log.info("the dataset is %s", ended.state, extra=published)


def _ended(export: Task, number: int, latest: Latest, numbers: Numbers) -> Ended:
    return Ended(
        number=number,
        state="published" if latest.run == export.run else "superseded",
        run=latest.run,
        snapshot=latest.snapshot,
        manifest_generation=latest.manifest_generation,
        status=latest.status,
        tables=numbers.tables,
        rows=numbers.rows,
        files=numbers.files,
        bytes=numbers.bytes,
    )


class Numbers(NamedTuple):
    """Tables, exported rows, files, bytes and bytes billed of an export; 0 where its summary cannot be read."""

    tables: int = 0
    rows: int = 0
    files: int = 0
    bytes: int = 0
    billed: int = 0


async def numbers_of(store: ObjectStore, settings: Settings, run: str) -> Numbers:
    """The numbers of a dataset's export. settings: of this dataset."""
    summary = None
    # They are for display only.
    with suppress(DocumentError):
        summary = await value_of(store, settings.layout.summary(run))
    if summary is None:
        return Numbers()
    totals = summary.totals
    return Numbers(totals.tables, summary.rows, totals.files, totals.bytes, totals.billed)
