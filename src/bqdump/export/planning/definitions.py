"""The metadata of each table: its definition, as of the snapshot time, and its row access policies.

Finding the tables into which changes are streamed (change data capture): one query, which is billed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Sequence
from typing import NamedTuple

import msgspec

from bqdump.concurrency import gathered
from bqdump.core.documents.definitions import RowPolicy
from bqdump.core.documents.unchanged import Reading
from bqdump.core.errors import BqdumpError, DeniedError, JobFailedError, TableGoneError
from bqdump.core.plan.guards import POLICED
from bqdump.core.plan.hidden_data import Captured, keyed
from bqdump.core.plan.readings import reading_of
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
    """Tables in the requested order.

    unseen: by name, why the columns at the snapshot time cannot be seen.
    readings: the numbers of each table as they were read, by name; None where BigQuery does not report all of them.
    """

    tables: list[Table]
    unseen: dict[str, str]
    readings: dict[str, Reading | None]


async def describe(warehouse: Warehouse, dataset: Dataset, snapshot: int, listed: Sequence[Listed]) -> Described:
    """The definitions of these tables, each with the columns that it had at the snapshot time.

    A request for each table, and for each that was modified since the snapshot time a dry run, which is free.
    """
    requests, dry_runs = asyncio.Semaphore(DESCRIBE_AT_ONCE), asyncio.Semaphore(DRY_RUNS_AT_ONCE)
    unseen: dict[str, str] = {}
    readings: dict[str, Reading | None] = {}

    async def described(item: Listed) -> Table:
        async with requests:
            answer = await warehouse.table(dataset, item.name)
        readings[item.name] = reading_of(answer.definition) if answer else None
        # A table that was deleted stays in the plan: time travel still finds it, or its export fails by name.
        table = answer or Table(item.name, item.kind, 0, 0, msgspec.Raw(b"null"))
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

    return Described(list(await asyncio.gather(*map(described, listed))), unseen, readings)


async def _as_of(warehouse: Warehouse, dataset: Dataset, snapshot: int, table: Table) -> Table:
    select = sql.select_part(dataset, table.name, snapshot, table.definition, WHOLE)
    estimate = await warehouse.estimate(dataset, table.name, select, {})
    definition = as_of(table.definition, estimate.columns)
    if definition is not table.definition:
        message = "%s: the columns have changed since the snapshot time; the export has the columns of %s"
        log.warning(message, table.name, rfc3339(snapshot), extra=LogEvent.COLUMNS_CHANGED.extra(table=table.name))
    return msgspec.structs.replace(table, definition=definition)


# Up to so many tables, a request for each of them takes no longer than a query.
FEW = 50
Policies = dict[str, list[RowPolicy] | None]


async def row_policies(
    warehouse: Warehouse, dataset: Dataset, settings: Settings, listed: Sequence[Listed], known: Collection[str] = ()
) -> Policies:
    """The row access policies of these tables, by name, None without permission to list them.

    known: tables that had some. The first table is requested alone: without permission, no further requests are sent
    for the other 10,000 tables. Of many tables, one query shows which have policies, and only these are requested.
    """
    names = [item.name for item in listed if item.kind in POLICED]
    if not names or (first := await warehouse.row_policies(dataset, names[0])) is None:
        return dict.fromkeys(names)
    policies: Policies = {names[0]: first}
    if by_query(settings, len(names)):
        policed = await _policed(warehouse, dataset)
        if policed is not None:
            await _list(warehouse, dataset, [name for name in names if name in policed or name in known], policies)
            # The view is believed about the other tables if it is right about these.
            if all(name in policed if some else some is not None for name, some in policies.items()):
                return {name: policies.get(name, []) for name in names}
            log.debug("%s lacks policies, so those of each table are listed", POLICIES_VIEW)
    await _list(warehouse, dataset, names, policies)
    return {name: policies[name] for name in names}


def by_query(settings: Settings, tables: int) -> bool:
    """Whether a query is worth its bill for so many tables.

    Not where the bill has a limit: that is for the export, and no run is refused because of what saves free requests.
    """
    return tables > FEW and not settings.max_bytes_billed


async def _list(warehouse: Warehouse, dataset: Dataset, names: Sequence[str], policies: Policies) -> None:
    """Add the policies of these tables to those that were found already."""
    missing = [name for name in names if name not in policies]
    some = await gathered(lambda name: warehouse.row_policies(dataset, name), missing, DESCRIBE_AT_ONCE)
    policies |= zip(missing, some, strict=True)


async def _policed(warehouse: Warehouse, dataset: Dataset) -> frozenset[str] | None:
    """The tables of which one query shows that they have policies; None where it does not answer that."""
    try:
        return frozenset(await warehouse.policed(dataset))
    except BqdumpError as error:
        # Where BigQuery does not answer at all, listing ends with that error.
        log.debug("cannot query %s, so the policies of each table are listed: %s", POLICIES_VIEW, error)
        return None


# The least that a query bills. https://cloud.google.com/bigquery/pricing#on_demand_pricing
LEAST_BILLED = 10 << 20
POLICIES_VIEW = "INFORMATION_SCHEMA.ROW_ACCESS_POLICIES"
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
        captured = await warehouse.captured(dataset, limit)
    except (DeniedError, JobFailedError) as error:
        log.debug("cannot check for change data capture: %s", error)
        return Captured(names, None, f"the query of {VIEW} failed: {error.cause.partition(chr(10))[0]}")
    return Captured(names, frozenset(names).intersection(captured))


def bill_of(captured: Captured) -> dict[str, int]:
    """The bytes billed by the query."""
    return {VIEW: LEAST_BILLED} if captured.keyed and captured.tables is not None else {}
