"""The metadata of each table: its definition, as of the snapshot time, and its row access policies.

Finding the tables into which changes are streamed (change data capture): one query, which is billed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from bqdump.concurrency import gathered
from bqdump.core.documents.definitions import RowPolicy
from bqdump.core.documents.unchanged import Look
from bqdump.core.errors import DeniedError, JobFailedError, TableGoneError
from bqdump.core.plan.guards import POLICED
from bqdump.core.plan.hidden_data import Captured, keyed
from bqdump.core.plan.looks import look_of
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.settings.settings import Settings
from bqdump.core.sizes import size_text
from bqdump.core.sql import statements as sql
from bqdump.core.tables.catalog import WHOLE, Dataset, Listed, Table
from bqdump.core.tables.columns import as_of, may_differ
from bqdump.core.times import rfc3339
from bqdump.export.planning.target import DRY_RUNS_AT_ONCE
from bqdump.ports.warehouse import Warehouse

log = logging.getLogger(__name__)


DESCRIBE_AT_ONCE = 32


class Described(NamedTuple):
    """Tables in the requested order; unseen: by name, why the columns at the snapshot time cannot be seen.

    looks: the numbers of each table as they were read, by name; None where BigQuery does not report all of them.
    """

    tables: list[Table]
    unseen: dict[str, str]
    looks: dict[str, Look | None]


async def describe(warehouse: Warehouse, dataset: Dataset, snapshot: int, listed: Sequence[Listed]) -> Described:
    """The definitions of these tables, each with the columns that it had at the snapshot time.

    A request for each table, and for each that was modified since the snapshot time a dry run, which is free.
    """
    requests, dry_runs = asyncio.Semaphore(DESCRIBE_AT_ONCE), asyncio.Semaphore(DRY_RUNS_AT_ONCE)
    unseen: dict[str, str] = {}
    looks: dict[str, Look | None] = {}

    async def described(item: Listed) -> Table:
        async with requests:
            found = await warehouse.table(dataset, item.name)
        looks[item.name] = look_of(found.definition) if found else None
        # A table that was deleted stays in the plan: time travel still finds it, or its export fails by name.
        table = found or Table(item.name, item.kind, 0, 0, msgspec.Raw(b"null"))
        if not may_differ(table, snapshot):
            return table
        async with dry_runs:
            try:
                return await _as_of(warehouse, dataset, snapshot, table)
            except TableGoneError:
                # It did not exist then, or was deleted: its export fails by name.
                return table
            except (DeniedError, JobFailedError) as error:
                unseen[table.name] = error.cause
                return table

    return Described(list(await asyncio.gather(*map(described, listed))), unseen, looks)


async def _as_of(warehouse: Warehouse, dataset: Dataset, snapshot: int, table: Table) -> Table:
    select = sql.select_part(dataset, table.name, snapshot, table.definition, WHOLE)
    found = await warehouse.estimate(dataset, table.name, select, {})
    definition = as_of(table.definition, found.columns)
    if definition is not table.definition:
        message = "%s: the columns have changed since the snapshot time; the export has the columns of %s"
        log.warning(message, table.name, rfc3339(snapshot), extra=LogEvent.COLUMNS_CHANGED.extra(table=table.name))
    return msgspec.structs.replace(table, definition=definition)


async def row_policies(
    warehouse: Warehouse, dataset: Dataset, listed: Sequence[Listed]
) -> dict[str, list[RowPolicy] | None]:
    """The row access policies of these tables, by name, None without permission to list them.

    The first table is requested alone: without permission, no further requests are sent for the other 10,000 tables.
    """
    names = [item.name for item in listed if item.kind in POLICED]
    if not names or (first := await warehouse.row_policies(dataset, names[0])) is None:
        return dict.fromkeys(names)
    others = await gathered(lambda name: warehouse.row_policies(dataset, name), names[1:], DESCRIBE_AT_ONCE)
    return dict(zip(names, [first, *others], strict=True))


# The least that a query bills. https://cloud.google.com/bigquery/pricing#on_demand_pricing
LEAST_BILLED = 10 << 20
# What the query reads, for a bill.
VIEW = "INFORMATION_SCHEMA.TABLES"


async def captured_tables(
    warehouse: Warehouse, dataset: Dataset, settings: Settings, tables: Sequence[Table]
) -> Captured:
    """The tables into which changes are streamed. Runs a query only if a table has a primary key."""
    names = keyed(tables)
    if not names:
        return Captured()
    limit = settings.max_bytes_billed
    if 0 < limit < LEAST_BILLED:
        why = f"max_bytes_billed {size_text(limit)} is less than the {size_text(LEAST_BILLED)} that the query bills"
        return Captured(names, None, why)
    try:
        found = await warehouse.captured(dataset, limit)
    except (DeniedError, JobFailedError) as error:
        log.debug("cannot check for change data capture: %s", error)
        return Captured(names, None, f"the query of {VIEW} failed: {error.cause.partition(chr(10))[0]}")
    return Captured(names, frozenset(names).intersection(found))


def bill_of(captured: Captured) -> dict[str, int]:
    """The bytes billed by the query."""
    return {VIEW: LEAST_BILLED} if captured.keyed and captured.tables is not None else {}
