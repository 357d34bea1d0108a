"""The bytes that a plan's queries will bill, and whether BigQuery accepts them: a dry run of each, before the run."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from bqdump.concurrency import gathered
from bqdump.core.errors import JobFailedError, TableGoneError, UsageError
from bqdump.core.plan.routes import Routed, Routing
from bqdump.core.settings.settings import Settings
from bqdump.core.sizes import named, size_text
from bqdump.core.sql import statements as sql
from bqdump.core.tables.catalog import EXTRACTABLE, Dataset
from bqdump.ports.warehouse import Estimate, Warehouse

PLAN = "plan the export"
DRY_RUNS_AT_ONCE = 16
SHOWN = 3


async def estimate_queries(warehouse: Warehouse, dataset: Dataset, snapshot: int, routing: Routing) -> Routing:
    """The same routing with the bytes that each query will bill. One request for each query or filter.

    Raises UsageError with BigQuery's message for tables whose query it refuses.
    """

    async def tried(item: Routed) -> Routed | JobFailedError:
        # Filters of read sessions are tried as well: BigQuery would refuse a bad one only during the run.
        if item.route != "query" and not item.shape.where:
            return item
        as_of = snapshot if item.read_at == "snapshot" else None
        select = sql.select_part(dataset, item.table.name, as_of, item.table.definition, item.shape)
        try:
            found = await warehouse.estimate(dataset, item.table.name, select, item.shape.salts)
        except JobFailedError as error:
            # A table deleted during planning stays in the plan: its export fails by name.
            gone = isinstance(error, TableGoneError) and item.table.kind in EXTRACTABLE
            return item if gone else error
        return _billed(item, found) if item.route == "query" else item

    outcomes = await gathered(tried, routing.routed, DRY_RUNS_AT_ONCE)
    refused = {
        item.table.name: outcome.cause
        for item, outcome in zip(routing.routed, outcomes, strict=True)
        if not isinstance(outcome, Routed)
    }
    if refused:
        raise _refusal(refused)
    return Routing(tuple(item for item in outcomes if isinstance(item, Routed)), routing.skipped)


def _billed(item: Routed, found: Estimate) -> Routed:
    return msgspec.structs.replace(item, bills=found.bytes, bills_at_least=found.at_least)


def _refusal(refused: Mapping[str, str]) -> UsageError:
    causes = named([f"{table}: {cause.rstrip('.')}" for table, cause in refused.items()], SHOWN, separator="; ")
    tables = ",".join(refused) if len(refused) <= SHOWN else "TABLE,…"
    single = len(refused) == 1
    what = f"table {next(iter(refused))}" if single else f"{len(refused)} tables"
    cause = f"BigQuery refuses to query {'it' if single else 'them'} ({causes})"
    return UsageError(PLAN, what, cause, f"Fix it, or leave it out: {{setting:exclude={tables}}}.")


def check_bill(settings: Settings, bills: Mapping[str, int]) -> None:
    """Raise UsageError when the queries, by table, would bill more than the settings allow."""
    total, limit = sum(bills.values()), settings.max_bytes_billed
    if not limit or total <= limit:
        return
    largest = sorted(bills.items(), key=lambda item: -item[1])[:SHOWN]
    named = ", ".join(f"{table} {size_text(size)}" for table, size in largest if size)
    raise UsageError(
        PLAN,
        size_text(limit),
        f"the queries would bill {size_text(total)} (most: {named})",
        "Raise it, choose fewer columns, or leave tables out with {setting:exclude}.",
        setting="max_bytes_billed",
    )
