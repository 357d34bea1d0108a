"""The context of every step of a task that exports a set of datasets.

One dataset of a set: the task of its export, and what its end, or its failure, leaves in the set's notes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from bqdump.core.documents.notes import shortened
from bqdump.core.documents.run import Owner
from bqdump.core.documents.sets import DatasetFailure, Ended, Listings, SetLayout, SetPlan
from bqdump.core.documents.target import SET, Latest
from bqdump.core.errors import BqdumpError, DocumentError
from bqdump.core.progress.events import Listener, ignore
from bqdump.core.progress.log_events import LogEvent, about
from bqdump.core.sets.member import at_once, member_settings, order_of
from bqdump.core.settings.settings import Settings
from bqdump.core.wording import UNFILLED
from bqdump.export.task import ReadRoute, SetContext, Task
from bqdump.pool.turn import Turn
from bqdump.ports.signer import Signer
from bqdump.ports.store import ObjectStore
from bqdump.ports.warehouse import Warehouse
from bqdump.repository.published import read_latest
from bqdump.repository.repository import replace, value_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bqdump.export.watch import InFlight


class SetTask(NamedTuple):
    """One task of a run that exports the datasets of a set which go to one target: `owner.task` of `tasks`.

    hear: the listener of a dataset's export. The other fields are those of an export's Task.
    """

    store: ObjectStore
    warehouse: Warehouse
    settings: Settings
    run: str
    owner: Owner
    tasks: int
    open_read_route: Callable[[], ReadRoute]
    hear: Callable[[str], Listener] = lambda _: ignore
    signer: Signer | None = None

    @property
    def layout(self) -> SetLayout:
        """The object names of this run of the set."""
        return self.settings.layout.set_run(self.run)

    @property
    def planning(self) -> Turn:
        """Planning the set: first its datasets and their snapshot time, then each dataset."""
        return Turn(self.store, self.layout.planner, self.owner)

    @property
    def of_prefix(self) -> Settings:
        """The settings with which the prefix is claimed: it belongs to any set of the project's datasets."""
        return msgspec.structs.replace(self.settings, dataset=SET)


class RunningSet(NamedTuple):
    """A task with the plan of its set, and the tables of each dataset."""

    task: SetTask
    plan: SetPlan
    listings: Listings

    @property
    def order(self) -> list[int]:
        """The numbers of the datasets in the order in which this task works on them."""
        return order_of(self._sizes, self.task.owner.task, self.task.tasks)

    @property
    def at_once(self) -> int:
        """How many datasets this task works on at once."""
        return at_once(self._sizes, self.task.owner.task, self.task.tasks)

    @property
    def _sizes(self) -> list[int]:
        return [member.tables for member in self.plan.datasets]


log = logging.getLogger(__name__)

MESSAGE_BYTES, MESSAGE_CHARACTERS = 3000, 1000


def member_task(running: RunningSet, number: int, in_flight: Callable[[str, int, int], InFlight]) -> Task:
    """The task that exports one dataset of a set."""
    return draft_task(running.task, running.plan, running.listings, number, in_flight)


def _nothing_in_flight(location: str, *_: int) -> InFlight:
    raise RuntimeError(f"this task was not given what is in flight in {location}")


def draft_task(
    task: SetTask,
    plan: SetPlan,
    listings: Listings,
    number: int,
    in_flight: Callable[[str, int, int], InFlight] = _nothing_in_flight,
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
        SetContext(number, listing, listings.early_of(number), plan.planned, in_flight),
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
    await replace(running.task.store, running.task.layout.receipt(number), ended, 0)
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
        summary = await value_of(store, settings.layout.entry(latest.run, latest.snapshot))
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
