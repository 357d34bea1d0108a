"""Partitions of large tables, seen before the snapshot time, and again after it where a table has changed meanwhile.

With {partition} in the path. Listing them is one billed query for each 1,000 tables; reading one is a free request.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from bqdump.concurrency import gathered
from bqdump.core.documents.definitions import RowPolicy
from bqdump.core.documents.unchanged import ReusedPartitions
from bqdump.core.errors import JobFailedError
from bqdump.core.plan.by_partition import (
    LEAST_BILLED,
    SeenPartitions,
    as_counted,
    by_partition,
    is_conclusive,
    refuse_bill,
    view_bill,
)
from bqdump.core.plan.reuse import Candidate, reused_partitions
from bqdump.core.plan.routes import Routed, Routing
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.settings.settings import Settings
from bqdump.core.sql import statements as sql
from bqdump.core.sql.partitions import counted_rows
from bqdump.core.tables.catalog import Table
from bqdump.core.tables.partitioning import partitioning_of
from bqdump.export.planning.reuse import find_unchanged_partitions
from bqdump.export.planning.survey import Survey, list_partitions, taking_readings
from bqdump.export.planning.target import DRY_RUNS_AT_ONCE
from bqdump.ports.warehouse import Warehouse

log = logging.getLogger(__name__)
# The partition column, of which a table that requires a filter on it is counted by reading.
COLUMN_BYTES = 8


class PartitionedRouting(NamedTuple):
    """A routing with its partitions.

    bills: the bytes billed for finding them, by what was queried.
    reused: the partitions of these tables that are not exported again.
    """

    routing: Routing
    bills: dict[str, int]
    reused: tuple[ReusedPartitions, ...] = ()


async def with_partitions(
    warehouse: Warehouse,
    survey: Survey,
    routing: Routing,
    policies: Mapping[str, Sequence[RowPolicy] | None],
    candidates: Mapping[str, Candidate],
) -> PartitionedRouting:
    """The routing with the partitions of large tables. policies: by table, None where they cannot be listed.

    candidates: by table.
    """
    before = survey.before
    items = {item.table.name: item for item in routing.routed if item.table.name in before}
    listed_before = {name: table.partitions for name, table in before.items() if table.partitions is not None}
    if not items:
        return PartitionedRouting(routing, view_bill(len(listed_before)))
    same = {
        name
        for name in items.keys() & listed_before.keys()
        if before[name].is_same(items[name].table, candidates[name].reading)
    }
    open_ = [item for name, item in items.items() if name not in same and item.read_at == "snapshot"]
    if survey.settings.snapshot_ms is not None:
        return await _counted(warehouse, survey, routing, open_)
    listed = await list_partitions(warehouse, survey.dataset, survey.settings, [item.table.name for item in open_])
    rows, uncounted = await _rows_of(warehouse, survey, open_, policies)
    rows |= {name: items[name].table.rows for name in same}
    present = {name: (listed_before if name in same else listed).get(name, ()) for name in items}
    some = [candidates[name] for name in items]
    take_reading = taking_readings(warehouse, survey.dataset)
    entries = await find_unchanged_partitions(survey, some, present, same, take_reading)
    reused = {name: reused_partitions(name, of_table.values()) for name, of_table in entries.items()}
    for name, group in reused.items():
        if (count := rows.get(name)) is not None:
            rows[name] = count - group.rows
    seen = {
        name: SeenPartitions(
            before=listed_before.get(name, ()),
            after=present[name],
            readings=before[name].readings,
            same=name in same,
            rows=rows.get(name),
            uncounted=uncounted.get(name, ""),
            reused=entries.get(name, ()),
        )
        for name in items
    }
    routed = [_divided(item, survey.settings, seen.get(item.table.name)) for item in routing.routed]
    kept = tuple(reused[item.table.name] for item in routed if item.partitions and item.table.name in reused)
    bills = view_bill(len(listed_before), len(open_))
    bills |= {f"rows of {item.table.name}": item.table.rows * COLUMN_BYTES for item in open_ if _filtered(item.table)}
    return PartitionedRouting(Routing(tuple(routed), routing.skipped), bills, kept)


async def _rows_of(
    warehouse: Warehouse, survey: Survey, items: Sequence[Routed], policies: Mapping[str, Sequence[RowPolicy] | None]
) -> tuple[dict[str, int | None], dict[str, str]]:
    """The rows of tables at the snapshot time, None where they are not counted; and why some cannot be. By table."""
    uncounted: dict[str, str] = {}

    async def count(item: Routed) -> int | None:
        # Rows that are streamed in may be counted, and are in no partition yet.
        if item.shape.where or policies.get(item.table.name) or not is_conclusive(item.table.definition):
            return None
        try:
            return await _rows_at(warehouse, survey, item.table)
        except JobFailedError as error:
            uncounted[item.table.name] = error.cause.partition("\n")[0]
            return None

    counts = await gathered(count, items, DRY_RUNS_AT_ONCE)
    return {item.table.name: rows for item, rows in zip(items, counts, strict=True)}, uncounted


async def _counted(
    warehouse: Warehouse, survey: Survey, routing: Routing, items: Sequence[Routed]
) -> PartitionedRouting:
    """The same for a chosen snapshot time: a listing shows the partitions of today, a query those of then."""
    settings, dataset = survey.settings, survey.dataset
    bills = {f"partitions of {item.table.name}": max(LEAST_BILLED, item.table.rows * COLUMN_BYTES) for item in items}
    refuse_bill(settings, sum(bills.values()))
    uncounted: dict[str, str] = {}

    async def count(item: Routed) -> dict[str, int]:
        table = item.table
        if (partitioning := partitioning_of(table.definition)) is None:
            return {}
        select = counted_rows(dataset, table.name, survey.snapshot, table.definition)
        try:
            counts = await warehouse.counts(dataset, table.name, select, settings.max_bytes_billed)
        except JobFailedError as error:
            uncounted[table.name] = error.cause.partition("\n")[0]
            return {}
        return {id_: rows for id_, rows in counts.items() if id_ != partitioning.streamed}

    counts = await gathered(count, items, DRY_RUNS_AT_ONCE)
    seen = dict.fromkeys(survey.before, SeenPartitions((), (), {}, same=False, rows=None))
    for item, rows in zip(items, counts, strict=True):
        name, partitions = item.table.name, as_counted(item.table, rows)
        why = uncounted.get(name, "")
        seen[name] = SeenPartitions(partitions, partitions, {}, same=False, rows=sum(rows.values()), uncounted=why)
    routed = [_divided(item, settings, seen.get(item.table.name)) for item in routing.routed]
    return PartitionedRouting(Routing(tuple(routed), routing.skipped), bills)


def _divided(item: Routed, settings: Settings, seen: SeenPartitions | None) -> Routed:
    """A table with its partitions, where it is large. seen: None for one that is not."""
    if seen is None:
        return item
    name, (partitions, reason) = item.table.name, by_partition(item, settings, seen)
    if not partitions:
        message = "%s: exported as one, not by partition: %s"
        log.warning(message, name, reason or "it has no partitions", extra=LogEvent.NOT_BY_PARTITION.extra(table=name))
        return item
    bills = [partition.bills for partition in partitions if partition.bills is not None]
    return msgspec.structs.replace(item, partitions=partitions, bills=sum(bills) if bills else None, rows_at=seen.rows)


async def _rows_at(warehouse: Warehouse, survey: Survey, table: Table) -> int:
    """The rows of a table at the snapshot time. BigQuery knows them without reading, unless a filter is required."""
    where = sql.condition(table.definition, "")
    select = sql.select(survey.dataset, table.name, survey.snapshot, "COUNT(*)", where)
    return (await warehouse.ask(survey.dataset, table.name, select, survey.settings.max_bytes_billed))[0]


def _filtered(table: Table) -> bool:
    return bool(sql.condition(table.definition, ""))
