"""Drafting a plan: looking at the dataset and deciding what is exported, without storing anything."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from bqdump.core.documents.definitions import Definitions, RowPolicy
from bqdump.core.documents.run import Plan, TablePlan
from bqdump.core.documents.unchanged import Look
from bqdump.core.errors import UsageError
from bqdump.core.plan.altered import AlteredColumn, altered_columns, altered_flags
from bqdump.core.plan.by_partition import Before
from bqdump.core.plan.definitions import definition_flags
from bqdump.core.plan.draft import Selection, choose, unmatched
from bqdump.core.plan.guards import (
    column_flags,
    judge,
    policed_tables,
    policy_flags,
    refuse_snapshot,
    skipped_flags,
    table_flags,
    target_flags,
)
from bqdump.core.plan.hidden_data import Captured, lacking_flags
from bqdump.core.plan.lifecycle import lifecycle_flags
from bqdump.core.plan.looks import obstacle
from bqdump.core.plan.names import refuse_names
from bqdump.core.plan.removal import leaving, leaving_partitions, partition_flags, removal_flags
from bqdump.core.plan.reuse import Seen
from bqdump.core.plan.routes import Routed, Routing, route_tables
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.settings.settings import Settings
from bqdump.core.tables.catalog import Dataset, Listed, Table
from bqdump.core.units.plan import make_plan, unchanged_plans
from bqdump.core.units.shares import read_tables
from bqdump.export.carry import refuse_other_mode
from bqdump.export.placement.choose import placement_of
from bqdump.export.planning.dataset_definitions import DefinitionCollector
from bqdump.export.planning.definitions import bill_of, captured_tables, describe, row_policies
from bqdump.export.planning.partitions import Partitioned, look_before, partitioned
from bqdump.export.planning.reuse import (
    Earlier,
    Reusable,
    earlier_export,
    find_reusable,
    look_early,
    same_dataset,
    timed,
)
from bqdump.export.planning.target import PLAN, check_bill, estimate_queries, find_dataset, refuse_missing_packages
from bqdump.export.task import OfSet
from bqdump.ports.store import BucketInfo
from bqdump.ports.warehouse import Warehouse

log = logging.getLogger(__name__)

LISTINGS = 3


class Draft(NamedTuple):
    """A plan that is not stored yet. lines: its tables as they are stored, dealt to the tasks.

    definitions: of the dataset besides its tables. altered: the columns that come back with other values.
    """

    plan: Plan
    tables: Sequence[TablePlan]
    lines: bytes
    definitions: Definitions
    altered: tuple[AlteredColumn, ...]


class Looked(NamedTuple):
    """What the requests about single tables have returned.

    unseen: by table, why its columns at the snapshot time cannot be seen. listed: the row access policies by table,
    None where they cannot be listed. policies: the same with their members. routing: what is exported.
    reusable: also what need not be, as it did not change.
    """

    tables: list[Table]
    unseen: dict[str, str]
    listed: dict[str, list[RowPolicy] | None]
    policies: tuple[RowPolicy, ...]
    captured: Captured
    divided: Partitioned
    reusable: Reusable

    @property
    def routing(self) -> Routing:
        """The route of every table, and of the partitions that are exported by themselves."""
        return self.divided.routing

    @property
    def bills(self) -> dict[str, int]:
        """The bytes that queries bill, by table."""
        return (
            bill_of(self.captured)
            | self.divided.bills
            | {item.table.name: item.bills or 0 for item in self.routing.routed}
        )


async def draft_plan(
    warehouse: Warehouse,
    settings: Settings,
    run: str,
    tasks: int,
    bucket: BucketInfo | None,
    earlier: Earlier,
    of_set: OfSet | None = None,
) -> Draft:
    """Look at the dataset and plan its export, without storing anything.

    earlier: the export that it would replace. of_set: where the dataset is one of a set.
    Its flags hold the findings of the guards; `refuse` decides whether a run may continue.
    """
    dataset = await _dataset(warehouse, settings)
    base = same_dataset(earlier.published, settings)
    before = await look_before(warehouse, dataset, settings, base)
    early = await look_early(warehouse, dataset, settings, base, before)
    now, snapshot, listing = await _listing_at_snapshot(warehouse, dataset, settings, of_set)
    selection = choose(listing, settings, snapshot)
    for pattern, guess in unmatched([item.name for item in listing], settings.exclude):
        message = "exclude %r: no table of %s matches%s"
        log.warning(message, pattern, settings.dataset, guess, extra=LogEvent.PATTERN_UNMATCHED.extra())
    collector = DefinitionCollector(warehouse, dataset)
    looked, around = await asyncio.gather(
        _look(warehouse, dataset, settings, run, snapshot, listing, selection, collector, earlier, before, early),
        collector.around(selection, listing, indexes=not settings.max_bytes_billed),
    )
    check_bill(settings, looked.bills)
    if settings.max_bytes_billed:
        around = around._replace(
            indexes=await collector.indexes(settings.max_bytes_billed - sum(looked.bills.values()))
        )
    definitions = collector.definitions(looked.tables, looked.policies, around)
    plan, lines = make_plan(settings, run, _nonce(of_set), dataset, snapshot, selection, looked.routing, tasks)
    later = {item.name for item in listing if item.created > snapshot}
    planned = read_tables(lines, plan)
    plan = msgspec.structs.replace(plan, reused=looked.reusable.reused, reused_partitions=looked.divided.reused)
    # What an unchanged table lacks, its files lack, too.
    every = [*planned, *unchanged_plans(settings, plan, looked.reusable.unchanged)]
    if bucket:
        refuse_names(_patterns(settings, plan, every), bucket.names, str(settings.target))
    altered = tuple(altered_columns(every, plan.settings))
    found = [
        *policy_flags(looked.listed),
        *table_flags(every),
        *(altered_flags(altered) if settings.strict else ()),
        *lacking_flags(every, looked.captured, _reused_partitions(plan)),
        *skipped_flags(plan.skipped, later),
        *column_flags(looked.unseen),
        *definition_flags(definitions),
    ]
    if bucket:
        found += target_flags(dataset.location, bucket.location, bucket.soft_delete_seconds, versions=bucket.versions)
        found += lifecycle_flags(bucket.lifecycle, settings, run, every)
    if (published := earlier.published) and published.age < plan.age:
        listed = {item.name for item in listing}
        removed, kept = leaving(published, {table.table for table in every}, listed, settings)
        refuse_other_mode(published, plan, kept)
        found += removal_flags(removed, published)
        parts = leaving_partitions(published, planned, plan.reused_partitions, snapshot)
        found += partition_flags(parts, published)
        plan = msgspec.structs.replace(plan, over=published.run, removed=removed, kept=kept, removed_partitions=parts)
    plan = msgspec.structs.replace(plan, flags=judge(found, settings), planned=now)
    return Draft(plan, planned, lines, definitions, altered)


async def _look(
    warehouse: Warehouse,
    dataset: Dataset,
    settings: Settings,
    run: str,
    snapshot: int,
    listing: Sequence[Listed],
    selection: Selection,
    collector: DefinitionCollector,
    earlier: Earlier,
    before: Before,
    early: Mapping[str, Look | None],
) -> Looked:
    """The requests about single tables: their metadata, what hides or delays rows, and the costs of queries."""

    async def protection() -> tuple[dict[str, list[RowPolicy] | None], tuple[RowPolicy, ...]]:
        known = policed_tables(earlier.published.flags if earlier.published else ())
        listed = await row_policies(warehouse, dataset, settings, selection.chosen, known)
        return listed, await collector.policies(listed)

    described, (listed, policies) = await asyncio.gather(
        describe(warehouse, dataset, snapshot, selection.chosen), protection()
    )
    # The next run may choose an earlier snapshot time, and must know whether these looks are older.
    looks = described.looks
    if settings.snapshot_ms is not None:
        looks = timed(looks, await warehouse.now(dataset.location) + 1)
    captured = await captured_tables(warehouse, dataset, settings, described.tables)
    chosen = {item.name for item in selection.chosen}
    unchosen = [item.name for item in listing if item.name not in chosen]
    routing = route_tables(settings, described.tables, unchosen, captured.tables or ())
    refuse_missing_packages(routing.routed)
    seen = [_seen(item, looks, listed, captured) for item in routing.routed]
    reusable = await find_reusable(earlier, settings, run, snapshot, seen, early)
    routing = await estimate_queries(warehouse, dataset, snapshot, Routing(reusable.routed, routing.skipped))
    by_name = {table.routed.table.name: table for table in seen}
    base = earlier_export(earlier.published, settings, run, snapshot)
    divided = await partitioned(warehouse, dataset, settings, snapshot, routing, before, listed, by_name, earlier, base)
    return Looked(described.tables, described.unseen, listed, policies, captured, divided, reusable)


def _reused_partitions(plan: Plan) -> dict[str, int]:
    """The number of partitions of each table that are not exported again."""
    unchanged = {table.table: table.partitions for table in plan.reused}
    return unchanged | {table.table: len(table.partitions) for table in plan.reused_partitions}


def _seen(
    item: Routed,
    looks: Mapping[str, Look | None],
    listed: Mapping[str, Sequence[RowPolicy] | None],
    captured: Captured,
) -> Seen:
    name = item.table.name
    return Seen(item, looks[name], obstacle(item.table, listed.get(name), captured))


async def _dataset(warehouse: Warehouse, settings: Settings) -> Dataset:
    """The dataset. Raises UsageError where it is not in the location that the settings require."""
    dataset = await find_dataset(warehouse, settings)
    if settings.location and settings.location.lower() != dataset.location.lower():
        cause = f"{settings.project}.{settings.dataset} is in {dataset.location}"
        raise UsageError(
            PLAN, settings.location, cause, "Remove the setting to accept any location.", setting="location"
        )
    return dataset


def _nonce(of_set: OfSet | None) -> str:
    """A number that no other plan of the run has; nor has that of another dataset of the set."""
    return secrets.token_hex(4) + (f"{of_set.number:06x}" if of_set else "")


async def _listing_at_snapshot(
    warehouse: Warehouse, dataset: Dataset, settings: Settings, of_set: OfSet | None
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


def _patterns(settings: Settings, plan: Plan, tables: Sequence[TablePlan]) -> Iterator[tuple[str, str]]:
    """Each table, and the patterns of its files where they are written and where they are published."""
    layout, placement = settings.layout.run(plan.run), placement_of(plan)
    for table in tables:
        for piece in table.pieces:
            for pattern in {piece.pattern: 0, placement.written(layout, piece.pattern, piece.id, 0): 0}:
                yield table.table, pattern
