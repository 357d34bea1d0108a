"""Restoring a set: each dataset is an ordinary restore, and what may refer to another one follows the rows of all.

Everything that can be refused is refused for all datasets before anything is written. What fails later fails for its
dataset, and does not hold back the others.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import NamedTuple, TypeVar

from bqdump.concurrency import gathered
from bqdump.core.progress.log_events import LogEvent, about
from bqdump.core.restore.combined import restored_together
from bqdump.core.restore.documents import Restores, SetExecution
from bqdump.core.restore.result import Restoration
from bqdump.core.sets.restoring import EVERY, Choice
from bqdump.core.sizes import counted
from bqdump.repository.exports import AT_ONCE
from bqdump.repository.repository import create, value_of
from bqdump.restoration.draft import draft
from bqdump.restoration.outcome import planned
from bqdump.restoration.planning import Proposal, propose, take_part
from bqdump.restoration.refusals import all_or_none, planned_bill
from bqdump.restoration.run import carry_out, run
from bqdump.restoration.sources import Members, Source, choose, finish_runs, members_of, of_one_dataset, sets_at
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


async def plan_one(task: Task) -> Restoration:
    """What the restore of one dataset would do, and what its queries would bill. Nothing is written."""
    drafted = await draft(task)
    manifest = drafted.found.manifest
    return planned(drafted.plan, manifest, await planned_bill(task, manifest, drafted.plan))


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
