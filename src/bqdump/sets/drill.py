"""A drill of what was exported: of one dataset, or of each dataset of a set, one after another."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress

from msgspec.structs import replace

from bqdump.core.errors import OF_THE_TASK, BqdumpError
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.progress.subject import about
from bqdump.core.progress.together import Together
from bqdump.core.restore.bill import together
from bqdump.core.restore.drilled import Drilled, DrillState
from bqdump.core.restore.result import NotCreated, Restoration
from bqdump.core.restore.rotation import Portion
from bqdump.core.sets.restoring import EVERY
from bqdump.core.sizes import counted
from bqdump.core.wording import COMMANDS, fill
from bqdump.restoration.bill import refuse_more
from bqdump.restoration.drill import drill as drill_one
from bqdump.restoration.drill import drill_request
from bqdump.restoration.task import Task
from bqdump.sets.exports import choose, of_one_dataset, of_part, sets_at
from bqdump.sets.finish_runs import finish_runs
from bqdump.sets.restore import plan_one
from bqdump.sets.restored import DATASET, joined, name_in

log = logging.getLogger(__name__)
# The first of these that a dataset is in is the state of the set.
WORST: tuple[DrillState, ...] = ("different", "incomplete", "proven")


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
    chosen, at, tell = await choose(sets, EVERY), {one.target: one.task for one in sets}, Together(tasks[0].tell)
    await _refuse_bill([of_part(at[part.target], part, tell) for part in chosen.parts], portion)
    done: dict[str, Drilled] = {}
    failed: dict[str, BqdumpError] = {}
    for part in chosen.parts:
        task = of_part(at[part.target], part, tell)
        request = task.request._replace(spent=sum(one.bytes_billed for one in done.values()))
        with about(part.dataset):
            try:
                done[part.dataset] = await drill_one(task._replace(request=request), portion)
            except OF_THE_TASK:
                raise
            except BqdumpError as error:
                failed[part.dataset] = error
                message, extra = "the drill ended without a result: %s", LogEvent.DRILL_FAILED.extra()
                log.error(message, error, extra=extra)  # noqa: TRY400 (an error with a name)
    if not done:
        raise next(iter(failed.values()))
    result = _joined(chosen.run, done, [_failure(name, error) for name, error in failed.items()])
    if not result.problems:
        named = {"dataset": tasks[0].settings.dataset or ",".join(done), "target": str(tasks[0].settings.target)}
        proven = LogEvent.DRILL_PROVEN.extra(bytes_billed=result.bytes_billed, **named)
        datasets, of = counted(len(done), "dataset"), counted(result.of, "table")
        some = f"{len(result.tables)} of {of} of run {result.run} can be restored: {datasets}"
        whole = f"run {result.run} is restorable: {datasets}"
        log.info("%s", whole if len(result.tables) == result.of else some, extra=proven)
    return result


async def _refuse_bill(tasks: Sequence[Task], portion: Portion) -> None:
    """Raise UsageError if the drills of all datasets would bill more than the limit."""
    if not tasks or not tasks[0].settings.max_bytes_billed:
        return
    bills = []
    for task in tasks:
        # Its drill meets the same error, and names it.
        with about(task.dataset), suppress(BqdumpError):
            bills.append((await plan_one(await drill_request(task, portion))).bill)
    request = tasks[0].request
    options = replace(request.options, temporary=True)
    refuse_more(tasks[0]._replace(request=request._replace(options=options)), together(bills))


async def plan_drill(tasks: Sequence[Task], portion: Portion) -> Restoration:
    """What a drill would restore, and what it would bill. Nothing is written."""
    sets = await sets_at(tasks)
    if not sets:
        return (await plan_one(await drill_request(await of_one_dataset(tasks, EVERY), portion))).shown
    chosen, at, tell = await choose(sets, EVERY), {one.target: one.task for one in sets}, Together(tasks[0].tell)
    plans = {}
    for part in chosen.parts:
        with about(part.dataset):
            planned = await plan_one(await drill_request(of_part(at[part.target], part, tell), portion))
            plans[part.dataset] = planned.shown
    return joined(sets[0].task.request.options, chosen.run, plans, [])


def _failure(dataset: str, error: BqdumpError) -> NotCreated:
    return NotCreated(dataset, DATASET, type(error).__name__.removesuffix("Error"), fill(error.cause, COMMANDS))


def _joined(run: str, done: Mapping[str, Drilled], failed: Sequence[NotCreated]) -> Drilled:
    """One result for a set: tables have their dataset's name. done: the results by dataset."""
    every = [_named(name, one) for name, one in done.items()]
    states = {one.state for one in every} | ({"incomplete"} if failed else set())
    return Drilled(
        run=run,
        state=next(state for state in WORST if state in states),
        snapshot_time=min(one.snapshot_time for one in every),
        project=every[0].project,
        dataset=",".join(one.dataset for one in every),
        tables=tuple(table for one in every for table in one.tables),
        of=sum(one.of for one in every),
        objects=sum(one.objects for one in every),
        rows=sum(one.rows for one in every),
        bytes=sum(one.bytes for one in every),
        bytes_billed=sum(one.bytes_billed for one in every),
        seconds=round(sum(one.seconds for one in every), 3),
        began=min(one.began for one in every),
        different=tuple(found for one in every for found in one.different),
        failed=(*(found for one in every for found in one.failed), *failed),
        not_restored=tuple(lost for one in every for lost in one.not_restored),
        altered={table: values for one in every for table, values in one.altered.items()},
    )


def _named(dataset: str, one: Drilled) -> Drilled:
    return replace(
        one,
        tables=tuple(f"{dataset}.{table}" for table in one.tables),
        different=tuple(replace(found, name=name_in(dataset, found.name, found.kind)) for found in one.different),
        failed=tuple(replace(found, name=name_in(dataset, found.name, found.kind)) for found in one.failed),
        not_restored=tuple(replace(lost, name=name_in(dataset, lost.name, lost.kind)) for lost in one.not_restored),
        altered={f"{dataset}.{table}": values for table, values in one.altered.items()},
    )
