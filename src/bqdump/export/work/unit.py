"""One unit from its claim to its recorded end."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import msgspec

from bqdump.core.documents.run import DROPPED, Failure, Plan, Receipt
from bqdump.core.documents.units import Changed, GivenUp, Unit, parts_of
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.sizes import counted
from bqdump.export.publish.clear import clear_written
from bqdump.export.task import RunningExport
from bqdump.export.watch import Watch
from bqdump.export.work.jobs import explained, extract_partition, extract_unit, proven, query_changed, query_unit
from bqdump.export.work.read import read_unit, withdraw_files
from bqdump.pool.pool import Refused, outcome
from bqdump.pool.units import record_end
from bqdump.repository.repository import replace

log = logging.getLogger(__name__)

# Exports one unit: see jobs.by_job for parameters and result.
Export = Callable[[RunningExport, Watch, Unit, int, Callable[[], None]], Awaitable[Receipt | Failure]]
EXPORTS: dict[str, Export] = {"extract": extract_unit, "query": query_unit, "read": read_unit}


class Todo(NamedTuple):
    """A unit to work on. changed: of a partition, an extract job's files do not count."""

    unit: Unit
    first_attempt: int
    changed: Changed | None = None


async def finish_unit(export: RunningExport, watch: Watch, todo: Todo, started: Callable[[], None]) -> Receipt | None:
    """Export a unit and record its end; the receipt that is recorded. Raises what ends the task, see _export."""
    table, called = todo.unit.table, _called(export.plan, todo.unit)
    ended = todo.changed or await _export(export, watch, todo, started)
    recorded = await _record(export, ended)
    if isinstance(recorded, Changed):
        # Also where another task has found the partition changed, and this one has not: all tasks do the same.
        message = "%s: it was changed while it was extracted; a query reads it as of the snapshot time"
        log.warning(message, called, extra=LogEvent.PARTITION_CHANGED.extra(table=table))
        ended = await _export(export, watch, todo, started, query_changed)
        recorded = await _record(export, ended)
    if isinstance(ended, Failure):
        of_unit, ended = ended, await explained(export, todo.unit, ended)
        if todo.unit.partition and ended == of_unit:
            # The table's other partitions may be exported.
            ended = msgspec.structs.replace(ended, message=f"partition {todo.unit.partition}: {ended.message}")
    if isinstance(ended, Changed):
        # Another task has recorded its end meanwhile.
        if isinstance(recorded, Receipt):
            export.tell(recorded)
            return recorded
        await clear_written(export, export.written(todo.unit, todo.first_attempt))
        return None
    export.tell(ended)
    if isinstance(ended, Failure):
        if ended.reason == DROPPED:
            log.warning("%s: %s", called, ended.message, extra=LogEvent.TABLE_DROPPED.extra(table=table))
        else:
            failed = LogEvent.TABLE_FAILED.extra(table=table)
            log.error("%s: failed: %s: %s", called, ended.reason, ended.message, extra=failed)
        document = export.layout.failure(ended.unit, ended.attempt, export.owner.execution)
        await replace(export.store, document, ended, 0)
        return None
    rows = todo.unit.rows if ended.rows is None else ended.rows
    exported = LogEvent.TABLE_EXPORTED.extra(table=table, bytes=todo.unit.bytes, rows=rows)
    log.info("%s: exported in %s", called, counted(ended.files, "file"), extra=exported)
    if isinstance(recorded, GivenUp):
        log.warning("%s: excluded from this partial export", called, extra=LogEvent.TABLE_GIVEN_UP.extra(table=table))
        await clear_written(export, export.written_by(ended, todo.unit))
    elif recorded != ended:
        # Another task recorded the end of the same job first, or read the same rows.
        log.debug("%s: its end is recorded already", called)
        if todo.unit.route == "read":
            await withdraw_files(export, todo.unit, ended)
    return recorded if isinstance(recorded, Receipt) else None


async def _record(export: RunningExport, outcome: Receipt | Failure | Changed) -> Receipt | GivenUp | Changed | None:
    """What is recorded of the unit now; None for a failure, which other attempts may follow."""
    if isinstance(outcome, Failure):
        return None
    return await record_end(export.store, export.layout, export.plan, outcome)


async def _export(
    export: RunningExport, watch: Watch, todo: Todo, started: Callable[[], None], way: Export | None = None
) -> Receipt | Failure | Changed:
    """How the unit ended. way: another one than its route. Raises what ends the task: see `outcome`."""
    unit = todo.unit

    async def by_way() -> Receipt | Failure | Changed:
        if unit.partition and unit.route == "extract" and way is None:
            return await extract_partition(export, watch, unit, todo.first_attempt, started)
        ended = await (way or EXPORTS[unit.route])(export, watch, unit, todo.first_attempt, started)
        return await proven(export, unit, ended) if unit.partition and way is None else ended

    ended = await outcome(by_way(), unit.table, "export", alone=())
    if isinstance(ended, Refused):
        return Failure(unit.id, unit.table, "", todo.first_attempt, *ended, export.owner)
    return ended


def _called(plan: Plan, unit: Unit) -> str:
    """The display name of a unit."""
    if unit.partition:
        return f"{unit.table}${unit.partition}"
    part = parts_of(plan).get(unit.id) if plan.splits else None
    return f"{unit.table} (part {part.number + 1} of {part.of})" if part else unit.table
