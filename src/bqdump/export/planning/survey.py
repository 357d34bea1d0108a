"""What planning asks about a dataset as a whole: what it holds, and what is seen of it before the snapshot time.

Readings from before the snapshot time and equal ones from after a job prove that nothing changed between them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import NamedTuple

from bqdump.concurrency import gathered
from bqdump.core.documents.unchanged import Reading
from bqdump.core.errors import PLAN, UsageError
from bqdump.core.plan.by_partition import (
    SeenBefore,
    candidates,
    is_conclusive,
    is_large,
    refuse_bill,
    view_bill,
)
from bqdump.core.plan.guards import refuse_snapshot
from bqdump.core.plan.readings import Published, changing, reading_of
from bqdump.core.plan.reuse import Comparison, ExpectedReuse, expected_to_change
from bqdump.core.settings.settings import Settings
from bqdump.core.tables.catalog import Dataset, Listed, Partition
from bqdump.core.tables.patterns import select
from bqdump.export.planning.definitions import DESCRIBE_AT_ONCE
from bqdump.export.planning.target import find_dataset
from bqdump.export.task import SetContext
from bqdump.ports.signer import Signer
from bqdump.ports.store import BucketInfo, ObjectStore
from bqdump.ports.warehouse import Warehouse

LISTINGS = 3
TakeReading = Callable[[str], Awaitable[Reading | None]]


class Earlier(NamedTuple):
    """The published export, and the place of its files. signer: its key must have signed what is reused."""

    store: ObjectStore
    published: Published | None
    signer: Signer | None = None


class Request(NamedTuple):
    """What is to be planned.

    bucket: None without the permission to read its settings.
    earlier: the export that this one would replace.
    of_set: where the dataset is one of a set.
    """

    settings: Settings
    run: str
    tasks: int
    bucket: BucketInfo | None
    earlier: Earlier
    of_set: SetContext | None = None


class Survey(NamedTuple):
    """What is known when an export is planned, before single tables are asked about.

    before: large tables and their partitions from before the snapshot time, by name; empty without {partition}.
    early: readings of tables from before the snapshot time, by name; None for one that proves nothing.
    now: BigQuery's time, in milliseconds since 1970 UTC.
    snapshot: the snapshot time of the export, likewise.
    """

    request: Request
    dataset: Dataset
    before: Mapping[str, SeenBefore]
    early: Mapping[str, Reading | None]
    now: int
    snapshot: int
    listing: Sequence[Listed]

    @property
    def published(self) -> Published | None:
        """The published export if it is an earlier one of the same dataset: the one whose files may be used again."""
        published = self.request.earlier.published
        if published is None or published.age >= (self.snapshot, self.request.run):
            return None
        return same_dataset(published, self.settings)

    @property
    def comparison(self) -> Comparison:
        """What the plan is compared with."""
        return Comparison(self.published, self.settings, self.snapshot)

    @property
    def settings(self) -> Settings:
        """The settings of the run."""
        return self.request.settings


async def survey(warehouse: Warehouse, request: Request) -> Survey:
    """Ask for all that planning needs to know of the dataset as a whole.

    Raises UsageError where the settings do not allow what was found.
    """
    settings = request.settings
    dataset = await _dataset(warehouse, settings)
    published = same_dataset(request.earlier.published, settings)
    before = await read_before(warehouse, dataset, settings, published)
    known = {name: table.reading for name, table in before.items()}
    early = {**known, **await read_early(warehouse, dataset, request, known)}
    now, snapshot, listing = await _listing_at_snapshot(warehouse, dataset, settings, request.of_set)
    return Survey(request, dataset, before, early, now, snapshot, listing)


def same_dataset(published: Published | None, settings: Settings) -> Published | None:
    """The published export if it is one of the same dataset."""
    if published is None:
        return None
    return published if (published.project, published.dataset) == (settings.project, settings.dataset) else None


async def _dataset(warehouse: Warehouse, settings: Settings) -> Dataset:
    """The dataset. Raises UsageError where it is not in the location that the settings require."""
    dataset = await find_dataset(warehouse, settings)
    if settings.location and settings.location.lower() != dataset.location.lower():
        cause = f"{settings.project}.{settings.dataset} is in {dataset.location}"
        raise UsageError(
            PLAN, settings.location, cause, "Remove the setting to accept any location.", setting="location"
        )
    return dataset


async def _listing_at_snapshot(
    warehouse: Warehouse, dataset: Dataset, settings: Settings, of_set: SetContext | None
) -> tuple[int, int, list[Listed]]:
    """Now, the snapshot time, and what the dataset holds. The times come first, so that no table is missed.

    A table that is created or replaced between the two cannot be read at that time: then both are requested again.
    """
    if of_set and settings.snapshot_ms is not None:
        refuse_snapshot(settings, settings.snapshot_ms, of_set.planned, dataset)
        return of_set.planned, settings.snapshot_ms, list(of_set.listing)
    tries = 1 if settings.snapshot_ms is not None else LISTINGS
    while True:
        now = await warehouse.now(dataset.location)
        snapshot = settings.snapshot_ms if settings.snapshot_ms is not None else now
        refuse_snapshot(settings, snapshot, now, dataset)
        listing, tries = await warehouse.tables(dataset), tries - 1
        if not tries or all(item.created <= snapshot for item in listing):
            return now, snapshot, listing


async def read_before(
    warehouse: Warehouse, dataset: Dataset, settings: Settings, published: Published | None
) -> dict[str, SeenBefore]:
    """Look at the partitions of large tables, before the snapshot time is taken.

    published: the export of the same dataset, if there is one. What an incremental plan expects to be unchanged is
    looked at after the snapshot time only. Raises UsageError where listing them would bill more than the settings
    allow, and what the query raises.
    """
    if not settings.template.by_partition:
        return {}
    names = [item.name for item in candidates(settings, await warehouse.tables(dataset))]
    tables = await gathered(lambda name: warehouse.table(dataset, name), names, DESCRIBE_AT_ONCE)
    large = [table for table in tables if table and is_large(settings, table)]
    readings = {
        table.name: reading_of(table.definition) if is_conclusive(table.definition) else None for table in large
    }
    if settings.snapshot_ms is not None:
        return dict.fromkeys(readings, SeenBefore(None))
    now = await warehouse.now(dataset.location) if settings.incremental and published else 0
    expected = ExpectedReuse(published if now else None, settings, now)
    by_name = {table.name: table for table in large if not expected.table(table, readings[table.name])}
    listed = await list_partitions(warehouse, dataset, settings, list(by_name))
    take_reading = taking_readings(warehouse, dataset)
    before = {name: SeenBefore(reading) for name, reading in readings.items()}
    for name, partitions in listed.items():
        later = expected.partitions(by_name[name], partitions)
        ids = [partition.id for partition in partitions if readings[name] and partition.id not in later]
        all_ = await asyncio.gather(*(take_reading(f"{name}${id_}") for id_ in ids))
        of_each = {id_: reading for id_, reading in zip(ids, all_, strict=True) if reading}
        before[name] = SeenBefore(readings[name], partitions, of_each)
    return before


def taking_readings(warehouse: Warehouse, dataset: Dataset) -> TakeReading:
    """Readings of tables and partitions by name, some at a time; None for one that proves nothing."""
    slots = asyncio.Semaphore(DESCRIBE_AT_ONCE)

    async def take(name: str) -> Reading | None:
        async with slots:
            table = await warehouse.table(dataset, name)
        return reading_of(table.definition) if table and is_conclusive(table.definition) else None

    return take


async def read_early(
    warehouse: Warehouse, dataset: Dataset, request: Request, known: Collection[str]
) -> Mapping[str, Reading]:
    """The readings of tables that are expected to change, by name, before the snapshot time is taken.

    None of tables whose readings prove nothing. A set has taken those of all its datasets. With a chosen snapshot time,
    every reading comes after it. known: tables that have been read.
    """
    settings, published = request.settings, same_dataset(request.earlier.published, request.settings)
    if request.of_set:
        return request.of_set.early
    if published is None or not settings.incremental or settings.snapshot_ms is not None:
        return {}
    names = [name for name in chosen_to_change(published, settings) if name not in known]
    readings = await gathered(lambda name: early_reading(warehouse, dataset, name), names, DESCRIBE_AT_ONCE)
    return {name: reading for name, reading in zip(names, readings, strict=True) if reading}


def chosen_to_change(published: Published, settings: Settings) -> list[str]:
    """The tables that are expected to change, of those that the patterns choose."""
    names = expected_to_change(published)
    chosen = select(names, settings.include, settings.exclude, published.labels)
    return [name for name, yes in zip(names, chosen, strict=True) if yes]


async def early_reading(warehouse: Warehouse, dataset: Dataset, name: str) -> Reading | None:
    """The reading of a table that is expected to change: one request. None where it proves nothing."""
    table = await warehouse.table(dataset, name)
    return reading_of(table.definition) if table and not changing(table.definition) else None


async def list_partitions(
    warehouse: Warehouse, dataset: Dataset, settings: Settings, tables: Sequence[str]
) -> dict[str, list[Partition]]:
    """The partitions of these tables. Raises UsageError where listing them would bill more than the settings allow."""
    if not tables:
        return {}
    refuse_bill(settings, sum(view_bill(len(tables)).values()))
    return await warehouse.partitions(dataset, tables, settings.max_bytes_billed)
