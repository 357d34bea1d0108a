"""One partition: an extract job between two looks at it, or a query as of the snapshot time where these differ.

The first look was taken while planning, before the snapshot time. If the one after the job is equal, the partition has
not changed in between, so what the job has read is as of the snapshot time. No time alone would prove that: see
core.plan.looks.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from bqdump.core.documents.run import Failure, Receipt
from bqdump.core.documents.unchanged import Look
from bqdump.core.documents.units import Changed, Unit
from bqdump.core.plan.by_partition import can_query, proves
from bqdump.core.plan.looks import look_of
from bqdump.core.tables.catalog import Table
from bqdump.core.units.tables import FIRST_QUERY
from bqdump.export.task import RunningExport
from bqdump.export.watch import Watch
from bqdump.export.work.jobs import extract_unit, query_unit

CHANGED = "changed"
NO_QUERY = (
    "it was changed since the snapshot time, and the settings allow no query, which alone could read it as of that time"
)


async def extract_partition(
    export: RunningExport, watch: Watch, unit: Unit, first: int, started: Callable[[], None]
) -> Receipt | Failure | Changed:
    """Extract one partition. See jobs.by_job for parameters and results; Changed if the files do not count."""
    outcome = await extract_unit(export, watch, unit, first, started)
    if await is_unchanged(export, unit):
        return msgspec.structs.replace(outcome, unchanged=True) if isinstance(outcome, Receipt) else outcome
    table = Table(unit.table, unit.kind, unit.rows, unit.bytes, unit.definition)
    if not can_query(export.settings, table):
        return Failure(unit.id, unit.table, outcome.job, outcome.attempt, CHANGED, NO_QUERY, export.owner)
    return Changed(unit.id, outcome.job)


async def query_changed(
    export: RunningExport, watch: Watch, unit: Unit, first: int, started: Callable[[], None]
) -> Receipt | Failure:
    """Query a partition as of the snapshot time, after an extract job whose files do not count."""
    return await query_unit(export, watch, unit, max(first, FIRST_QUERY), started)


async def proven(export: RunningExport, unit: Unit, outcome: Receipt | Failure) -> Receipt | Failure:
    """The outcome of another route, with a note whether the partition has changed: a later run may reuse its files."""
    if unit.partition_look is None or isinstance(outcome, Failure):
        return outcome
    return msgspec.structs.replace(outcome, unchanged=await is_unchanged(export, unit))


async def is_unchanged(export: RunningExport, unit: Unit) -> bool:
    """Whether the partition looks as it did before the snapshot time. One request."""
    now = await _look(export, unit)
    return unit.partition_look is not None and now is not None and unit.partition_look.same(now)


async def _look(export: RunningExport, unit: Unit) -> Look | None:
    table = await export.warehouse.table(export.source, f"{unit.table}${unit.partition}")
    return look_of(table.definition) if table and proves(table.definition) else None
