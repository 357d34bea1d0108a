"""A drill of what was exported: of one dataset, or of each dataset of a set, one after another."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress

from msgspec.structs import replace

from bqdump.core.errors import OF_THE_TASK, BqdumpError
from bqdump.core.progress.events import Together
from bqdump.core.progress.log_events import LogEvent, about
from bqdump.core.restore.bill import together
from bqdump.core.restore.combined import DATASET, drilled_together, restored_together
from bqdump.core.restore.documents import SetExecution
from bqdump.core.restore.drilled import Drilled, Portion
from bqdump.core.restore.result import NotCreated, Restoration
from bqdump.core.restore.selection import object_names
from bqdump.core.sets.restoring import EVERY, with_patterns_of
from bqdump.core.sizes import counted
from bqdump.core.wording import COMMANDS, fill
from bqdump.restoration.draft import find_manifest
from bqdump.restoration.drill import Prepared, drill_prepared, prepare
from bqdump.restoration.drill import drill as drill_one
from bqdump.restoration.planning import propose
from bqdump.restoration.refusals import all_or_none, planned_bill, refuse_more
from bqdump.restoration.restore import plan_one
from bqdump.restoration.sources import Source, choose, finish_runs, of_one_dataset, of_part, sets_at
from bqdump.restoration.task import Task

log = logging.getLogger(__name__)


async def drill(tasks: Sequence[Task], portion: Portion) -> Drilled:
    """Drill the requested run, or what is published. portion: of the tables of each dataset.

    tasks: one for each place where the export may be: a set has one for each location. A dataset whose drill ends with
    an error is a failure of the set's; the others are drilled all the same.
    """
    if tasks[0].request.finish_run:
        await finish_runs(tasks)
    sets = await sets_at(tasks)
    if not sets:
        return await drill_one(await of_one_dataset(tasks, EVERY), portion)
    chosen, members = await _members(sets)
    prepared = await _within_limit(members, portion) if tasks[0].settings.max_bytes_billed else {}
    done: dict[str, Drilled] = {}
    failed: dict[str, BqdumpError] = {}
    for task in members:
        with about(task.dataset):
            try:
                ready = prepared.get(task.dataset) or await prepare(task, portion)
                request = ready.task.request._replace(spent=sum(drilled.bytes_billed for drilled in done.values()))
                done[task.dataset] = await drill_prepared(ready._replace(task=ready.task._replace(request=request)))
            except OF_THE_TASK:
                raise
            except BqdumpError as error:
                failed[task.dataset] = error
                message, extra = "the drill ended without a result: %s", LogEvent.DRILL_FAILED.extra()
                log.error(message, error, extra=extra)  # noqa: TRY400 (an error with a name)
    if not done:
        raise next(iter(failed.values()))
    result = drilled_together(chosen.run, done, [_failure(name, error) for name, error in failed.items()])
    if not result.problems:
        named = {"dataset": tasks[0].settings.dataset or ",".join(done), "target": str(tasks[0].settings.target)}
        proven = LogEvent.DRILL_PROVEN.extra(bytes_billed=result.bytes_billed, **named)
        datasets, of = counted(len(done), "dataset"), counted(result.of, "table")
        some = f"{len(result.tables)} of {of} of run {result.run} can be restored: {datasets}"
        whole = f"run {result.run} is restorable: {datasets}"
        log.info("%s", whole if len(result.tables) == result.of else some, extra=proven)
    return result


async def _members(sets: Sequence[Source]) -> tuple[SetExecution, list[Task]]:
    """What is drilled, and the drill of each dataset that has an object which is included."""
    chosen, tell = await choose(sets, EVERY), Together(sets[0].task.tell)
    at = {source.target: source.task for source in sets}
    tasks = {part.dataset: of_part(at[part.target], part, tell) for part in chosen.parts}
    options = sets[0].task.request.options
    if not options.include:
        return chosen, list(tasks.values())
    found = await all_or_none(list(tasks.values()), find_manifest)
    objects = {name: object_names(run.manifest) for name, run in zip(tasks, found, strict=True)}
    of_each = with_patterns_of(options, objects)
    return chosen, [
        tasks[name]._replace(request=tasks[name].request._replace(options=own)) for name, own in of_each.items()
    ]


async def _within_limit(tasks: Sequence[Task], portion: Portion) -> dict[str, Prepared]:
    """The drills as they are planned, by dataset. Raises UsageError if all of them would bill more than the limit."""
    prepared: dict[str, Prepared] = {}
    bills = []
    for task in tasks:
        # Without this, the drill of the dataset meets the same error, and names it.
        with about(task.dataset), suppress(BqdumpError):
            ready = await prepare(task, portion)
            proposal = await propose(ready.task)
            if drafted := proposal.drafted:
                bills.append(await planned_bill(ready.task, ready.manifest, drafted.plan))
            prepared[task.dataset] = ready._replace(proposal=proposal)
    request = tasks[0].request
    options = replace(request.options, temporary=True)
    refuse_more(tasks[0]._replace(request=request._replace(options=options)), together(bills))
    return prepared


async def plan_drill(tasks: Sequence[Task], portion: Portion) -> Restoration:
    """What a drill would restore, and what it would bill. Nothing is written."""
    sets = await sets_at(tasks)
    if not sets:
        return await plan_one((await prepare(await of_one_dataset(tasks, EVERY), portion)).task)
    chosen, members = await _members(sets)
    plans = {}
    for task in members:
        with about(task.dataset):
            plans[task.dataset] = await plan_one((await prepare(task, portion)).task)
    return restored_together(sets[0].task.request.options, chosen.run, plans, [])


def _failure(dataset: str, error: BqdumpError) -> NotCreated:
    return NotCreated(dataset, DATASET, type(error).__name__.removesuffix("Error"), fill(error.cause, COMMANDS))
