"""Finding the tables into which changes are streamed (change data capture): one query, which is billed."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from bqdump.core.errors import DeniedError, JobFailedError
from bqdump.core.plan.hidden_data import Captured, keyed
from bqdump.core.settings.settings import Settings
from bqdump.core.sizes import size_text
from bqdump.core.tables.catalog import Dataset, Table
from bqdump.ports.warehouse import Warehouse

log = logging.getLogger(__name__)
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
