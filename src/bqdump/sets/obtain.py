"""Obtaining the plan of a set: which datasets it has, and the one time at which all of them are read.

One task makes it, the others wait for it.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import NamedTuple

from bqdump.concurrency import gathered
from bqdump.core.documents.document import Document
from bqdump.core.documents.sets import Listings, Member, SetManifest, SetPlan, SkippedDataset
from bqdump.core.documents.target import Newest
from bqdump.core.documents.unchanged import Reading
from bqdump.core.errors import OUT_OF_REACH, PLAN, DocumentError, NotFoundError, UnavailableError
from bqdump.core.plan.readings import Published
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.sets.member import chosen_tables, matches_include, one_dataset, refuse_unmatched
from bqdump.core.sets.selection import (
    Chosen,
    choose_datasets,
    leaving_datasets,
    locations_of,
    names_of,
    new_by_pattern,
    refuse_leaving,
    removal_sentence,
)
from bqdump.core.settings.resolve import refuse_other_settings
from bqdump.core.settings.settings import Settings
from bqdump.core.sizes import counted, named
from bqdump.core.tables.catalog import Dataset, Listed, ListedDataset
from bqdump.core.tables.patterns import labels_in
from bqdump.core.times import rfc3339
from bqdump.core.version import VERSION
from bqdump.core.wording import COMMANDS, fill
from bqdump.export.planning.definitions import DESCRIBE_AT_ONCE
from bqdump.export.planning.survey import chosen_to_change, early_reading
from bqdump.export.planning.target import check_target
from bqdump.pool.turn import at_work, take_or_await
from bqdump.ports.warehouse import Warehouse
from bqdump.repository.prefix_owner import claim_prefix, release_prefix
from bqdump.repository.repository import overwrite, replace, value_of
from bqdump.repository.set_runs import set_before
from bqdump.sets.task import RunningSet, SetTask

log = logging.getLogger(__name__)

# Listings of tables at once.
LISTINGS_AT_ONCE = 16
# How often the tables are listed until none was created after the snapshot time.
LISTINGS = 3
NAMED = 20
# Why a dataset without a table that --include names is not exported.
NOTHING_INCLUDED = "none of its tables is included"


async def list_project(warehouse: Warehouse, settings: Settings) -> list[ListedDataset]:
    """The datasets of the project, and those that the settings name and no listing has, such as hidden ones."""
    listing = await warehouse.list_datasets(settings.project)
    known = {dataset.name for dataset in listing}
    for name in names_of(settings)[0]:
        if name not in known:
            with suppress(NotFoundError):
                hidden = await warehouse.dataset(settings.project, name)
                listing.append(ListedDataset(hidden.name, hidden.location, labels=labels_in(hidden.definition)))
    return sorted(listing, key=lambda dataset: dataset.name)


async def each_export(warehouse: Warehouse, settings: Settings) -> list[Settings]:
    """The settings of each export that a run makes: of one, or of each dataset of a set."""
    if not settings.names_several:
        return [settings]
    chosen = choose_datasets(await list_project(warehouse, settings), settings).datasets
    return [one_dataset(settings, dataset.name) for dataset in chosen]


async def obtain_set(task: SetTask) -> RunningSet:
    """The plan of this run of the set: as it is stored, else made from the datasets that the settings choose now.

    Raises UsageError if the run was planned with other settings, if datasets would leave the set unasked, or if the
    prefix belongs to a single dataset; and what `choose_datasets` raises.
    """
    running = await _stored_set(task)
    if running is None:
        listing = await list_project(task.warehouse, task.settings)
        chosen = choose_datasets(listing, task.settings)
        running = await _make_or_await(task, chosen, [dataset.name for dataset in listing])
    await claim_prefix(task.store, task.of_prefix, task.run)
    return running


async def _stored_set(task: SetTask) -> RunningSet | None:
    """The plan as it is stored, None where there is none yet. Raises UsageError for a plan with other settings."""
    plan = await value_of(task.store, task.layout.plan)
    if plan is None:
        return None
    refuse_other_settings(task.settings, plan)
    document = task.layout.listing(plan.nonce)
    listings = await value_of(task.store, document)
    if listings is None or len(listings.datasets) != len(plan.datasets):
        raise DocumentError("read", document.name, "it does not fit the plan of the set", "Start a new run.")
    return RunningSet(task, plan, listings)


class Drafted(NamedTuple):
    """A plan that is not stored yet, and the set that it was compared with."""

    plan: SetPlan
    listings: Listings
    before: SetManifest | None


async def draft_set(task: SetTask, chosen: Chosen, listed: Sequence[str], before: SetManifest | None) -> Drafted:
    """Fix the snapshot time and list the tables of all datasets at that time, without storing anything.

    before: the set that is published.
    """
    settings, run = task.settings, task.run
    for dataset in chosen.datasets:
        one_dataset(settings, dataset.name)
    early = await _early_readings(task, chosen.datasets, before)
    now, snapshot, listings = await _listings_at_snapshot(task.warehouse, settings, chosen.datasets)
    refuse_unmatched(settings, [listing.tables for listing in listings])
    members, left = [], list(chosen.skipped)
    for dataset, listing in zip(chosen.datasets, listings, strict=True):
        if listing.problem or matches_include(settings, listing.tables):
            tables = chosen_tables(settings, listing.tables)
            members.append((Member(dataset.name, dataset.location, tables, listing.problem), listing.tables))
        else:
            left.append(SkippedDataset(dataset.name, NOTHING_INCLUDED))
    nonce = secrets.token_hex(4)
    names = {member.dataset for member, _ in members}
    plan = SetPlan(
        run=run,
        tool=VERSION,
        nonce=nonce,
        project=settings.project,
        names=settings.dataset,
        snapshot=snapshot,
        settings=settings.frozen(),
        digest=settings.digest(),
        listing=settings.layout.set_run(run).listing(nonce).name,
        datasets=tuple(member for member, _ in members),
        skipped=tuple(left),
        removed=leaving_datasets(before, names, listed, {dataset.dataset for dataset in left}),
        over=before.run if before else "",
        planned=now,
    )
    readings = tuple(early.get(member.dataset, {}) for member, _ in members) if early else ()
    return Drafted(plan, Listings(tuple(tuple(tables) for _, tables in members), readings), before)


async def _make_or_await(task: SetTask, chosen: Chosen, listed: Sequence[str]) -> RunningSet:
    """The plan that this task makes, or another one. Listing all tables is the work of one task."""
    return await take_or_await(task.planning, partial(_stored_set, task)) or await _make(task, chosen, listed)


async def _make(task: SetTask, chosen: Chosen, listed: Sequence[str]) -> RunningSet:
    async with at_work(task.planning, partial(release_prefix, task.store, task.of_prefix, task.run)):
        await check_target(task.store, task.of_prefix)
        await claim_prefix(task.store, task.of_prefix, task.run)
        before = await set_before(task.store, task.settings)
        drafted = await draft_set(task, chosen, listed, before)
        refuse_leaving(drafted.plan.removed, before, task.settings)
    plan, listings = drafted.plan, drafted.listings
    await replace(task.store, task.layout.listing(plan.nonce), listings, 0)
    if not await replace(task.store, task.layout.plan, plan, 0):
        if stored := await _stored_set(task):
            return stored
        raise UnavailableError(PLAN, f"run {task.run}", "writing the plan of the set failed, and none exists")
    await overwrite(task.store, task.settings.layout.newest, Newest(plan.run))
    _log_plan(task, drafted)
    return RunningSet(task, plan, listings)


async def _early_readings(
    task: SetTask, datasets: Sequence[ListedDataset], before: SetManifest | None
) -> dict[str, dict[str, Reading]]:
    """By dataset and table, the readings of tables that are expected to change. See `read_early`."""
    settings, early = task.settings, dict[str, dict[str, Reading]]()
    if before is None or not settings.incremental or settings.snapshot_ms is not None:
        return early
    manifests = {entry.dataset: entry.manifest for entry in before.datasets if entry.manifest}

    async def expected(dataset: ListedDataset) -> list[tuple[ListedDataset, str]]:
        # What cannot be read fails its own dataset, which is planned from it.
        with suppress(DocumentError):
            published = await value_of(task.store, Document(manifests[dataset.name], Published))
            return [(dataset, table) for table in chosen_to_change(published, settings)] if published else []
        return []

    async def take(place: tuple[ListedDataset, str]) -> Reading | None:
        dataset, table = place
        with suppress(*OUT_OF_REACH):
            return await early_reading(task.warehouse, Dataset(settings.project, dataset.name, dataset.location), table)
        return None

    exported = [dataset for dataset in datasets if dataset.name in manifests]
    places = [place for tables in await gathered(expected, exported, LISTINGS_AT_ONCE) for place in tables]
    for (dataset, table), reading in zip(places, await gathered(take, places, DESCRIBE_AT_ONCE), strict=True):
        if reading:
            early.setdefault(dataset.name, {})[table] = reading
    return early


class _Tables(NamedTuple):
    tables: list[Listed]
    problem: str = ""


async def _listings_at_snapshot(
    warehouse: Warehouse, settings: Settings, datasets: Sequence[ListedDataset]
) -> tuple[int, int, list[_Tables]]:
    """Now, the snapshot time, and the tables of each dataset. The times come first, so that no table is missed.

    Where a table is created or replaced between the two, it cannot be read at that time: then both are requested again.
    """

    async def tables(dataset: ListedDataset) -> _Tables:
        try:
            return _Tables(await warehouse.tables(Dataset(settings.project, dataset.name, dataset.location)))
        except OUT_OF_REACH as error:
            # It fails by name, and does not hold back the others.
            return _Tables([], error.cause)

    tries = 1 if settings.snapshot_ms is not None else LISTINGS
    while True:
        now = min(await asyncio.gather(*map(warehouse.now, locations_of(datasets).values())))
        snapshot = settings.snapshot_ms if settings.snapshot_ms is not None else now
        listings, tries = await gathered(tables, datasets, LISTINGS_AT_ONCE), tries - 1
        if not tries or all(item.created <= snapshot for listing in listings for item in listing.tables):
            return now, snapshot, listings


def _log_plan(task: SetTask, drafted: Drafted) -> None:
    plan, before = drafted.plan, drafted.before
    names = [member.dataset for member in plan.datasets]
    known = names
    if before:
        known = [*(member.dataset for member in before.datasets), *(removed.dataset for removed in before.removed)]
    new = new_by_pattern(names, known, task.settings)
    tables = counted(sum(member.tables for member in plan.datasets), "table")
    log.info(
        "planned %s with %s as of %s, for %s: %s",
        counted(len(plan.datasets), "dataset"), tables, rfc3339(plan.snapshot), counted(task.tasks, "task"),
        f"{named(names, NAMED)}{new and f'. {fill(new, COMMANDS)}'}", extra=LogEvent.SET_PLANNED.extra(),
    )  # fmt: skip
    for removed in plan.removed:
        log.warning("%s", removal_sentence(removed), extra=LogEvent.DATASET_REMOVED.extra(dataset=removed.dataset))
    for skipped in plan.skipped:
        event = LogEvent.DATASET_SKIPPED.extra(dataset=skipped.dataset)
        log.warning("dataset %s is not exported: %s", skipped.dataset, skipped.reason, extra=event)
