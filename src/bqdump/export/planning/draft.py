"""Drafting a plan: survey the dataset, ask about its tables, and decide what is exported. Nothing is stored."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from bqdump.core.documents.definitions import Definitions, RowPolicy
from bqdump.core.documents.run import Plan, TablePlan
from bqdump.core.documents.unchanged import Reading
from bqdump.core.plan.altered import AlteredColumn, altered_columns, altered_flags
from bqdump.core.plan.definitions import definition_flags
from bqdump.core.plan.guards import (
    column_flags,
    judge,
    location_flags,
    policed_tables,
    policy_flags,
    skipped_flags,
    table_flags,
)
from bqdump.core.plan.hidden_data import Captured, lacking_flags
from bqdump.core.plan.lifecycle import lifecycle_flags
from bqdump.core.plan.names import refuse_names
from bqdump.core.plan.readings import why_inconclusive
from bqdump.core.plan.removal import leaving, leaving_partitions, lost_sections, removal_flags
from bqdump.core.plan.reuse import Candidate
from bqdump.core.plan.routes import Routed, Routing, route_tables
from bqdump.core.plan.selection import Selection, choose, refuse_same_names, unmatched
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.settings.settings import Settings
from bqdump.core.tables.catalog import Table, ignores_case, labels_of
from bqdump.core.units.plan import RunToPlan, make_plan, unchanged_plans
from bqdump.core.units.shares import read_tables
from bqdump.export.carry import refuse_other_mode
from bqdump.export.placement.choose import placement_of
from bqdump.export.planning.dataset_definitions import DefinitionCollector
from bqdump.export.planning.definitions import bill_of, captured_tables, describe, row_policies
from bqdump.export.planning.partitions import PartitionedRouting, with_partitions
from bqdump.export.planning.reuse import ReuseDecision, find_reusable, timed
from bqdump.export.planning.survey import Request, Survey, survey
from bqdump.export.planning.target import check_bill, estimate_queries, refuse_missing_packages
from bqdump.export.task import SetContext
from bqdump.ports.warehouse import Warehouse

log = logging.getLogger(__name__)


class Draft(NamedTuple):
    """A plan that is not stored yet.

    lines: its tables as they are stored, dealt to the tasks.
    definitions: of the dataset besides its tables.
    altered: the columns that come back with other values.
    """

    plan: Plan
    tables: Sequence[TablePlan]
    lines: bytes
    definitions: Definitions
    altered: tuple[AlteredColumn, ...]


class TableAnswers(NamedTuple):
    """What the requests about single tables have returned.

    unseen: by table, why its columns at the snapshot time cannot be seen.
    listed: the row access policies by table, None where they cannot be listed.
    policies: the same with their members.
    divided: the route of every table, and of the partitions that are exported by themselves.
    reusable: also what need not be exported, as it did not change.
    """

    tables: list[Table]
    unseen: dict[str, str]
    listed: dict[str, list[RowPolicy] | None]
    policies: tuple[RowPolicy, ...]
    captured: Captured
    divided: PartitionedRouting
    reusable: ReuseDecision

    @property
    def bills(self) -> dict[str, int]:
        """The bytes that queries bill, by table."""
        return (
            bill_of(self.captured)
            | self.divided.bills
            | {item.table.name: item.bills or 0 for item in self.divided.routing.routed}
        )


class Answers(NamedTuple):
    """What was asked once it was known which tables are exported. definitions: of the dataset besides its tables."""

    tables: TableAnswers
    definitions: Definitions


async def draft_plan(warehouse: Warehouse, request: Request) -> Draft:
    """Survey the dataset, ask about its tables, and plan the export, without storing anything."""
    settings = request.settings
    surveyed = await survey(warehouse, request)
    selection = choose(surveyed.listing, settings, surveyed.snapshot)
    if ignores_case(surveyed.dataset.definition):
        refuse_same_names([item.name for item in selection.chosen], settings.dataset)
    for pattern, guess in unmatched(
        [item.name for item in surveyed.listing], settings.exclude, labels_of(surveyed.listing)
    ):
        message = "exclude %r: no table of %s matches%s"
        log.warning(message, pattern, settings.dataset, guess, extra=LogEvent.PATTERN_UNMATCHED.extra())
    answers = await _ask(warehouse, surveyed, selection)
    return plan_of(surveyed, selection, answers, _nonce(request.of_set))


def plan_of(survey: Survey, selection: Selection, answers: Answers, nonce: str) -> Draft:
    """The plan that follows from what was asked: pure.

    Its flags hold the findings of the guards; `refuse` decides whether a run may continue. nonce: a number that no
    other plan of the run has.
    """
    request, listing, tables = survey.request, survey.listing, answers.tables
    settings, bucket = request.settings, request.bucket
    planning = RunToPlan(settings, request.run, nonce, survey.dataset, survey.snapshot)
    plan, lines = make_plan(planning, selection, tables.divided.routing, request.tasks)
    planned = read_tables(lines, plan)
    plan = msgspec.structs.replace(plan, reused=tables.reusable.reused, reused_partitions=tables.divided.reused)
    # What an unchanged table lacks, its files lack, too.
    every = [*planned, *unchanged_plans(settings, plan, tables.reusable.unchanged)]
    altered = tuple(altered_columns(every, plan.settings))
    later = {item.name for item in listing if item.created > survey.snapshot}
    flags = [
        *policy_flags(tables.listed),
        *table_flags(every),
        *(altered_flags(altered) if settings.strict else ()),
        *lacking_flags(every, tables.captured, _reused_partitions(plan)),
        *skipped_flags(plan.skipped, later),
        *column_flags(tables.unseen),
        *definition_flags(answers.definitions),
    ]
    if bucket:
        refuse_names(_patterns(settings, plan, every), bucket.names, str(settings.target))
        flags += location_flags(survey.dataset.location, bucket.location)
        flags += lifecycle_flags(bucket.lifecycle, settings, request.run, every)
    if (published := request.earlier.published) and published.age < plan.age:
        listed = labels_of(listing)
        exported = {table.table for table in every}
        removed, kept = leaving(published, exported, listed, settings)
        refuse_other_mode(published, plan, kept)
        parts = leaving_partitions(published, plan, planned)
        plan = msgspec.structs.replace(plan, over=published.run, removed=removed, kept=kept, removed_partitions=parts)
        flags += [*removal_flags(plan, published), *lost_sections(published, exported, listed, settings)]
    plan = msgspec.structs.replace(plan, flags=judge(flags, settings), planned=survey.now)
    return Draft(plan, planned, lines, answers.definitions, altered)


async def _ask(warehouse: Warehouse, survey: Survey, selection: Selection) -> Answers:
    """Ask about single tables, and about what is around them. Raises UsageError where queries would bill too much."""
    limit = survey.settings.max_bytes_billed
    collector = DefinitionCollector(warehouse, survey.dataset)
    tables, around = await asyncio.gather(
        _ask_tables(warehouse, survey, selection, collector),
        collector.around(selection, survey.listing, indexes=not limit),
    )
    check_bill(survey.settings, tables.bills)
    if limit:
        around = around._replace(indexes=await collector.indexes(limit - sum(tables.bills.values())))
    return Answers(tables, collector.definitions(tables.tables, tables.policies, around))


async def _ask_tables(
    warehouse: Warehouse, survey: Survey, selection: Selection, collector: DefinitionCollector
) -> TableAnswers:
    """The requests about single tables: their metadata, what hides or delays rows, and the costs of queries."""
    dataset, settings, published = survey.dataset, survey.settings, survey.request.earlier.published

    async def protection() -> tuple[dict[str, list[RowPolicy] | None], tuple[RowPolicy, ...]]:
        known = policed_tables(published.flags if published else ())
        listed = await row_policies(warehouse, dataset, settings, selection.chosen, known)
        return listed, await collector.policies(listed)

    described, (listed, policies) = await asyncio.gather(
        describe(warehouse, dataset, survey.snapshot, selection.chosen), protection()
    )
    # The next run may choose an earlier snapshot time, and must know whether these readings are older.
    readings = described.readings
    if settings.snapshot_ms is not None:
        readings = timed(readings, await warehouse.now(dataset.location) + 1)
    captured = await captured_tables(warehouse, dataset, settings, described.tables)
    chosen = {item.name for item in selection.chosen}
    unchosen = [item.name for item in survey.listing if item.name not in chosen]
    labels = labels_of(survey.listing)
    routing = route_tables(settings, described.tables, unchosen, captured.tables or (), labels)
    refuse_missing_packages(routing.routed)
    candidates = [_seen(item, readings, listed, captured) for item in routing.routed]
    reusable = await find_reusable(survey, candidates)
    routing = await estimate_queries(warehouse, dataset, survey.snapshot, Routing(reusable.routed, routing.skipped))
    by_name = {table.routed.table.name: table for table in candidates}
    divided = await with_partitions(warehouse, survey, routing, listed, by_name)
    return TableAnswers(described.tables, described.unseen, listed, policies, captured, divided, reusable)


def _reused_partitions(plan: Plan) -> dict[str, int]:
    """The number of partitions of each table that are not exported again."""
    unchanged = {table.table: table.partitions for table in plan.reused}
    return unchanged | {table.table: len(table.partitions) for table in plan.reused_partitions}


def _seen(
    item: Routed,
    readings: Mapping[str, Reading | None],
    listed: Mapping[str, Sequence[RowPolicy] | None],
    captured: Captured,
) -> Candidate:
    name = item.table.name
    return Candidate(item, readings[name], why_inconclusive(item.table, listed.get(name), captured))


def _nonce(of_set: SetContext | None) -> str:
    """A number that no other plan of the run has; nor has that of another dataset of the set."""
    return secrets.token_hex(4) + (f"{of_set.number:06x}" if of_set else "")


def _patterns(settings: Settings, plan: Plan, tables: Sequence[TablePlan]) -> Iterator[tuple[str, str]]:
    """Each table, and the patterns of its files where they are written and where they are published."""
    layout, placement = settings.layout.run(plan.run), placement_of(plan)
    for table in tables:
        for piece in table.pieces:
            for pattern in {piece.pattern: 0, placement.written(layout, piece.pattern, piece.id, 0): 0}:
                yield table.table, pattern
