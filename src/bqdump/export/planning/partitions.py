"""Partitions of large tables, seen before the snapshot time, and again after it where a table has changed meanwhile.

With {partition} in the path. Listing them is one billed query for each 1,000 tables; a look at one is a free request.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import msgspec

from bqdump.concurrency import gathered
from bqdump.core.documents.definitions import RowPolicy
from bqdump.core.documents.unchanged import Look, ReusedPartitions
from bqdump.core.errors import JobFailedError, UsageError
from bqdump.core.plan.by_partition import (
    LEAST_BILLED,
    After,
    Before,
    by_partition,
    candidates,
    is_large,
    proves,
    unchanged,
)
from bqdump.core.plan.looks import Published, look_of
from bqdump.core.plan.reuse import Seen
from bqdump.core.plan.routes import Routed, Routing
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.settings.settings import Settings
from bqdump.core.sizes import size_text
from bqdump.core.sql import statements as sql
from bqdump.core.sql.partitions import counted_rows
from bqdump.core.tables.catalog import Dataset, Partition, Table
from bqdump.core.tables.partitioning import partitioning_of
from bqdump.export.planning.definitions import DESCRIBE_AT_ONCE
from bqdump.export.planning.reuse import Earlier, Expected, LookAt, find_unchanged
from bqdump.export.planning.target import DRY_RUNS_AT_ONCE
from bqdump.ports.warehouse import Warehouse

log = logging.getLogger(__name__)
PLAN = "plan the export"
VIEW = "INFORMATION_SCHEMA.PARTITIONS"
TABLES_A_QUERY = 1000
# The partition column, of which a table that requires a filter on it is counted by reading.
COLUMN_BYTES = 8
NOTHING = Before({}, {}, {})


class Partitioned(NamedTuple):
    """A routing with its partitions. bills: the bytes billed for finding them, by what was queried.

    reused: the partitions of these tables that are not exported again.
    """

    routing: Routing
    bills: dict[str, int]
    reused: tuple[ReusedPartitions, ...] = ()


async def look_before(
    warehouse: Warehouse, dataset: Dataset, settings: Settings, published: Published | None
) -> Before:
    """Look at the partitions of large tables, before the snapshot time is taken.

    published: the export of the same dataset, if there is one. What an incremental plan expects to be unchanged is
    looked at after the snapshot time only. Raises UsageError where listing them would bill more than the settings
    allow, and what the query raises.
    """
    if not settings.template.by_partition:
        return NOTHING
    names = [item.name for item in candidates(settings, await warehouse.tables(dataset))]
    found = await gathered(lambda name: warehouse.table(dataset, name), names, DESCRIBE_AT_ONCE)
    large = [table for table in found if table and is_large(settings, table)]
    looks = {table.name: look_of(table.definition) if proves(table.definition) else None for table in large}
    if settings.snapshot_ms is not None:
        return Before(dict.fromkeys(looks), {}, {})
    now = await warehouse.now(dataset.location) if settings.incremental and published else 0
    expected = Expected(published if now else None, settings, now)
    by_name = {table.name: table for table in large if not expected.table(table, looks[table.name])}
    listed = await _list(warehouse, dataset, settings, list(by_name))
    look_at = looking(warehouse, dataset)
    seen: dict[str, dict[str, Look]] = {}
    for name, partitions in listed.items():
        later = expected.partitions(by_name[name], partitions)
        ids = [partition.id for partition in partitions if looks[name] and partition.id not in later]
        all_ = await asyncio.gather(*(look_at(f"{name}${id_}") for id_ in ids))
        seen[name] = {id_: look for id_, look in zip(ids, all_, strict=True) if look}
    return Before(looks, listed, seen)


def looking(warehouse: Warehouse, dataset: Dataset) -> LookAt:
    """Looks at tables and partitions by name, some at a time; None for one that proves nothing."""
    slots = asyncio.Semaphore(DESCRIBE_AT_ONCE)

    async def look(name: str) -> Look | None:
        async with slots:
            table = await warehouse.table(dataset, name)
        return look_of(table.definition) if table and proves(table.definition) else None

    return look


async def partitioned(
    warehouse: Warehouse,
    dataset: Dataset,
    settings: Settings,
    snapshot: int,
    routing: Routing,
    before: Before,
    policies: Mapping[str, Sequence[RowPolicy] | None],
    seen: Mapping[str, Seen],
    earlier: Earlier,
    published: Published | None,
) -> Partitioned:
    """The routing with the partitions of large tables. policies: by table, None where they cannot be listed.

    seen: by table. published: the earlier export of the same dataset, if there is one.
    """
    items = {item.table.name: item for item in routing.routed if item.table.name in before.tables}
    if not items:
        return Partitioned(routing, _bill(len(before.partitions)))
    same = {
        name for name in items if name in before.partitions and unchanged(before, items[name].table, seen[name].look)
    }
    open_ = [item for name, item in items.items() if name not in same and item.read_at == "snapshot"]
    if settings.snapshot_ms is not None:
        return await _counted(warehouse, dataset, settings, snapshot, routing, before, open_)
    listed = await _list(warehouse, dataset, settings, [item.table.name for item in open_])
    uncounted: dict[str, str] = {}

    async def count(item: Routed) -> int | None:
        # Rows that are streamed in may be counted, and are in no partition yet.
        if item.shape.where or policies.get(item.table.name) or not proves(item.table.definition):
            return None
        try:
            return await _rows_at(warehouse, dataset, settings, snapshot, item.table)
        except JobFailedError as error:
            uncounted[item.table.name] = error.cause.partition("\n")[0]
            return None

    rows = dict(zip([item.table.name for item in open_], await gathered(count, open_, DRY_RUNS_AT_ONCE), strict=True))
    rows |= {name: items[name].table.rows for name in same}
    present = {name: (before.partitions if name in same else listed).get(name, []) for name in items}
    some = [seen[name] for name in items]
    look_at = looking(warehouse, dataset)
    found = await find_unchanged(earlier, published, settings, snapshot, some, before, present, same, look_at)
    for name, group in found.items():
        if (count_ := rows.get(name)) is not None:
            rows[name] = count_ - group.reused.rows
    after = After(listed, rows, {}, uncounted)
    reused = {name: group.entries for name, group in found.items()}
    routed = [_divided(item, settings, before, after, same, reused) for item in routing.routed]
    kept = tuple(found[item.table.name].reused for item in routed if item.partitions and item.table.name in found)
    bills = _bill(len(before.partitions), len(open_))
    bills |= {f"rows of {item.table.name}": item.table.rows * COLUMN_BYTES for item in open_ if _filtered(item.table)}
    return Partitioned(Routing(tuple(routed), routing.skipped), bills, kept)


async def _counted(
    warehouse: Warehouse,
    dataset: Dataset,
    settings: Settings,
    snapshot: int,
    routing: Routing,
    before: Before,
    items: Sequence[Routed],
) -> Partitioned:
    """The same for a chosen snapshot time: a listing shows the partitions of today, a query those of then."""
    bills = {f"partitions of {item.table.name}": max(LEAST_BILLED, item.table.rows * COLUMN_BYTES) for item in items}
    _refuse_bill(settings, sum(bills.values()))
    uncounted: dict[str, str] = {}

    async def count(item: Routed) -> dict[str, int]:
        table = item.table
        if (partitioning := partitioning_of(table.definition)) is None:
            return {}
        select = counted_rows(dataset, table.name, snapshot, table.definition)
        try:
            found = await warehouse.counts(dataset, table.name, select, settings.max_bytes_billed)
        except JobFailedError as error:
            uncounted[table.name] = error.cause.partition("\n")[0]
            return {}
        return {id_: rows for id_, rows in found.items() if id_ != partitioning.streamed}

    found = await gathered(count, items, DRY_RUNS_AT_ONCE)
    counted = {item.table.name: rows for item, rows in zip(items, found, strict=True)}
    rows = {table: sum(by_partition.values()) for table, by_partition in counted.items()}
    after = After({}, dict(rows), counted, uncounted)
    routed = [_divided(item, settings, before, after, (), {}) for item in routing.routed]
    return Partitioned(Routing(tuple(routed), routing.skipped), bills)


def _divided(
    item: Routed,
    settings: Settings,
    before: Before,
    after: After,
    same: Collection[str],
    reused: Mapping[str, Collection[str]],
) -> Routed:
    name = item.table.name
    if name not in before.tables:
        return item
    partitions, reason = by_partition(item, settings, before, after, same=name in same, reused=reused.get(name, ()))
    if not partitions:
        message = "%s: exported as one, not by partition: %s"
        log.warning(message, name, reason or "it has no partitions", extra=LogEvent.NOT_BY_PARTITION.extra(table=name))
        return item
    bills = [partition.bills for partition in partitions if partition.bills is not None]
    return msgspec.structs.replace(
        item, partitions=partitions, bills=sum(bills) if bills else None, rows_at=after.rows.get(name)
    )


async def _list(
    warehouse: Warehouse, dataset: Dataset, settings: Settings, tables: Sequence[str]
) -> dict[str, list[Partition]]:
    if not tables:
        return {}
    _refuse_bill(settings, sum(_bill(len(tables)).values()))
    return await warehouse.partitions(dataset, tables, settings.max_bytes_billed)


def _refuse_bill(settings: Settings, needed: int) -> None:
    """Raise UsageError where finding the partitions would bill more than the settings allow."""
    limit = settings.max_bytes_billed
    if 0 < limit < needed:
        cause = f"the query for the partitions of tables bills {size_text(needed)}"
        hint = "Raise it, or remove {partition} from {setting:path}."
        raise UsageError(PLAN, size_text(limit), cause, hint, setting="max_bytes_billed")


async def _rows_at(warehouse: Warehouse, dataset: Dataset, settings: Settings, snapshot: int, table: Table) -> int:
    """The rows of a table at the snapshot time. BigQuery knows them without reading, unless a filter is required."""
    where = sql.condition(table.definition, "")
    select = sql.select(dataset, table.name, snapshot, "COUNT(*)", where)
    return (await warehouse.ask(dataset, table.name, select, settings.max_bytes_billed))[0]


def _filtered(table: Table) -> bool:
    return bool(sql.condition(table.definition, ""))


def _bill(*tables: int) -> dict[str, int]:
    """The bytes billed by queries for the partitions of so many tables each."""
    queries = sum(-(-count // TABLES_A_QUERY) for count in tables)
    return {VIEW: queries * LEAST_BILLED} if queries else {}
