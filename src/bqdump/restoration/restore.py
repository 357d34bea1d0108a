"""Restores and drills, of the export of one dataset or of a set.

Of a set, each dataset is an ordinary restore, and what may refer to another dataset follows the rows of all. Everything
that can be refused is refused for all datasets before anything is written. What fails later fails for its dataset, and
does not hold back the others.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple, TypeVar

from msgspec.structs import replace

from bqdump.concurrency import gathered
from bqdump.core.errors import ENDS_THE_TASK, BqdumpError
from bqdump.core.progress.events import Together
from bqdump.core.progress.log_events import LogEvent, about
from bqdump.core.restore.bill import together
from bqdump.core.restore.chosen import object_names
from bqdump.core.restore.documents import Restores, SetExecution
from bqdump.core.restore.drill import Drilled, Sample, drilled_together
from bqdump.core.restore.result import DATASET, NotCreated, Restoration, restored_together
from bqdump.core.sets.restoring import EVERY, Choice, with_patterns_of
from bqdump.core.sizes import counted
from bqdump.core.wording import COMMANDS, fill
from bqdump.repository.exports import AT_ONCE
from bqdump.repository.repository import create, value_of
from bqdump.restoration.drill import Prepared, drill_prepared, prepare
from bqdump.restoration.drill import drill as drill_one
from bqdump.restoration.obtain import Proposal, propose, take_part
from bqdump.restoration.planning import plan_one, planned_bill, refuse_more
from bqdump.restoration.run import carry_out, run
from bqdump.restoration.sources import (
    Members,
    Source,
    all_or_none,
    choose,
    finish_runs,
    members_of,
    of_dataset,
    of_one_dataset,
    sets_at,
)
from bqdump.restoration.survey import find_manifest
from bqdump.restoration.task import RunningRestore, Task

log = logging.getLogger(__name__)
Answer = TypeVar("Answer")


class _Chosen(NamedTuple):
    """What an execution restores, and what is proposed for each of its datasets."""

    execution: SetExecution
    members: Members
    proposals: list[Proposal]


async def restore(tasks: Sequence[Task], choice: Choice = EVERY) -> Restoration:
    """Do this task's part of a restore: of one dataset, or of the chosen ones of a set.

    tasks: one for each place where the export may be: a set has one for each location.
    """
    if tasks[0].request.finish_run:
        await finish_runs(tasks)
    sets = await sets_at(tasks)
    if not sets:
        return await run(await of_one_dataset(tasks, choice))
    chosen = await _obtain(sets, choice)
    proposed = list(zip(chosen.members.tasks, chosen.proposals, strict=True))
    restores = await gathered(lambda item: _begun(*item), proposed, AT_ONCE)
    ended = await carry_out(restores, sets[0].task.tell, apart=True)
    results = {task.dataset: result for task, result in zip(chosen.members.tasks, ended, strict=True)}
    whole = restored_together(sets[0].task.request.options, chosen.execution.run, results, chosen.members.left)
    if whole.state != "running":
        tables, rows, failures = counted(len(whole.tables), "table"), counted(whole.rows, "row"), len(whole.failed)
        message, done = "restored %s: %s, %s%s", LogEvent.RESTORE_DONE.extra()
        failed = f"; {counted(failures, 'failure')}" if failures else ""
        log.info(message, counted(len(results), "dataset"), tables, rows, failed, extra=done)
    return whole


async def plan_restore(tasks: Sequence[Task], choice: Choice = EVERY) -> Restoration:
    """What the same would do. Nothing is written."""
    sets = await sets_at(tasks)
    if not sets:
        return await plan_one(await of_one_dataset(tasks, choice))
    execution = await choose(sets, choice)
    members = await members_of(sets, execution, choice)
    plans = await all_or_none(members.tasks, plan_one)
    results = {task.dataset: result for task, result in zip(members.tasks, plans, strict=True)}
    return restored_together(sets[0].task.request.options, execution.run, results, members.left)


async def _obtain(sets: Sequence[Source], choice: Choice) -> _Chosen:
    """What this execution restores, which is recorded for its other tasks once none of it is refused."""
    task = sets[0].task
    document = Restores(task.layout).set_execution(task.owner.execution)
    stored = await value_of(task.state, document)
    chosen = await _proposed(sets, choice, stored or await choose(sets, choice))
    if stored:
        return chosen
    created = (await create(task.state, document, chosen.execution)).value
    return chosen if created == chosen.execution else await _proposed(sets, choice, created)


async def _proposed(sets: Sequence[Source], choice: Choice, execution: SetExecution) -> _Chosen:
    members = await members_of(sets, execution, choice)
    return _Chosen(execution, members, await all_or_none(members.tasks, propose))


async def _begun(task: Task, proposal: Proposal) -> RunningRestore:
    with about(task.dataset):
        return await take_part(task, proposal)


async def drill(tasks: Sequence[Task], sample: Sample) -> Drilled:
    """Drill the requested run, or what is published. sample: of the tables of each dataset.

    tasks: one for each place where the export may be: a set has one for each location. A dataset whose drill ends with
    an error is a failure of the set's; the others are drilled all the same.
    """
    if tasks[0].request.finish_run:
        await finish_runs(tasks)
    sets = await sets_at(tasks)
    if not sets:
        return await drill_one(await of_one_dataset(tasks, EVERY), sample)
    chosen, members = await _members(sets)
    prepared = await _within_limit(members, sample) if tasks[0].settings.max_bytes_billed else {}
    done: dict[str, Drilled] = {}
    failed: dict[str, BqdumpError] = {}
    for task in members:
        with about(task.dataset):
            try:
                ready = prepared.get(task.dataset) or await prepare(task, sample)
                request = ready.task.request._replace(spent=sum(drilled.bytes_billed for drilled in done.values()))
                done[task.dataset] = await drill_prepared(ready._replace(task=ready.task._replace(request=request)))
            except ENDS_THE_TASK:
                raise
            except BqdumpError as error:
                failed[task.dataset] = error
                message, extra = "the drill ended without a result: %s", LogEvent.DRILL_FAILED.extra()
                log.error(message, error, extra=extra)  # noqa: TRY400 (an error with a name)
    if not done:
        raise next(iter(failed.values()))
    result = drilled_together(chosen.run, done, [_failure(name, error) for name, error in failed.items()])
    if result.proves:
        named = {"dataset": tasks[0].settings.dataset or ",".join(done), "target": str(tasks[0].settings.target)}
        proven = LogEvent.DRILL_PROVEN.extra(bytes_billed=result.bytes_billed, **named)
        datasets, of = counted(len(done), "dataset"), counted(result.of, "table")
        some = f"{len(result.tables)} of {of} of run {result.run} can be restored: {datasets}"
        whole = f"run {result.run} is restorable: {datasets}"
        everything = len(result.tables) == result.of and len(done) == len(chosen.parts)
        log.info("%s", whole if everything else some, extra=proven)
    return result


async def _members(sets: Sequence[Source]) -> tuple[SetExecution, list[Task]]:
    """What is drilled, and the drill of each dataset that has an object which is included."""
    chosen, tell = await choose(sets, EVERY), Together(sets[0].task.tell)
    at = {source.target: source.task for source in sets}
    tasks = {part.dataset: of_dataset(at[part.target], part, tell) for part in chosen.parts}
    options = sets[0].task.request.options
    if not options.include:
        return chosen, list(tasks.values())
    exported = await all_or_none(list(tasks.values()), find_manifest)
    objects = {name: object_names(run.manifest) for name, run in zip(tasks, exported, strict=True)}
    of_each = with_patterns_of(options, objects)
    return chosen, [
        tasks[name]._replace(request=tasks[name].request._replace(options=own)) for name, own in of_each.items()
    ]


async def _within_limit(tasks: Sequence[Task], sample: Sample) -> dict[str, Prepared]:
    """The drills as they are planned, by dataset. Raises UsageError if all of them would bill more than the limit."""
    prepared: dict[str, Prepared] = {}
    bills = []
    for task in tasks:
        # Without this, the drill of the dataset meets the same error, and names it.
        with about(task.dataset), suppress(BqdumpError):
            ready = await prepare(task, sample)
            proposal = await propose(ready.task)
            if drafted := proposal.drafted:
                bills.append(await planned_bill(ready.task, ready.manifest, drafted.plan))
            prepared[task.dataset] = ready._replace(proposal=proposal)
    request = tasks[0].request
    options = replace(request.options, temporary=True)
    refuse_more(tasks[0]._replace(request=request._replace(options=options)), together(bills))
    return prepared


async def plan_drill(tasks: Sequence[Task], sample: Sample) -> Restoration:
    """What a drill would restore, and what it would bill. Nothing is written."""
    sets = await sets_at(tasks)
    if not sets:
        return await plan_one((await prepare(await of_one_dataset(tasks, EVERY), sample)).task)
    chosen, members = await _members(sets)
    plans = {}
    for task in members:
        with about(task.dataset):
            plans[task.dataset] = await plan_one((await prepare(task, sample)).task)
    return restored_together(sets[0].task.request.options, chosen.run, plans, [])


def _failure(dataset: str, error: BqdumpError) -> NotCreated:
    return NotCreated(dataset, DATASET, type(error).__name__.removesuffix("Error"), fill(error.cause, COMMANDS))
