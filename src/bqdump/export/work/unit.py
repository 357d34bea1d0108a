"""One unit from its claim to its recorded end."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import msgspec

from bqdump.core.documents.run import DROPPED, Failure, Plan, Receipt
from bqdump.core.documents.units import Changed, GivenUp, Unit, parts_of
from bqdump.core.errors import BqdumpError, open_files_error, out_of_files, words_of
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.sizes import counted
from bqdump.export.publish.clear import clear_written
from bqdump.export.task import RunningExport
from bqdump.export.watch import Watch
from bqdump.export.work.jobs import explained, extract_partition, extract_unit, proven, query_changed, query_unit
from bqdump.export.work.read import read_unit, withdraw_files
from bqdump.repository.repository import replace
from bqdump.repository.units import write_end

log = logging.getLogger(__name__)

# Exports one unit: see jobs.by_job for parameters and result.
Export = Callable[[RunningExport, Watch, Unit, int, Callable[[], None]], Awaitable[Receipt | Failure]]
EXPORTS: dict[str, Export] = {"extract": extract_unit, "query": query_unit, "read": read_unit}


class Todo(NamedTuple):
    """A unit to work on: the generation of the claim to replace (0 for none, None when it is ours already).

    again: see Claim.
    changed: of a partition, an extract job's files do not count.
    """

    unit: Unit
    replaces: int | None
    first_attempt: int
    again: str
    changed: Changed | None = None


async def finish_unit(export: RunningExport, watch: Watch, todo: Todo, started: Callable[[], None]) -> Receipt | None:
    """Export a unit and record its end; the receipt that is recorded. Raises what ends the task, see _export."""
    table, called = todo.unit.table, _called(export.plan, todo.unit)
    outcome = todo.changed or await _export(export, watch, todo, started)
    recorded = await _record(export, outcome)
    if isinstance(recorded, Changed):
        # Also where another task has found the partition changed, and this one has not: all tasks do the same.
        message = "%s: it was changed while it was extracted; a query reads it as of the snapshot time"
        log.warning(message, called, extra=LogEvent.PARTITION_CHANGED.extra(table=table))
        outcome = await _export(export, watch, todo, started, query_changed)
        recorded = await _record(export, outcome)
    if isinstance(outcome, Failure):
        of_unit, outcome = outcome, await explained(export, todo.unit, outcome)
        if todo.unit.partition and outcome == of_unit:
            # The table's other partitions may be exported.
            outcome = msgspec.structs.replace(outcome, message=f"partition {todo.unit.partition}: {outcome.message}")
    if isinstance(outcome, Changed):
        # Another task has recorded its end meanwhile.
        if isinstance(recorded, Receipt):
            export.tell(recorded)
            return recorded
        await clear_written(export, export.written(todo.unit, todo.first_attempt))
        return None
    export.tell(outcome)
    if isinstance(outcome, Failure):
        if outcome.reason == DROPPED:
            log.warning("%s: %s", called, outcome.message, extra=LogEvent.TABLE_DROPPED.extra(table=table))
        else:
            failed = LogEvent.TABLE_FAILED.extra(table=table)
            log.error("%s: failed: %s: %s", called, outcome.reason, outcome.message, extra=failed)
        document = export.layout.failure(outcome.unit, outcome.attempt, export.owner.execution)
        await replace(export.store, document, outcome, 0)
        return None
    rows = todo.unit.rows if outcome.rows is None else outcome.rows
    exported = LogEvent.TABLE_EXPORTED.extra(table=table, bytes=todo.unit.bytes, rows=rows)
    log.info("%s: exported in %s", called, counted(outcome.files, "file"), extra=exported)
    if isinstance(recorded, GivenUp):
        log.warning("%s: excluded from this partial export", called, extra=LogEvent.TABLE_GIVEN_UP.extra(table=table))
        await clear_written(export, export.written_by(outcome, todo.unit))
    elif recorded != outcome:
        # Another task recorded the end of the same job first, or read the same rows.
        log.debug("%s: its end is recorded already", called)
        if todo.unit.route == "read":
            await withdraw_files(export, todo.unit, outcome)
    return recorded if isinstance(recorded, Receipt) else None


async def _record(export: RunningExport, outcome: Receipt | Failure | Changed) -> Receipt | GivenUp | Changed | None:
    """What is recorded of the unit now; None for a failure, which other attempts may follow."""
    if isinstance(outcome, Failure):
        return None
    return await write_end(export.store, export.layout, export.plan, outcome)


async def _export(
    export: RunningExport, watch: Watch, todo: Todo, started: Callable[[], None], way: Export | None = None
) -> Receipt | Failure | Changed:
    """How the unit ended. way: another one than its route.

    An unexpected error fails its table, by name, and no other table in flight.

    Raises what ends the task: a BqdumpError about the target or a service, and what this machine refuses (OSError).
    """
    unit = todo.unit
    try:
        if unit.partition and unit.route == "extract" and way is None:
            return await extract_partition(export, watch, unit, todo.first_attempt, started)
        outcome = await (way or EXPORTS[unit.route])(export, watch, unit, todo.first_attempt, started)
        return await proven(export, unit, outcome) if unit.partition and way is None else outcome
    except (BqdumpError, OSError):
        raise
    except Exception as error:
        if out_of_files(error):
            raise open_files_error("export", f"table {unit.table}") from error
        unexpected = LogEvent.UNEXPECTED_ERROR.extra(table=unit.table)
        log.exception("%s: unexpected error", _called(export.plan, unit), exc_info=error, extra=unexpected)
        return Failure(unit.id, unit.table, "", todo.first_attempt, "unexpected", words_of(error), export.owner)


def _called(plan: Plan, unit: Unit) -> str:
    """The display name of a unit."""
    if unit.partition:
        return f"{unit.table}${unit.partition}"
    part = parts_of(plan).get(unit.id) if plan.splits else None
    return f"{unit.table} (part {part.number + 1} of {part.of})" if part else unit.table
